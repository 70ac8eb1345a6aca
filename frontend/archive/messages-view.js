/** One conversation: its messages, its title, its files, its deletion. */

import { askedLine, confirmed } from "../pages/dialogs.js";
import { download } from "../pages/download.js";
import { button, iconButton, make } from "../pages/element.js";
import { faultSentence } from "../pages/faults.js";
import { formatShort, formatTime } from "../pages/format.js";
import { isOk, withQuery } from "../rest.js";
import { menu } from "../pages/menu.js";
import { faultView, loadingView, stateView } from "../pages/state-view.js";
import { t } from "../strings.js";
import { backLink } from "./back-link.js";
import { clipButton, stopClip } from "./clip-button.js";
import { hashOf } from "./place.js";
import { receiptLines } from "./receipt.js";

const PAGE_MESSAGES = 100;
const TITLE_CHARACTERS = 80;

export class MessagesView {
  #element;
  #page;
  #onChanged;
  #status = make("p", { class: "status-line", role: "status" });

  /** @param {HTMLElement} element @param {import("../pages/page.js").PageParts} page @param {() => void} onChanged the list is to be read again */
  constructor(element, page, onChanged) {
    this.#element = element;
    this.#page = page;
    this.#onChanged = onChanged;
  }

  /** @param {import("./place.js").Place} place with an id */
  async show(place) {
    stopClip();
    this.#element.replaceChildren(loadingView(7));
    const answer = await this.#page.rest.ask(withQuery(`conversations/${place.id}`, { limit: PAGE_MESSAGES }));
    if (!isOk(answer)) return this.#element.replaceChildren(backLink(place), faultView(answer, { retry: () => this.show(place), keyForm: this.#page.keyForm }));
    this.#draw(place, answer.body);
  }

  #draw(place, conversation) {
    const title = make("h2", { id: "detail-title", tabIndex: -1, text: conversation.title || t("list.untitled"), dir: "auto" });
    const list = make("ol", { class: "lines" }, ...conversation.messages.map((message) => this.#message(message)));
    const facts = [formatShort(conversation.created), conversation.person, conversation.profile].filter(Boolean).join(" · ");
    this.#status = make("p", { class: "status-line", role: "status" });
    this.#element.replaceChildren(
      backLink(place),
      make("header", { class: "detail-head" }, make("div", {}, title, make("p", { class: "facts", text: facts })), this.#tools(place, conversation, title)),
      this.#status,
      conversation.next === null ? "" : this.#earlier(conversation, list),
      conversation.messages.length > 0 ? list : stateView({ icon: "sound", title: t("conversation.empty"), name: "empty" }),
    );
    this.#element.scrollTop = 0;
    title.focus({ preventScroll: true });
  }

  #message({ role, text, at, kind, session, start, end, engine, cancelled, speaker }) {
    const who = role === "assistant" ? t("who.parley") : speaker ? t("who.speaker", { number: speaker }) : t("who.user");
    const isSpoken = kind === "voice" && session && typeof start === "number";
    const tools = isSpoken && [
      clipButton(this.#page, withQuery(`recordings/${session}/audio`, { start, end }), () => undefined),
      make("a", { class: "pill small quiet", href: hashOf({ kind: "recordings", id: session, at: start }), text: t("conversation.recording") }),
    ];
    return make(
      "li",
      { class: "line", data: { kind: role === "assistant" ? "reply" : "said" } },
      make("p", { class: "line-head" }, make("span", { class: "who", text: who }), make("time", { dateTime: at, text: formatTime(at) }), role === "assistant" && engine && make("span", { class: "engine", text: engine })),
      make("p", { class: "line-text", dir: "auto", text: cancelled ? `${text} …` : text }),
      tools && make("div", { class: "line-tools" }, ...tools),
    );
  }

  #earlier(conversation, list) {
    let before = conversation.next;
    const more = button(t("conversation.earlier"), async () => {
      const answer = await this.#page.rest.ask(withQuery(`conversations/${conversation.id}`, { limit: PAGE_MESSAGES, before }));
      if (!isOk(answer)) return (this.#status.textContent = faultSentence(answer));
      list.prepend(...answer.body.messages.map((message) => this.#message(message)));
      before = answer.body.next;
      if (before === null) more.remove();
    }, "quiet pill more");
    return more;
  }

  #tools(place, conversation, title) {
    const files = ["md", "json", "srt", "vtt"].map((format) => button(t(`file.${format}`), () => this.#download(conversation, format), "quiet item"));
    return make(
      "div",
      { class: "detail-tools" },
      iconButton("pencil", t("conversation.rename"), () => this.#rename(conversation, title)),
      menu(t("recording.download"), "download", files),
      iconButton("trash", t("conversation.delete"), () => this.#delete(conversation), "quiet round danger-hover"),
    );
  }

  async #rename(conversation, title) {
    const line = await askedLine({ title: t("conversation.rename"), label: t("conversation.title"), value: conversation.title, longest: TITLE_CHARACTERS, action: t("dialog.save") });
    if (line === null) return;
    const answer = await this.#page.rest.ask(`conversations/${conversation.id}`, { method: "PATCH", json: { title: line } });
    if (!isOk(answer)) return (this.#status.textContent = faultSentence(answer));
    conversation.title = title.textContent = answer.body.title;
    this.#status.textContent = t("conversation.renamed");
    this.#onChanged();
  }

  async #download(conversation, format) {
    const name = `parley-${conversation.created.slice(0, 10)}-${conversation.id.slice(-6)}.${format}`;
    this.#status.textContent = await download(this.#page.rest, `conversations/${conversation.id}/export?format=${format}`, name);
  }

  async #delete(conversation) {
    if (!(await confirmed({ title: t("conversation.delete-question"), text: t("conversation.delete-text"), action: t("conversation.delete-action") }))) return;
    const answer = await this.#page.rest.ask(`conversations/${conversation.id}?receipt=true`, { method: "DELETE" });
    if (!isOk(answer)) return (this.#status.textContent = faultSentence(answer));
    stopClip();
    this.#element.replaceChildren(stateView({ icon: "trash", title: t("receipt.title"), text: receiptLines(answer.body).join(" "), name: "receipt" }));
    this.#page.announce(t("receipt.title"));
    this.#onChanged();
  }
}
