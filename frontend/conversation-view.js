/** Draws the transcript, touching only the turns that changed. */

import { endLabel, routeBadge, soundLabel, speakerLabel } from "./labels.js";
import { isInProgress } from "./transcript.js";

/** Within so many pixels of the bottom the view scrolls along with new text. */
const FOLLOW_DISTANCE = 120;

export class ConversationView {
  #document;
  #drawn = new Map(); // turn key -> {item, turn, isPlaying, utterances: Map}
  #onReplay;

  /** @param {Document} document @param {(key: string) => void} onReplay */
  constructor(document, onReplay) {
    this.#document = document;
    this.#onReplay = onReplay;
  }

  /**
   * @param {import("./transcript.js").Transcript} transcript
   * @param {?string} playingKey key of the turn whose reply is playing
   */
  draw({ turns }, playingKey) {
    const scroll = this.#get("scroll");
    const isFollowing = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOW_DISTANCE;
    const kept = new Set(turns.map(({ key }) => key));
    for (const [key, { item }] of this.#drawn) {
      if (kept.has(key)) continue;
      item.remove();
      this.#drawn.delete(key);
    }
    for (const turn of turns) this.#drawTurn(turn, turn.key === playingKey);
    this.#get("welcome").hidden = turns.length > 0;
    if (isFollowing) scroll.scrollTop = scroll.scrollHeight;
  }

  #drawTurn(turn, isPlaying) {
    const drawn = this.#drawn.get(turn.key) ?? this.#addTurn(turn.key);
    if (drawn.turn === turn && drawn.isPlaying === isPlaying) return;
    this.#drawUtterances(drawn, turn.utterances);
    this.#drawReply(drawn.item.querySelector(".reply"), turn.reply, isPlaying);
    Object.assign(drawn, { turn, isPlaying });
  }

  #addTurn(key) {
    const item = this.#clone("turn-template");
    item.querySelector(".replay").onclick = () => this.#onReplay(key);
    this.#get("conversation").append(item);
    const drawn = { item, turn: null, isPlaying: false, utterances: new Map() };
    this.#drawn.set(key, drawn);
    return drawn;
  }

  #drawUtterances({ item, utterances: spans }, utterances) {
    const list = item.querySelector(".utterances");
    const kept = new Set(utterances.map(({ utterance }) => utterance));
    for (const [number, { span }] of spans) {
      if (kept.has(number)) continue;
      span.remove();
      spans.delete(number);
    }
    for (const [place, utterance] of utterances.entries()) {
      const before = spans.get(utterance.utterance);
      if (before?.utterance === utterance) continue;
      const span = before?.span ?? list.insertBefore(this.#clone("utterance-template"), list.children[place] ?? null);
      drawUtterance(span, utterance);
      spans.set(utterance.utterance, { span, utterance });
    }
  }

  #drawReply(block, reply, isPlaying) {
    block.hidden = reply === null;
    if (reply === null) return;
    block.dataset.progress = reply.progress;
    block.dataset.playing = isPlaying;
    block.dataset.sound = reply.sound ?? "";
    block.querySelector(".reply-text").textContent = reply.text;
    block.querySelector(".reply-end").textContent = endLabel(reply.progress) || soundLabel(reply.sound);
    const replay = block.querySelector(".replay");
    replay.hidden = !reply.hasRecording || isInProgress(reply);
    replay.querySelector("span").textContent = isPlaying ? "Stop" : "Play";
  }

  #get(id) {
    return this.#document.getElementById(id);
  }

  #clone(templateId) {
    return this.#get(templateId).content.firstElementChild.cloneNode(true);
  }
}

function drawUtterance(span, utterance) {
  const extendsStable = utterance.certainty !== "final" && utterance.text.startsWith(utterance.stable);
  const stable = utterance.certainty === "final" ? utterance.text : extendsStable ? utterance.stable : "";
  span.dataset.certainty = utterance.certainty;
  span.title = utterance.certainty === "lost" ? "The connection broke before this was finished" : "";
  const speaker = span.querySelector(".speaker");
  speaker.hidden = utterance.speaker === null;
  speaker.textContent = speakerLabel(utterance.speaker);
  span.querySelector(".stable").textContent = stable;
  span.querySelector(".unstable").textContent = utterance.text.slice(stable.length);
  const route = routeBadge(utterance);
  span.querySelector(".badge").hidden = route === null;
  if (route === null) return;
  span.querySelector(".badge").dataset.place = route.place;
  span.querySelector(".route").textContent = route.label;
  span.querySelector(".route-detail").textContent = route.details.join("\n");
}
