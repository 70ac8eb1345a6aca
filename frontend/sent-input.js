/**
 * What the user said and ordered, until the server has it: so that another connection goes on with
 * it, behind the last sample that arrived. Pure.
 *
 * @typedef {{pcm: ?Uint8Array, sampleRate: number, text: ?string, spokenMs: number, samples: number,
 *            messages: number, isSent: boolean}} Kept  audio or a message; `samples` and `messages`
 *            are the session's up to its end
 */

import { numbered, pack } from "./protocol.js";

export const MAX_KEPT_MS = 30_000;

export class SentInput {
  #kept = [];
  #samples = 0;
  #messages = 0;

  /** True while something has not arrived, or was not sent. */
  get isEmpty() {
    return this.#kept.length === 0;
  }

  /** True while something was sent and has not arrived. */
  get isAwaited() {
    return this.#kept.some((kept) => kept.isSent);
  }

  /**
   * Keep audio; beyond MAX_KEPT_MS the oldest is dropped.
   * @param {Uint8Array} pcm @param {number} sampleRate
   * @returns {number} how many pieces were dropped
   */
  addAudio(pcm, sampleRate) {
    const spokenMs = (pcm.length / 2 / sampleRate) * 1000;
    this.#add({ pcm, sampleRate, text: null, spokenMs });
    let keptMs = this.#kept.reduce((sum, kept) => sum + kept.spokenMs, 0);
    let dropped = 0;
    while (keptMs > MAX_KEPT_MS) {
      keptMs -= this.#kept.shift().spokenMs;
      dropped += 1;
    }
    return dropped;
  }

  /** Keep a message. @param {string} text JSON */
  addMessage(text) {
    this.#add({ pcm: null, sampleRate: 0, text, spokenMs: 0 });
  }

  /** The server has so many samples, and the messages up to this number. */
  confirm(samples, messages) {
    const isOpen = (kept) => kept.samples > samples || kept.messages > messages;
    const first = this.#kept.findIndex(isOpen);
    this.#kept = first < 0 ? [] : this.#kept.slice(first);
  }

  /** The frames that were not sent on this connection, in order. @returns {(Uint8Array | string)[]} */
  takeUnsent() {
    const unsent = this.#kept.filter((kept) => !kept.isSent);
    for (const kept of unsent) kept.isSent = true;
    return unsent.map(frameOf);
  }

  /** The connection is lost: what has not arrived is to be sent again. */
  unsend() {
    for (const kept of this.#kept) kept.isSent = false;
  }

  /** Positions begin anew, for another session. */
  renumber() {
    const kept = this.#kept;
    this.clear();
    for (const piece of kept) this.#add(piece);
  }

  /** What was sent has arrived, or never will: keep what was not. */
  forgetSent() {
    this.#kept = this.#kept.filter((kept) => !kept.isSent);
  }

  clear() {
    this.#kept = [];
    this.#samples = this.#messages = 0;
  }

  #add({ pcm, sampleRate, text, spokenMs }) {
    if (pcm) this.#samples += pcm.length / 2;
    else this.#messages += 1;
    this.#kept.push({ pcm, sampleRate, text, spokenMs, samples: this.#samples, messages: this.#messages, isSent: false });
  }
}

function frameOf({ pcm, sampleRate, text, samples, messages }) {
  return pcm ? pack({ sampleRate, start: samples - pcm.length / 2 }, pcm) : numbered(text, messages);
}
