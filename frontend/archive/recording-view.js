/** One recording: its transcript with the words lit, its player, its files, its deletion. */

import { copyLine } from "../pages/copy-line.js";
import { confirmed, inform } from "../pages/dialogs.js";
import { download } from "../pages/download.js";
import { button, icon, iconButton, make } from "../pages/element.js";
import { faultSentence } from "../pages/faults.js";
import { formatMoment, formatLength, formatTime } from "../pages/format.js";
import { isOk, readAnswer } from "../rest.js";
import { save } from "../save.js";
import { menu } from "../pages/menu.js";
import { faultView, loadingView, stateView } from "../pages/state-view.js";
import { t } from "../strings.js";
import { accessNote, signedLinks } from "./access-note.js";
import { backLink } from "./back-link.js";
import { FORMATS } from "./captions.js";
import { clipButton, stopClip } from "./clip-button.js";
import { hashOf } from "./place.js";
import { PlayerBar } from "./player-bar.js";
import { receiptLines } from "./receipt.js";
import { RecordingPlayer } from "./recording-player.js";
import { SAMPLE_RATE, linesOf } from "./spoken-lines.js";
import { WordsView } from "./words-view.js";

export class RecordingView {
  #element;
  #page;
  #onDeleted;
  /** @type {?RecordingPlayer} */
  player = null;
  /** @type {?PlayerBar} */
  bar = null;
  /** @type {?WordsView} */
  #words = null;
  #status = make("p", { class: "status-line", role: "status" });

  /** @param {HTMLElement} element @param {import("../pages/page.js").PageParts} page @param {() => void} onDeleted */
  constructor(element, page, onDeleted) {
    this.#element = element;
    this.#page = page;
    this.#onDeleted = onDeleted;
  }

  /** @param {import("./place.js").Place} place with an id */
  async show(place) {
    this.close();
    this.#element.replaceChildren(loadingView(9));
    const id = /** @type {string} */ (place.id);
    const answer = await this.#page.rest.ask(`recordings/${id}/manifest`);
    if (!isOk(answer)) return this.#element.replaceChildren(backLink(place), faultView(answer, { retry: () => this.show(place), keyForm: this.#page.keyForm }));
    this.#draw(place, answer.body, answer.headers.get("parley-kept-until"));
  }

  /** Silence, and release what plays. */
  close() {
    stopClip();
    this.player?.close();
    this.player = this.bar = this.#words = null;
  }

  #draw(place, manifest, keptUntil) {
    const id = manifest.session;
    const lines = linesOf(manifest);
    const title = make("h2", { id: "detail-title", tabIndex: -1, text: formatMoment(manifest.started) });
    const facts = [formatLength(manifest.samples / SAMPLE_RATE), ...new Set(lines.map(({ route }) => route).filter(Boolean)), manifest.person].filter(Boolean);
    this.#status = make("p", { class: "status-line", role: "status" });
    const replyButton = (line) => (line.hasAudio ? clipButton(this.#page, `recordings/${id}/replies/${line.number}/audio`, () => this.player?.pause()) : null);
    const onWord = (seconds) => this.#playFrom(seconds);
    const words = (this.#words = new WordsView(lines, { search: place.filters.text, onWord, replyButton }));
    const hasSound = manifest.samples > 0;
    if (hasSound) this.#openPlayer(id, manifest.samples);
    this.#element.replaceChildren(
      backLink(place),
      make("header", { class: "detail-head" }, make("div", {}, title, make("p", { class: "facts", text: facts.join(" · ") })), this.#tools(place, manifest, lines)),
      make("ul", { class: "access" }, ...accessNote(manifest, keptUntil).map((note) => make("li", {}, icon(note.icon), make("span", { text: note.text })))),
      ...warningsOf(manifest),
      this.#status,
      lines.length > 0 ? words.element : stateView({ icon: "sound", title: t("recording.silent"), text: t("recording.silent-text"), name: "silent" }),
      lines.length > 0 ? make("p", { class: "hint-line", text: t("recording.correct") }) : "",
      this.bar?.element ?? "",
    );
    this.#element.scrollTop = 0;
    if (place.at !== null) {
      this.player?.seek(place.at);
      words.reveal(place.at);
    }
    title.focus({ preventScroll: place.at !== null });
  }

  #openPlayer(id, samples) {
    const fetch = (options) => this.#page.rest.fetch(`recordings/${id}/audio`, options);
    const player = (this.player = new RecordingPlayer({ fetch, samples, onChange: (problem) => this.#onPlayer(problem) }));
    this.bar = new PlayerBar(player);
  }

  #playFrom(seconds) {
    stopClip();
    this.player?.seek(seconds);
    this.player?.play();
  }

  async #onPlayer(problem) {
    this.#followPlayer();
    if (problem instanceof Response) this.#status.textContent = faultSentence(await readAnswer(problem));
    else if (problem) this.#status.textContent = t("fault.offline");
  }

  /** Draw the position now, and before each frame while it plays. */
  #followPlayer() {
    const { player, bar } = this;
    if (!player || !bar) return;
    bar.draw();
    this.#words?.light(player.currentTime, player.isPlaying);
    if (player.isPlaying) requestAnimationFrame(() => this.player === player && player.isPlaying && this.#followPlayer());
  }

  #tools(place, manifest, lines) {
    const id = manifest.session;
    const base = `parley-${manifest.started.slice(0, 10)}-${id.slice(-6)}`;
    const files = Object.entries(FORMATS).map(([ending, { type, write }]) =>
      button(t(`file.${ending}`), () => save(new Blob([write(lines)], { type }), `${base}.${ending}`), "quiet item"),
    );
    const sounds = ["wav", "flac", "mp3"].map((format) => button(t("file.audio", { format: format.toUpperCase() }), () => this.#download(`recordings/${id}/audio?format=${format}`, `${base}.${format}`), "quiet item"));
    const all = button(t("file.everything"), () => this.#download(`recordings/${id}/export`, `${base}.zip`), "quiet item");
    return make(
      "div",
      { class: "detail-tools" },
      menu(t("recording.download"), "download", [...files, ...sounds, all]),
      iconButton("link", t("recording.link"), () => this.#shareLinks(place, manifest)),
      iconButton("trash", t("recording.delete"), () => this.#delete(id), "quiet round danger-hover"),
    );
  }

  async #download(path, name) {
    this.#status.textContent = t("file.preparing");
    this.#status.textContent = await download(this.#page.rest, path, name);
  }

  async #shareLinks(place, manifest) {
    const here = new URL(hashOf({ ...place, at: this.player?.currentTime || null, filters: {} }), location.href).href;
    const answer = await this.#page.rest.ask(`recordings/${manifest.session}/links`);
    const { urls, until } = signedLinks(answer.body ?? {}, new Date());
    const direct = isOk(answer)
      ? urls.length > 0
        ? [make("p", { text: t("link.signed", { time: formatTime(until) }) }), ...urls.map((url) => copyLine(url, t("link.address")))]
        : [make("p", { text: t("link.unsigned") })]
      : [make("p", { text: faultSentence(answer) })];
    await inform(t("recording.link"), [make("p", { text: t("link.page", { tenant: manifest.tenant }) }), copyLine(here, t("link.address")), ...direct]);
  }

  async #delete(id) {
    if (!(await confirmed({ title: t("recording.delete-question"), text: t("recording.delete-text"), action: t("recording.delete-action") }))) return;
    const answer = await this.#page.rest.ask(`recordings/${id}?receipt=true`, { method: "DELETE" });
    if (!isOk(answer)) {
      this.#status.textContent = faultSentence(answer);
      return;
    }
    this.close();
    this.#element.replaceChildren(stateView({ icon: "trash", title: t("receipt.title"), text: receiptLines(answer.body).join(" "), name: "receipt" }));
    this.#page.announce(t("receipt.title"));
    this.#onDeleted();
  }
}

function warningsOf({ recovered, warnings }) {
  const sentences = [...(recovered ? [t("recording.recovered")] : []), ...(warnings ?? [])];
  return sentences.length === 0 ? [] : [make("p", { class: "warning-line" }, icon("warning"), make("span", { text: sentences.join(" ") }))];
}
