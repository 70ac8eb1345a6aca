/** Draws the transcript: redraws what changed, keeps what did not. */

import { badge, ending } from "./describe.js";
import { isInProgress } from "./transcript.js";

/** Pixels from the bottom within which the reader is taken to follow along. */
const FOLLOWING = 120;

export class ConversationView {
  #document;
  #drawn = new Map(); // turn key -> {item, turn, utterances: Map, sounding}
  #onReplay;

  /** @param {Document} document @param {(key: string) => void} onReplay */
  constructor(document, onReplay) {
    this.#document = document;
    this.#onReplay = onReplay;
  }

  /**
   * @param {import("./transcript.js").Transcript} transcript
   * @param {?string} sounding key of the turn whose reply is heard now
   */
  draw({ turns }, sounding) {
    const scroll = this.#get("scroll");
    const isFollowing = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOWING;
    const kept = new Set(turns.map(({ key }) => key));
    for (const [key, { item }] of this.#drawn) {
      if (kept.has(key)) continue;
      item.remove();
      this.#drawn.delete(key);
    }
    for (const turn of turns) this.#drawTurn(turn, turn.key === sounding);
    this.#get("welcome").hidden = turns.length > 0;
    if (isFollowing) scroll.scrollTop = scroll.scrollHeight;
  }

  #drawTurn(turn, isSounding) {
    const drawn = this.#drawn.get(turn.key) ?? this.#addTurn(turn.key);
    if (drawn.turn === turn && drawn.isSounding === isSounding) return;
    this.#drawSaid(drawn, turn.utterances);
    this.#drawReply(drawn.item.querySelector(".reply"), turn.reply, isSounding);
    Object.assign(drawn, { turn, isSounding });
  }

  #addTurn(key) {
    const item = this.#copy("turn-template");
    item.querySelector(".replay").onclick = () => this.#onReplay(key);
    this.#get("conversation").append(item);
    const drawn = { item, turn: null, isSounding: false, utterances: new Map() };
    this.#drawn.set(key, drawn);
    return drawn;
  }

  #drawSaid({ item, utterances: spans }, utterances) {
    const said = item.querySelector(".said");
    const kept = new Set(utterances.map(({ utterance }) => utterance));
    for (const [number, { span }] of spans) {
      if (kept.has(number)) continue;
      span.remove();
      spans.delete(number);
    }
    for (const utterance of utterances) {
      const before = spans.get(utterance.utterance);
      if (before?.utterance === utterance) continue;
      const span = before?.span ?? said.appendChild(this.#copy("utterance-template"));
      drawUtterance(span, utterance);
      spans.set(utterance.utterance, { span, utterance });
    }
  }

  #drawReply(block, reply, isSounding) {
    block.hidden = reply === null;
    if (reply === null) return;
    block.dataset.progress = reply.progress;
    block.dataset.sounding = isSounding;
    block.querySelector(".reply-text").textContent = reply.text;
    block.querySelector(".reply-end").textContent = ending(reply.progress);
    const replay = block.querySelector(".replay");
    replay.hidden = reply.audio === "" || isInProgress(reply);
    replay.querySelector("span").textContent = isSounding ? "Stop" : "Play";
  }

  #get(id) {
    return this.#document.getElementById(id);
  }

  #copy(templateId) {
    return this.#get(templateId).content.firstElementChild.cloneNode(true);
  }
}

function drawUtterance(span, utterance) {
  const isAhead = utterance.certainty !== "final" && utterance.text.startsWith(utterance.stable);
  const stable = utterance.certainty === "final" ? utterance.text : isAhead ? utterance.stable : "";
  span.dataset.certainty = utterance.certainty;
  span.title = utterance.certainty === "lost" ? "The connection broke before this was finished" : "";
  span.querySelector(".stable").textContent = stable;
  span.querySelector(".unstable").textContent = utterance.text.slice(stable.length);
  const route = badge(utterance);
  span.querySelector(".badge").hidden = route === null;
  if (route === null) return;
  span.querySelector(".badge").dataset.place = route.place;
  span.querySelector(".route").textContent = route.label;
  span.querySelector(".route-detail").textContent = route.details.join("\n");
}
