/** A recording's transcript as files. Pure. */

import { t } from "../strings.js";
import { srtOf, textOf, vttOf } from "../transcript-export.js";

/** Two lines of 42 characters, as subtitles have. */
const MAX_CHARACTERS = 84;
const MAX_S = 7;

/** Who a line is of. @param {import("./spoken-lines.js").Line} line */
export const whoOf = ({ kind, speaker }) => (kind === "reply" ? t("who.parley") : speaker === null ? t("who.user") : t("who.speaker", { number: speaker }));

/**
 * Lines cut between words, so that each can be read while it is shown.
 * @param {readonly import("./spoken-lines.js").Line[]} lines
 */
export function captionsOf(lines) {
  return lines.flatMap((line) => {
    const who = whoOf(line);
    if (line.words.length === 0) return [{ who, text: line.text, start: line.start, end: Math.max(line.end, line.start + 1) }];
    const cut = [];
    for (const word of line.words) {
      const last = cut.at(-1);
      const isFull = !last || last.text.length + last.space.length + word.text.length > MAX_CHARACTERS || word.end - last.start > MAX_S;
      if (isFull) cut.push({ who, text: word.text, space: word.space, start: word.start, end: word.end });
      else Object.assign(last, { text: last.text + last.space + word.text, space: word.space, end: word.end });
    }
    return cut.map(({ space, ...caption }) => caption);
  });
}

/** File types by their ending. @type {Readonly<Record<string, {type: string, write: (lines: import("./spoken-lines.js").Line[]) => string}>>} */
export const FORMATS = Object.freeze({
  txt: { type: "text/plain", write: (lines) => textOf(lines.map((line) => ({ who: whoOf(line), text: line.text }))) },
  srt: { type: "application/x-subrip", write: (lines) => srtOf(captionsOf(lines)) },
  vtt: { type: "text/vtt", write: (lines) => vttOf(captionsOf(lines)) },
  json: { type: "application/json", write: (lines) => `${JSON.stringify(lines.map(withoutSpaces), null, 2)}\n` },
});

const withoutSpaces = ({ words, ...line }) => ({ ...line, words: words.map(({ space, ...word }) => word) });
