/**
 * Audio thread: copies queued samples to the loudspeaker, silence where there are none.
 *
 * In: `{ samples: Float32Array, turn }` to queue; "flush" to drop the queue; `{ gain, turn }`, the level
 * of a turn's sound from now on; `{ position, turn }`, where in the turn's sound what comes next is. Out:
 * true when sound begins, false when it ends; `{ turn, played }`, how many samples of a turn have been
 * played, four times a second and when its sound ends. Changes of level, and a flush, take RAMP_S. The
 * queue is as long as a reply; a flush or the end empties it.
 */

const REPORTS_PER_S = 4;
const RAMP_S = 0.02;

class PlaybackWorklet extends AudioWorkletProcessor {
  #queue = [];
  #played = 0; // samples of the first array in the queue
  #isPlaying = false;
  #turn = null; // whose sound is being played
  #playedOfTurn = 0;
  #reported = 0;
  #gain = 1;
  #wantedGain = 1;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "flush") this.#flush();
      else if (data.samples) this.#queue.push(data);
      else if ("position" in data) this.#moveTo(data);
      else if (data.turn === this.#turn) this.#wantedGain = data.gain;
    };
  }

  /** Fade out what would be played next, because a sound that is cut clicks. */
  #flush() {
    this.#reportPlayed();
    const [next] = this.#queue;
    const tail = next ? next.samples.slice(this.#played, this.#played + Math.floor(RAMP_S * sampleRate)) : [];
    for (let at = 0; at < tail.length; at += 1) tail[at] *= 1 - (at + 1) / tail.length;
    this.#queue = tail.length > 0 ? [{ samples: tail, turn: next.turn, isTail: true }] : [];
    this.#played = 0;
  }

  #moveTo({ position, turn }) {
    this.#turn = turn;
    this.#playedOfTurn = this.#reported = position;
    this.#wantedGain = 1;
  }

  /** @param {Float32Array[][]} outputs one output, one channel, silent when it is passed in */
  process(_inputs, [[out]]) {
    let filled = 0;
    while (filled < out.length && this.#queue.length > 0) {
      const { samples, turn, isTail } = this.#queue[0];
      this.#begin(turn);
      const part = samples.subarray(this.#played, this.#played + out.length - filled);
      out.set(part, filled);
      this.#applyGain(out.subarray(filled, filled + part.length));
      filled += part.length;
      this.#played += part.length;
      if (!isTail) this.#playedOfTurn += part.length;
      if (this.#played >= samples.length) {
        this.#queue.shift();
        this.#played = 0;
      }
    }
    if (this.#queue.length === 0 || this.#playedOfTurn - this.#reported >= sampleRate / REPORTS_PER_S) this.#reportPlayed();
    this.#report(filled > 0);
    return true;
  }

  #applyGain(out) {
    if (this.#gain === 1 && this.#wantedGain === 1) return;
    const step = 1 / (RAMP_S * sampleRate);
    for (let at = 0; at < out.length; at += 1) {
      const missing = this.#wantedGain - this.#gain;
      this.#gain = Math.abs(missing) <= step ? this.#wantedGain : this.#gain + Math.sign(missing) * step;
      out[at] *= this.#gain;
    }
  }

  #begin(turn) {
    if (turn === this.#turn) return;
    this.#reportPlayed();
    this.#turn = turn;
    this.#gain = this.#wantedGain = 1;
    this.#playedOfTurn = this.#reported = 0;
  }

  #reportPlayed() {
    if (this.#playedOfTurn === this.#reported) return;
    this.#reported = this.#playedOfTurn;
    this.port.postMessage({ turn: this.#turn, played: this.#playedOfTurn });
  }

  #report(isPlaying) {
    if (isPlaying !== this.#isPlaying) this.port.postMessage(isPlaying);
    this.#isPlaying = isPlaying;
  }
}

registerProcessor("playback", PlaybackWorklet);
