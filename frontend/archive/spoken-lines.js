/** What was said in a recording, line by line, each word with its seconds. Pure. */

/** Of the recordings' audio. */
export const SAMPLE_RATE = 16_000;

/**
 * @typedef {{text: string, start: number, end: number, confidence: ?number, isEstimated: boolean, space: string}} TimedWord
 *   seconds of the recording; `space`: what stands between it and the next word
 * @typedef {{kind: "said" | "reply", number: number, turn: ?number, speaker: ?number, text: string, start: number, end: number,
 *            words: TimedWord[], language: ?string, route: ?string, isCut: boolean, hasAudio: boolean}} Line
 */

/**
 * Finals in their order, each reply behind the last final of its turn.
 * @param {{finals: any[], replies: any[]}} manifest as `GET /recordings/ID/manifest`
 * @returns {Line[]}
 */
export function linesOf({ finals, replies }) {
  const said = finals.filter(({ text }) => text.trim() !== "").map(lineOfFinal);
  /** @type {Line[]} */
  const lines = [];
  for (const [at, line] of said.entries()) {
    lines.push(line);
    if (said[at + 1]?.turn === line.turn && line.turn !== null) continue;
    for (const [place, reply] of replies.entries()) {
      if (reply.turn === line.turn && line.turn !== null) lines.push(lineOfReply(reply, place + 1, line.end));
    }
  }
  return lines;
}

/** @returns {Line} */
function lineOfFinal(final, at) {
  const [first, last] = final.speech ?? [final.start, final.end];
  const [start, end] = [first / SAMPLE_RATE, last / SAMPLE_RATE];
  return {
    kind: "said", number: final.utterance ?? at + 1, turn: final.turn ?? null, speaker: final.speaker ?? null, text: final.text.trim(),
    start, end, words: timedWords(final.text.trim(), final.words ?? [], start, end, final.language ?? undefined),
    language: final.language ?? null, route: final.route ?? null, isCut: false, hasAudio: true,
  };
}

/** @returns {Line} */
function lineOfReply(reply, number, at) {
  const text = (reply.played ?? reply.text).trim();
  return {
    kind: "reply", number, turn: reply.turn, speaker: null, text, start: at, end: at + (reply.samples ?? 0) / SAMPLE_RATE, words: [],
    language: null, route: null, isCut: Boolean(reply.cancelled), hasAudio: Boolean(reply.key),
  };
}

/**
 * The words of a text with their times: those of the engine where it gave them, else shared out by their letters.
 * @param {string} text
 * @param {{text: string, start: number, end: number, confidence?: number}[]} known in samples of the recording
 * @param {number} start @param {number} end seconds @param {string} [language]
 * @returns {TimedWord[]}
 */
export function timedWords(text, known, start, end, language) {
  const found = alignedWords(text, known);
  return found.length > 0 ? found : estimatedWords(text, start, end, language);
}

function alignedWords(text, known) {
  const found = [];
  let searched = 0;
  for (const word of known) {
    const at = text.indexOf(word.text.trim(), searched);
    if (at < 0 || word.text.trim() === "") continue;
    if (found.length > 0) found[found.length - 1].space = text.slice(searched, at);
    // What stands in front of the first word, and marks that the engine left out, belong to a word.
    const from = found.length === 0 ? 0 : at;
    searched = at + word.text.trim().length;
    found.push({ text: text.slice(from, searched), start: word.start / SAMPLE_RATE, end: word.end / SAMPLE_RATE, confidence: word.confidence ?? null, isEstimated: false, space: "" });
  }
  if (found.length > 0) found[found.length - 1].text += text.slice(searched);
  return found.map(withoutLetterlessSpace);
}

/** Marks between two words, such as a comma that the engine left out, belong to the first of them. */
function withoutLetterlessSpace(word) {
  const [, marks, space] = /^(\S*)([^]*)$/.exec(word.space) ?? ["", "", word.space];
  return { ...word, text: word.text + marks, space };
}

function estimatedWords(text, start, end, language) {
  const parts = wordsIn(text, language);
  const letters = parts.reduce((sum, part) => sum + part.text.length + 1, 0);
  const perLetter = letters > 0 ? (end - start) / letters : 0;
  let at = start;
  return parts.map((part) => {
    const from = at;
    at += (part.text.length + 1) * perLetter;
    return { ...part, start: from, end: at, confidence: null, isEstimated: true };
  });
}

/** Words with the space behind each; where a script has no spaces, by the rules of its language. */
function wordsIn(text, language) {
  const spaced = [...text.matchAll(/(\S+)(\s*)/g)].map(([, word, space]) => ({ text: word, space }));
  const isUnspaced = /[\u3040-\u30ff\u3400-\u9fff]/.test(text);
  if (!isUnspaced) return spaced;
  const segmenter = new Intl.Segmenter(language, { granularity: "word" });
  const parts = [];
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (isWordLike || parts.length === 0) parts.push({ text: segment, space: "" });
    else if (segment.trim() === "") parts[parts.length - 1].space += segment;
    else parts[parts.length - 1].text += segment;
  }
  return parts;
}
