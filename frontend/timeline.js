/** What happened when in a turn: speech, the wait for its final, the reply's first token and first sound. Pure. */

/**
 * @typedef {{kind: "final" | "token" | "sound", at: number}} Mark  milliseconds from the beginning of speech
 * @typedef {{speech: {from: number, to: number}[], wait: ?{from: number, to: number}, marks: Mark[], length: number}} Timeline
 */

/**
 * The timeline of a turn; null where nothing of it is known. Speech and final are in the server's time, of the audio;
 * what follows is in this page's, and is counted from the final.
 * @param {import("./transcript.js").Turn} turn
 * @returns {?Timeline}
 */
export function timelineOf({ utterances, times }) {
  const spoken = utterances.filter(({ start, end }) => typeof start === "number" && typeof end === "number");
  const speech = spoken.map(({ start, end }) => ({ from: (start - spoken[0].start) * 1000, to: (end - spoken[0].start) * 1000 }));
  const last = spoken.at(-1);
  const spokenMs = speech.at(-1)?.to ?? 0;
  const finalMs = typeof last?.ttfsMs === "number" ? spokenMs + last.ttfsMs : spokenMs;
  const begin = spoken.length > 0 ? times.finalAt : times.replyAt; // of a typed turn the reply's start
  if (begin === undefined) return null;
  const after = (at) => finalMs + Math.max(0, at - begin);
  /** @type {Mark[]} */
  const marks = [];
  if (spoken.length > 0) marks.push({ kind: "final", at: finalMs });
  if (times.tokenAt !== undefined) marks.push({ kind: "token", at: after(times.tokenAt) });
  if (times.soundAt !== undefined) marks.push({ kind: "sound", at: after(times.soundAt) });
  if (marks.length === 0) return null;
  const end = Math.max(...marks.map(({ at }) => at));
  return { speech, wait: spoken.length > 0 ? { from: spokenMs, to: end } : { from: 0, to: end }, marks, length: end };
}
