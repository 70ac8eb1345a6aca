/** The list of recordings or conversations, by days, page by page. */

import { button, icon, make } from "../pages/element.js";
import { formatDayHeading, formatLength, formatTime } from "../pages/format.js";
import { isOk } from "../rest.js";
import { faultView, loadingView, stateView } from "../pages/state-view.js";
import { t } from "../strings.js";
import { hashOf, isNarrowed, listPath } from "./place.js";

const PAGE_ENTRIES = 30;

export class ListView {
  #element;
  #page;
  #offerFile;
  /** @type {?AbortController} */
  #loading = null;
  #day = "";

  /**
   * @param {HTMLElement} element
   * @param {import("../pages/page.js").PageParts} page @param {() => void} offerFile choose a file to be transcribed
   */
  constructor(element, page, offerFile) {
    this.#element = element;
    this.#page = page;
    this.#offerFile = offerFile;
  }

  /** Show the list of this place from its beginning. @param {import("./place.js").Place} place */
  async show(place) {
    this.#loading?.abort();
    const loading = (this.#loading = new AbortController());
    this.#element.replaceChildren(loadingView(6));
    this.#day = "";
    await this.#load(place, null, loading.signal);
  }

  /** Mark the entry that is open. @param {?string} id */
  mark(id) {
    for (const link of this.#element.querySelectorAll("a.entry")) {
      if (/** @type {HTMLElement} */ (link).dataset.id === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  async #load(place, before, signal) {
    const answer = await this.#page.rest.ask(listPath(place, before, PAGE_ENTRIES), { signal }).catch(() => null);
    if (answer === null) return; // another list is wanted by now
    if (before === null) this.#element.replaceChildren();
    this.#element.querySelector(".more, .state-view")?.remove();
    if (!isOk(answer)) {
      const retry = () => (before === null ? this.show(place) : this.#load(place, before, signal));
      return this.#element.append(faultView(answer, { retry, keyForm: this.#page.keyForm }));
    }
    const entries = answer.body[place.kind];
    if (before === null && entries.length === 0) return this.#element.append(this.#emptyView(place));
    for (const entry of entries) this.#append(place, entry);
    if (before === null) this.#page.announce(t("list.found", { count: entries.length }));
    if (answer.body.indexing) this.#element.append(make("p", { class: "hint-line", text: t("list.indexing") }));
    if (answer.body.unreadable > 0) this.#element.append(make("p", { class: "hint-line", text: t("list.unreadable", { count: answer.body.unreadable }) }));
    this.mark(place.id);
    if (answer.body.next === null) return;
    this.#element.append(button(t("list.more"), () => this.#load(place, answer.body.next, signal), "quiet pill more"));
  }

  #append(place, entry) {
    const at = place.kind === "recordings" ? entry.started : entry.updated;
    const day = formatDayHeading(at, new Date());
    if (day !== this.#day) this.#element.append(make("h3", { class: "day", text: day }), make("ul", { class: "entries" }));
    this.#day = day;
    const link = place.kind === "recordings" ? recordingEntry(entry) : conversationEntry(entry);
    link.href = hashOf({ kind: place.kind, id: entry.id, filters: place.filters });
    link.dataset.id = entry.id;
    this.#element.querySelector("ul.entries:last-of-type")?.append(make("li", {}, link));
  }

  #emptyView(place) {
    if (isNarrowed(place)) return stateView({ icon: "search", title: t("list.nothing"), text: t("list.nothing-text"), name: "nothing" });
    if (place.kind === "conversations") return stateView({ icon: "sound", title: t("list.no-conversations"), text: t("list.no-conversations-text"), name: "empty" });
    const actions = [button(t("upload.choose"), this.#offerFile, "pill primary")];
    return stateView({ icon: "sound", title: t("list.no-recordings"), text: t("list.no-recordings-text"), actions, name: "empty" });
  }
}

function recordingEntry({ started, seconds, text, kind, person, languages }) {
  const facts = [formatTime(started), formatLength(seconds), languages.join(", "), person].filter(Boolean);
  return make(
    "a",
    { class: "entry", data: { kind } },
    make("span", { class: "entry-text", text: text || t("list.silent"), dir: "auto" }),
    make("span", { class: "entry-facts" }, kind === "live" && make("b", { class: "live", text: t("list.live") }), kind === "recovered" && icon("warning"), facts.join(" · ")),
  );
}

function conversationEntry({ updated, title, messages, person }) {
  const facts = [formatTime(updated), t("list.messages", { count: messages }), person].filter(Boolean);
  return make(
    "a",
    { class: "entry" },
    make("span", { class: "entry-text", text: title || t("list.untitled"), dir: "auto" }),
    make("span", { class: "entry-facts", text: facts.join(" · ") }),
  );
}
