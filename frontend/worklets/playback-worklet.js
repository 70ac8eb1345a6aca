/**
 * Audio thread: copies queued samples to the loudspeaker, silence where there are none.
 *
 * In: `{ samples: Float32Array, turn }` to queue, or "flush" to drop the queue. Out: true when sound
 * begins, false when it ends; `{ turn, played }`, how many samples of a turn have been played, four
 * times a second and when its sound ends. The queue is as long as a reply; a flush or the end empties it.
 */

const REPORTS_PER_S = 4;

class PlaybackWorklet extends AudioWorkletProcessor {
  #queue = [];
  #played = 0; // samples of the first array in the queue
  #isPlaying = false;
  #turn = null; // whose sound is being played
  #playedOfTurn = 0;
  #reported = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "flush") this.#flush();
      else this.#queue.push(data);
    };
  }

  #flush() {
    this.#reportPlayed();
    this.#queue = [];
    this.#played = 0;
  }

  /** @param {Float32Array[][]} outputs one output, one channel, silent when it is passed in */
  process(_inputs, [[out]]) {
    let filled = 0;
    while (filled < out.length && this.#queue.length > 0) {
      const { samples, turn } = this.#queue[0];
      this.#begin(turn);
      const part = samples.subarray(this.#played, this.#played + out.length - filled);
      out.set(part, filled);
      filled += part.length;
      this.#played += part.length;
      this.#playedOfTurn += part.length;
      if (this.#played >= samples.length) {
        this.#queue.shift();
        this.#played = 0;
      }
    }
    if (this.#queue.length === 0 || this.#playedOfTurn - this.#reported >= sampleRate / REPORTS_PER_S) this.#reportPlayed();
    this.#report(filled > 0);
    return true;
  }

  #begin(turn) {
    if (turn === this.#turn) return;
    this.#reportPlayed();
    this.#turn = turn;
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
