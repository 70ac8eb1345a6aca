/** Cuts a stream of samples into frames of one length, losing none. Pure. */

export class Framer {
  #frame;
  #filled = 0;

  /** @param {number} length samples per frame */
  constructor(length) {
    this.#frame = new Float32Array(length);
  }

  /**
   * The frames these samples complete, in order; the remainder is kept for the next call.
   * @param {Float32Array} samples
   * @returns {Float32Array[]}
   */
  push(samples) {
    const frames = [];
    let taken = 0;
    while (taken < samples.length) {
      const room = this.#frame.length - this.#filled;
      const part = samples.subarray(taken, taken + room);
      this.#frame.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === this.#frame.length) frames.push(this.flush());
    }
    return frames;
  }

  /** The remainder: shorter than a frame and possibly empty. */
  flush() {
    const frame = this.#frame.slice(0, this.#filled);
    this.#filled = 0;
    return frame;
  }
}
