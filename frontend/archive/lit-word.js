/** Which word is spoken at a moment. Pure. */

/** A word stays lit through a pause of so many seconds behind it. */
const LINGER_S = 0.35;

/**
 * The place of the word that is spoken, or was until just now; -1 where none is.
 * @param {readonly {start: number, end: number}[]} words in the order of their starts
 * @param {number} seconds
 */
export function wordAt(words, seconds) {
  let [low, high] = [0, words.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  const word = words[low - 1];
  return word && seconds < word.end + LINGER_S ? low - 1 : -1;
}

/**
 * The first word of a line that a search has found, so that its recording opens there; null where there is none.
 * @param {readonly {text: string, start: number}[]} words @param {string} search as the user wrote it
 */
export function firstMatch(words, search) {
  const terms = folded(search).filter(Boolean);
  return terms.length === 0 ? null : (words.find(({ text }) => folded(text).some((part) => terms.some((term) => part.startsWith(term)))) ?? null);
}

/** Whether a word is one of those that were searched for. @param {string} text @param {string} search */
export const isMatch = (text, search) => firstMatch([{ text, start: 0 }], search) !== null;

/** Words without case, accents and punctuation, as the server compares them. */
function folded(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
}
