/**
 * Plays a recording by byte ranges of its WAV: only some seconds around the position are ever held. A request has the
 * page's key, which an `<audio>` element could not send. Main thread.
 */

import { SAMPLE_RATE } from "./spoken-lines.js";
import { floatSamples, headBytes, nextPiece, rangeHeader } from "./wav-range.js";

/** A piece is fetched when less than this is scheduled. */
const AHEAD_S = 4;
/** Between the click and the first sample, so that a piece is never late. */
const LEAD_S = 0.05;

/**
 * @typedef {{at: number, first: number, last: number, node: AudioBufferSourceNode}} Scheduled  `at`: seconds of the context
 */

export class RecordingPlayer {
  #fetch;
  #samples;
  #onChange;
  /** @type {?AudioContext} */
  #context = null;
  /** @type {?AbortController} */
  #run = null;
  /** @type {Scheduled[]} */
  #scheduled = [];
  #position = 0;
  /** @type {?number} */
  #head = null;
  #isWaiting = false;

  /**
   * @param {{fetch: (options: RequestInit) => Promise<Response>, samples: number, onChange: (problem: ?Response | Error) => void}} given
   *   `fetch`: of the recording's WAV; `onChange`: it plays, waits or stands still now, or broke off
   */
  constructor({ fetch, samples, onChange }) {
    this.#fetch = fetch;
    this.#samples = samples;
    this.#onChange = onChange;
  }

  get isPlaying() {
    return this.#run !== null;
  }

  /** Whether it would play, but has nothing to play yet. */
  get isWaiting() {
    return this.isPlaying && this.#isWaiting;
  }

  /** Seconds. */
  get duration() {
    return this.#samples / SAMPLE_RATE;
  }

  /** Seconds; what sounds now. */
  get currentTime() {
    return this.#samplesPlayed() / SAMPLE_RATE;
  }

  set currentTime(seconds) {
    this.seek(seconds);
  }

  /** Play on from the position; at the end, from the beginning. Within a click or key press. */
  play() {
    if (this.isPlaying) return;
    if (this.#position >= this.#samples) this.#position = 0;
    this.#context ??= new AudioContext({ sampleRate: SAMPLE_RATE });
    this.#context.resume();
    const run = (this.#run = new AbortController());
    this.#isWaiting = true;
    this.#onChange(null);
    this.#feed(this.#context, run.signal).catch((error) => {
      if (run.signal.aborted) return;
      this.pause();
      this.#onChange(error);
    });
  }

  pause() {
    if (!this.isPlaying) return;
    this.#position = this.#samplesPlayed();
    this.#run?.abort();
    this.#run = null;
    for (const { node } of this.#scheduled) node.stop();
    this.#scheduled = [];
    this.#onChange(null);
  }

  /** @param {number} seconds */
  seek(seconds) {
    const wasPlaying = this.isPlaying;
    this.pause();
    this.#position = Math.round(Math.min(Math.max(0, seconds), this.duration) * SAMPLE_RATE);
    if (wasPlaying) this.play();
    else this.#onChange(null);
  }

  /** Release everything. */
  close() {
    this.pause();
    this.#context?.close();
    this.#context = null;
  }

  #samplesPlayed() {
    const now = this.#context?.currentTime ?? 0;
    const current = this.#scheduled.filter(({ at }) => at <= now).at(-1);
    if (!current) return this.#scheduled[0]?.first ?? this.#position;
    return Math.min(current.last, current.first + Math.round((now - current.at) * SAMPLE_RATE));
  }

  /** Fetch and schedule, piece by piece, until the end. */
  async #feed(context, signal) {
    let next = this.#position;
    let at = 0;
    while (next < this.#samples) {
      const [first, last] = nextPiece(next, this.#samples, next === this.#position);
      const samples = await this.#read(first, last, signal);
      if (signal.aborted) return;
      at = Math.max(at, context.currentTime + LEAD_S);
      this.#schedule(context, samples, at, first, signal);
      at += samples.length / SAMPLE_RATE;
      next = first + samples.length;
      await pause((at - context.currentTime - AHEAD_S) * 1000, signal);
    }
  }

  #schedule(context, samples, at, first, signal) {
    const buffer = context.createBuffer(1, samples.length, SAMPLE_RATE);
    buffer.copyToChannel(samples, 0);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    node.start(at);
    const last = first + samples.length;
    this.#scheduled.push({ at, first, last, node });
    if (this.#isWaiting) {
      this.#isWaiting = false;
      this.#onChange(null);
    }
    node.onended = () => {
      if (signal.aborted) return;
      if (last >= this.#samples) return this.#finish();
      if (this.#scheduled.length > 1) this.#scheduled.shift();
      else this.#isWaiting = true;
    };
  }

  #finish() {
    this.pause();
    this.#position = this.#samples;
    this.#onChange(null);
  }

  async #read(first, last, signal) {
    this.#head ??= headBytes((await this.#request("bytes=0-1", signal)).headers.get("content-range"), this.#samples) ?? 44;
    const response = await this.#request(rangeHeader(first, last, this.#head), signal);
    return floatSamples(await response.arrayBuffer());
  }

  async #request(range, signal) {
    const response = await this.#fetch({ headers: { range }, signal });
    if (!response.ok) throw response;
    return response;
  }
}

/** Resolves after so many milliseconds, or at once where that is not more than none. */
function pause(ms, signal) {
  if (!(ms > 0)) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve(undefined)), { once: true });
  });
}
