/** Cuts a stream of samples into pieces of one length, losing none. Pure. */

export class Cutter {
  #piece;
  #filled = 0;

  /** @param {number} length samples per piece */
  constructor(length) {
    this.#piece = new Float32Array(length);
  }

  /**
   * The pieces these samples complete, in order; the rest waits for more.
   * @param {Float32Array} samples
   * @returns {Float32Array[]}
   */
  push(samples) {
    const pieces = [];
    let taken = 0;
    while (taken < samples.length) {
      const room = this.#piece.length - this.#filled;
      const part = samples.subarray(taken, taken + room);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      taken += part.length;
      if (this.#filled === this.#piece.length) pieces.push(this.flush());
    }
    return pieces;
  }

  /** What waits, shorter than a piece and possibly empty. */
  flush() {
    const piece = this.#piece.slice(0, this.#filled);
    this.#filled = 0;
    return piece;
  }
}
