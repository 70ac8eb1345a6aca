/**
 * The sound of the newest replies, for playing them again. Each is a Blob behind an object URL; of older replies the URL
 * is revoked, so that a long conversation does not fill the browser's memory.
 */

/** Replies whose sound is kept. */
const KEEP = 10;

export class ReplyRecordings {
  #urls;
  #keep;
  #byTurn = new Map(); // turn key -> object URL, oldest first

  /** @param {{urls?: {createObjectURL: (blob: Blob) => string, revokeObjectURL: (url: string) => void}, keep?: number}} [options] */
  constructor({ urls = URL, keep = KEEP } = {}) {
    this.#urls = urls;
    this.#keep = keep;
  }

  /**
   * Keep the sound of a turn's reply.
   * @param {string} key the turn's
   * @param {string} mp3 base64
   * @returns {string[]} keys of the turns whose sound is dropped for it
   */
  add(key, mp3) {
    this.#drop(key);
    const bytes = Uint8Array.from(atob(mp3), (character) => character.charCodeAt(0));
    this.#byTurn.set(key, this.#urls.createObjectURL(new Blob([bytes], { type: "audio/mpeg" })));
    const dropped = [...this.#byTurn.keys()].slice(0, Math.max(0, this.#byTurn.size - this.#keep));
    for (const old of dropped) this.#drop(old);
    return dropped;
  }

  /** The object URL of a turn's sound, or undefined. @param {string} key */
  get(key) {
    return this.#byTurn.get(key);
  }

  #drop(key) {
    if (!this.#byTurn.has(key)) return;
    this.#urls.revokeObjectURL(this.#byTurn.get(key));
    this.#byTurn.delete(key);
  }
}
