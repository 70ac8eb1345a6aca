/**
 * The words of a recording: the one that is spoken is lit, a click or Enter on one plays from there. All words are one
 * stop of the Tab key; the arrows go from word to word, Home and End to the ends.
 */

import { DOUBTED_BELOW } from "../doubted.js";
import { make } from "../pages/element.js";
import { formatClock } from "../pages/format.js";
import { t } from "../strings.js";
import { whoOf } from "./captions.js";
import { isMatch, wordAt } from "./lit-word.js";

export class WordsView {
  /** @type {HTMLElement[]} */
  #elements = [];
  /** @type {import("./spoken-lines.js").TimedWord[]} */
  #words = [];
  #lit = -1;
  element;

  /**
   * @param {readonly import("./spoken-lines.js").Line[]} lines
   * @param {{search: string, onWord: (seconds: number) => void, replyButton: (line: import("./spoken-lines.js").Line) => Node | null}} given
   *   `search`: what the list was searched for
   */
  constructor(lines, { search, onWord, replyButton }) {
    this.element = make("ol", { class: "lines", on: { click: (/** @type {MouseEvent} */ event) => this.#onClick(event, onWord), keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event) } });
    for (const line of lines) this.element.append(this.#line(line, search, replyButton));
    const first = this.#elements.find((word) => word.classList.contains("match")) ?? this.#elements[0];
    if (first) first.tabIndex = 0;
  }

  /** Light the word that is spoken at this moment. @param {number} seconds @param {boolean} isFollowing keep it in view */
  light(seconds, isFollowing) {
    const at = wordAt(this.#words, seconds);
    if (at === this.#lit) return;
    this.#elements[this.#lit]?.removeAttribute("data-lit");
    this.#lit = at;
    const word = this.#elements[at];
    word?.setAttribute("data-lit", "true");
    if (word && isFollowing) word.scrollIntoView({ block: "nearest" });
  }

  /** Bring the first word at or behind this moment into view, and let the keyboard begin there. @param {number} seconds */
  reveal(seconds) {
    const at = Math.max(0, this.#words.findIndex(({ end }) => end > seconds));
    this.#moveTo(at, false);
    this.#elements[at]?.scrollIntoView({ block: "center" });
  }

  #line(line, search, replyButton) {
    const words = line.words.map((word) => this.#word(word, search));
    const spoken = words.flatMap((word, at) => (line.words[at].space ? [word, line.words[at].space] : [word]));
    const text = make("p", { class: "line-text", dir: "auto", lang: line.language ?? undefined }, ...(words.length > 0 ? spoken : [line.text]), line.isCut && " …");
    const head = make("p", { class: "line-head" }, make("span", { class: "who", text: whoOf(line) }), line.kind === "said" && make("time", { text: formatClock(line.start) }));
    return make("li", { class: "line", data: { kind: line.kind } }, head, text, line.kind === "reply" && replyButton(line));
  }

  #word(word, search) {
    const isDoubted = word.confidence !== null && word.confidence < DOUBTED_BELOW;
    const doubt = isDoubted ? t("utterance.doubted", { percent: Math.round((word.confidence ?? 0) * 100) }) : undefined;
    const names = ["word", search && isMatch(word.text, search) && "match", isDoubted && "doubted"].filter(Boolean).join(" ");
    const element = make("button", { class: names, type: "button", text: word.text, title: doubt, data: { at: this.#words.length } });
    element.tabIndex = -1;
    this.#words.push(word);
    this.#elements.push(element);
    return element;
  }

  #onClick(event, onWord) {
    const at = placeIn(event.target);
    if (at === null) return;
    this.#moveTo(at, false);
    onWord(this.#words[at].start);
  }

  #onKey(event) {
    const at = placeIn(event.target);
    if (at === null) return;
    const isLeftToRight = getComputedStyle(this.#elements[at]).direction === "ltr";
    const next = { ArrowRight: at + (isLeftToRight ? 1 : -1), ArrowLeft: at - (isLeftToRight ? 1 : -1), ArrowDown: this.#lineBehind(at), ArrowUp: this.#lineBefore(at), Home: 0, End: this.#words.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.#moveTo(Math.min(this.#words.length - 1, Math.max(0, next)), true);
  }

  #lineBehind(at) {
    const line = this.#elements[at].closest("li");
    const next = this.#elements.findIndex((word, place) => place > at && word.closest("li") !== line);
    return next < 0 ? at : next;
  }

  #lineBefore(at) {
    const line = this.#elements[at].closest("li");
    const first = this.#elements.findIndex((word) => word.closest("li") === line);
    if (first <= 0) return 0;
    const before = this.#elements[first - 1].closest("li");
    return this.#elements.findIndex((word) => word.closest("li") === before);
  }

  #moveTo(at, isFocused) {
    for (const word of this.#elements) if (word.tabIndex === 0) word.tabIndex = -1;
    const word = this.#elements[at];
    if (!word) return;
    word.tabIndex = 0;
    if (isFocused) word.focus();
  }
}

function placeIn(target) {
  const at = target instanceof HTMLElement ? target.closest(".word")?.getAttribute("data-at") : null;
  return at === null || at === undefined ? null : Number(at);
}
