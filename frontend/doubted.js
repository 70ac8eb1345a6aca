/** Which words of a final its engine was not sure of. Pure. */

/** Below it a word is doubtful. */
export const DOUBTED_BELOW = 0.5;

/**
 * The final's text in pieces, in their order: doubtful words with their confidence, all else with null. Words that
 * are not in the text, because it was punctuated or spelled otherwise, are passed over.
 * @param {string} text
 * @param {?{word: string, confidence?: number}[]} words in the order they were said
 * @returns {{text: string, confidence: ?number}[]}
 */
export function pieces(text, words) {
  const found = [];
  let taken = 0;
  let searched = 0;
  for (const { word, confidence } of words ?? []) {
    const at = text.indexOf(word.trim(), searched);
    if (at < 0 || word.trim() === "") continue;
    searched = at + word.trim().length;
    if (typeof confidence !== "number" || confidence >= DOUBTED_BELOW) continue;
    if (at > taken) found.push({ text: text.slice(taken, at), confidence: null });
    found.push({ text: text.slice(at, searched), confidence });
    taken = searched;
  }
  if (taken < text.length) found.push({ text: text.slice(taken), confidence: null });
  return found;
}
