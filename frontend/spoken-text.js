/**
 * How far the voice is in a reply's text. The protocol has no times of words, so the text is taken to be
 * spoken evenly: over all of its audio once that is there, and until then at a usual pace.
 */

/** Of a voice at its usual pace. */
const CHARACTERS_PER_S = 15;

export class SpokenText {
  #key = null;
  #queuedS = 0;
  #positionS = 0;
  #at = 0; // when the position was reported, milliseconds
  #shown = 0;

  /** Audio was queued for playing. @param {string} key the turn's @param {number} seconds */
  queue(key, seconds) {
    this.#of(key);
    this.#queuedS += seconds;
  }

  /** So much of the turn's audio has been played. @param {string} key @param {number} seconds @param {number} at milliseconds */
  moveTo(key, seconds, at) {
    this.#of(key);
    this.#positionS = seconds;
    this.#at = at;
  }

  /**
   * Characters of the text that have been spoken; never fewer than it said before.
   * @param {string} text the turn's, so far
   * @param {boolean} isComplete whether all of its text and audio are there
   * @param {number} at milliseconds; between two reports the voice is taken to go on
   */
  characters(text, isComplete, at) {
    const seconds = Math.min(this.#queuedS, this.#positionS + Math.max(0, at - this.#at) / 1000);
    const perSecond = isComplete && this.#queuedS > 0 ? text.length / this.#queuedS : CHARACTERS_PER_S;
    this.#shown = Math.min(text.length, Math.max(this.#shown, Math.round(seconds * perSecond)));
    return this.#shown;
  }

  /** Another turn begins anew. */
  #of(key) {
    if (key === this.#key) return;
    this.#key = key;
    this.#queuedS = this.#positionS = this.#at = this.#shown = 0;
  }
}

/**
 * A text around the word at a position: what is before it, the word, what follows. Pure.
 * @param {string} text
 * @param {number} characters so many are spoken
 * @returns {[string, string, string]}
 */
export function aroundWord(text, characters) {
  if (characters >= text.length) return [text, "", ""];
  let from = characters;
  while (from > 0 && !/\s/.test(text[from - 1])) from -= 1;
  let to = characters;
  while (to < text.length && !/\s/.test(text[to])) to += 1;
  return [text.slice(0, from), text.slice(from, to), text.slice(to)];
}
