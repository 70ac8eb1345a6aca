/** Draws one turn: what the user said, the reply to it, and how it was made. */

import { pieces } from "./doubted.js";
import { endLabel, routeBadge, soundLabel, speakerLabel } from "./labels.js";
import { aroundWord } from "./spoken-text.js";
import { current, t } from "./strings.js";
import { isInProgress } from "./transcript.js";
import { drawDetails, summaryOf } from "./turn-details.js";

export class TurnView {
  #clone;
  #utterances = new Map(); // number -> {span, utterance, isRouteShown}
  #turn = null;
  #isPlaying = false;
  #lit = null; // characters of the reply that have been spoken, while it is playing

  /**
   * @param {(id: string) => any} get an element of the page
   * @param {() => void} onReplay @param {string} engine what stands beside the name of whoever replies
   */
  constructor(get, onReplay, engine) {
    this.#clone = (id) => get(id).content.firstElementChild.cloneNode(true);
    this.item = this.#clone("turn-template");
    this.#find(".replay").onclick = onReplay;
    this.#find(".engine").textContent = engine;
    this.#find(".engine").hidden = engine === "";
    this.#find(".how").ontoggle = () => this.#drawHow();
  }

  /**
   * @param {import("./transcript.js").Turn} turn @param {boolean} isPlaying whether its reply is
   * @param {boolean[]} isNews for each utterance, whether its route is worth a badge
   */
  draw(turn, isPlaying, isNews) {
    if (this.#turn === turn && this.#isPlaying === isPlaying) return;
    if (!isPlaying) this.#lit = null;
    this.#turn = turn;
    this.#isPlaying = isPlaying;
    this.#drawUtterances(turn.utterances, isNews);
    this.#drawReply(turn.reply);
    this.#drawHow();
  }

  /** Light the reply up to the word that is spoken now. @param {number} characters */
  light(characters) {
    if (characters === this.#lit || !this.#turn?.reply) return;
    this.#lit = characters;
    this.#drawText(this.#turn.reply);
  }

  #drawUtterances(utterances, isNews) {
    const list = this.#find(".utterances");
    this.#find(".who-user").hidden = utterances.length === 0;
    const kept = new Set(utterances.map(({ utterance }) => utterance));
    for (const [number, { span }] of this.#utterances) {
      if (kept.has(number)) continue;
      span.remove();
      this.#utterances.delete(number);
    }
    for (const [place, utterance] of utterances.entries()) {
      const before = this.#utterances.get(utterance.utterance);
      if (before?.utterance === utterance && before.isRouteShown === isNews[place]) continue;
      const span = before?.span ?? list.insertBefore(this.#clone("utterance-template"), list.children[place] ?? null);
      drawUtterance(span, utterance, isNews[place]);
      this.#utterances.set(utterance.utterance, { span, utterance, isRouteShown: isNews[place] });
    }
  }

  #drawReply(reply) {
    const block = this.#find(".reply");
    block.hidden = reply === null;
    if (reply === null) return;
    block.dataset.progress = reply.progress;
    block.dataset.playing = String(this.#isPlaying);
    block.dataset.sound = reply.sound ?? "";
    this.#find(".thinking").hidden = reply.progress !== "waiting";
    this.#drawText(reply);
    this.#find(".reply-end").textContent = endLabel(reply.progress) || soundLabel(reply.sound);
    const replay = this.#find(".replay");
    replay.hidden = !reply.hasRecording || isInProgress(reply);
    replay.querySelector("span").textContent = t(this.#isPlaying ? "reply.stop" : "reply.play");
  }

  /** Spoken, being spoken, and not spoken: while it plays, and of a reply that was interrupted. */
  #drawText({ text, spoken }) {
    const isCut = spoken !== undefined && !this.#isPlaying;
    const [before, word, after] = isCut ? [text.slice(0, spoken), "", text.slice(spoken)] : aroundWord(text, this.#lit ?? text.length);
    write(this.#find(".spoken"), before);
    write(this.#find(".current"), word);
    write(this.#find(".unspoken"), after);
    this.#find(".reply-text").dataset.cut = String(isCut);
    this.#find(".unspoken").title = isCut ? t("reply.unheard") : "";
  }

  /** Details are made when they are opened, because a long conversation would have many. */
  #drawHow() {
    const how = this.#find(".how");
    const summary = this.#turn && summaryOf(this.#turn);
    how.hidden = !summary;
    if (!summary) return;
    write(how.querySelector("summary"), summary);
    if (how.open) drawDetails(how.querySelector(".how-body"), this.#turn);
    else how.querySelector(".how-body").replaceChildren();
  }

  /** @param {string} selector @returns {any} */
  #find(selector) {
    return this.item.querySelector(selector);
  }
}

/** @param {any} span @param {import("./transcript.js").Utterance} utterance @param {boolean} isRouteShown */
function drawUtterance(span, utterance, isRouteShown) {
  const { certainty, text, stable, speaker, language } = utterance;
  const isFinal = certainty === "final";
  const settled = isFinal ? text : text.startsWith(stable) ? stable : "";
  span.dataset.certainty = certainty;
  span.title = certainty === "lost" ? t("utterance.lost") : "";
  if (language && language !== current()) span.lang = language;
  span.querySelector(".speaker").hidden = speaker === null;
  span.querySelector(".speaker").textContent = speakerLabel(speaker);
  span.querySelector(".stable").replaceChildren(...(isFinal ? pieces(text, utterance.words) : [{ text: settled, confidence: null }]).map(piece));
  span.querySelector(".unstable").textContent = text.slice(settled.length);
  const route = isRouteShown ? routeBadge(utterance) : null;
  span.querySelector(".badge").hidden = route === null;
  if (route === null) return;
  span.querySelector(".badge").dataset.place = route.place;
  span.querySelector(".route").textContent = route.label;
  span.querySelector(".route-detail").textContent = route.details.join("\n");
}

/** A doubtful word is marked. @param {{text: string, confidence: ?number}} piece */
function piece({ text, confidence }) {
  if (confidence === null) return text;
  const mark = document.createElement("mark");
  mark.textContent = text;
  mark.title = t("utterance.doubted", { percent: Math.round(confidence * 100) });
  return mark;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
