/**
 * Audio thread: copies queued samples to the loudspeaker, silence where there are none.
 *
 * In: a Float32Array to queue, or "flush" to drop the queue. Out: true when sound
 * begins, false when it ends. The queue is as long as a reply; a flush or the end empties it.
 */

class PlaybackWorklet extends AudioWorkletProcessor {
  #queue = [];
  #played = 0; // samples of the first array in the queue
  #isPlaying = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "flush") this.#flush();
      else this.#queue.push(data);
    };
  }

  #flush() {
    this.#queue = [];
    this.#played = 0;
  }

  /** @param {Float32Array[][]} outputs one output, one channel, silent when it is passed in */
  process(_inputs, [[out]]) {
    let filled = 0;
    while (filled < out.length && this.#queue.length > 0) {
      const part = this.#queue[0].subarray(this.#played, this.#played + out.length - filled);
      out.set(part, filled);
      filled += part.length;
      this.#played += part.length;
      if (this.#played >= this.#queue[0].length) {
        this.#queue.shift();
        this.#played = 0;
      }
    }
    this.#report(filled > 0);
    return true;
  }

  #report(isPlaying) {
    if (isPlaying !== this.#isPlaying) this.port.postMessage(isPlaying);
    this.#isPlaying = isPlaying;
  }
}

registerProcessor("playback", PlaybackWorklet);
