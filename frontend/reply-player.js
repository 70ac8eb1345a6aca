/** The sound of replies: as it arrives, or again from its recording; silence; and how far the voice is in the text. */

import { decode } from "./pcm.js";
import { Playback } from "./playback.js";
import { played } from "./protocol.js";
import { ReplyRecordings } from "./recordings.js";
import { SpokenText, aroundWord } from "./spoken-text.js";

const SAMPLE_RATE = 16_000; // the server's usual rate; each packet names its own

export class ReplyPlayer {
  #on;
  #playback = new Playback((isPlaying) => this.#update(isPlaying), (turn, samples) => this.#report(turn, samples));
  #recordings = new ReplyRecordings();
  #spoken = new SpokenText();
  #key = null; // the turn whose reply is playing, or is about to
  #isPlaying = false;
  #sampleRate = SAMPLE_RATE;
  #silenced = new Set(); // turns whose further audio is dropped

  /**
   * A turn's key is that of the transcript.
   * @param {{keyOf: (turn: number) => string, send: (message: string) => void, onPlaying: (isPlaying: boolean) => void}} listeners
   */
  constructor(listeners) {
    this.#on = listeners;
  }

  /** Key of the turn whose reply is playing; null where none is. @returns {?string} */
  get playingKey() {
    return this.#isPlaying ? this.#key : null;
  }

  /** Within a click or key press, because browsers let a page play sound only after one. */
  open() {
    this.#playback.open(SAMPLE_RATE);
  }

  /** @param {string} deviceId empty for the system's own */
  useDevice(deviceId) {
    this.#playback.useDevice(deviceId);
  }

  /** @param {number} turn @param {number} sampleRate @param {Uint8Array} pcm */
  play(turn, sampleRate, pcm) {
    const key = this.#on.keyOf(turn);
    if (this.#silenced.has(key)) return;
    this.#key = key;
    this.#sampleRate = sampleRate;
    this.#spoken.queue(key, pcm.length / 2 / sampleRate);
    this.#playback.play(decode(pcm), sampleRate, turn);
  }

  /** A reply begins. @param {string} key */
  begin(key) {
    this.#silenced.delete(key);
  }

  /** Another session begins, whose turns have other keys. */
  forget() {
    this.#silenced.clear();
  }

  /** @param {?string} key null: whatever is playing */
  silence(key) {
    const silenced = key ?? this.#key;
    if (silenced === null) return;
    this.#silenced.add(silenced);
    if (this.#key === silenced) this.#playback.flush();
  }

  /** Whatever is playing ends; what comes later is played. */
  flush() {
    this.#playback.flush();
  }

  /** Nothing came of the interruption: the server sends again what was not played. @param {number} turn @param {number} samples */
  resume(turn, samples) {
    this.#silenced.delete(this.#on.keyOf(turn));
    this.#playback.moveTo(turn, samples);
  }

  /** @param {number} turn @param {boolean} isDucked */
  duck(turn, isDucked) {
    this.#playback.duck(turn, isDucked);
  }

  /** Keep a reply's sound. @param {string} key @param {string} mp3 base64 @returns {string[]} turns whose sound is dropped for it */
  keep(key, mp3) {
    return this.#recordings.add(key, mp3);
  }

  /** Play a reply again, or stop that. @param {string} key */
  toggle(key) {
    const wasPlaying = this.playingKey === key;
    this.#playback.flush();
    if (wasPlaying) return;
    this.#key = key;
    this.#playback.replay(this.#recordings.get(key));
  }

  /** Characters of the reply that have been spoken. @param {import("./transcript.js").Reply} reply the one that is playing @param {number} now milliseconds */
  spokenCharacters({ text, progress }, now) {
    const share = this.#playback.recordingShare;
    return share === null ? this.#spoken.characters(text, progress === "complete", now) : Math.round(text.length * share);
  }

  /**
   * Characters of an interrupted reply that were spoken, up to the end of a word; null where a recording was playing, or nothing.
   * @param {string} key @param {import("./transcript.js").Reply} reply @param {number} now milliseconds
   */
  interruptedAt(key, reply, now) {
    if (this.playingKey !== key || this.#playback.recordingShare !== null) return null;
    const [before, word] = aroundWord(reply.text, this.spokenCharacters(reply, now));
    return before.length + word.length;
  }

  stop() {
    this.#playback.stop();
  }

  #update(isPlaying) {
    this.#isPlaying = isPlaying;
    this.#on.onPlaying(isPlaying);
  }

  /** The server keeps an interrupted reply up to the word that was played. */
  #report(turn, samples) {
    this.#on.send(played(turn, samples));
    this.#spoken.moveTo(this.#on.keyOf(turn), samples / this.#sampleRate, performance.now());
  }
}
