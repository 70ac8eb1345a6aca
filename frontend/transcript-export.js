/** The transcript as files: text, SRT, WebVTT, JSON. Pure. */

import { t } from "./strings.js";

/** Of a reply that was not spoken, or of which that is not known. */
const CHARACTERS_PER_S = 15;
/** Of what was typed. */
const LEAST_S = 1;

/**
 * @typedef {{who: string, text: string, start: number, end: number, turn: import("./transcript.js").Turn}} Line
 *   seconds from the beginning of the transcript
 */

/** File types by their ending. */
export const FORMATS = Object.freeze({
  txt: { label: "transcript.text", type: "text/plain", write: toText },
  srt: { label: "transcript.srt", type: "application/x-subrip", write: toSrt },
  vtt: { label: "transcript.vtt", type: "text/vtt", write: toVtt },
  json: { label: "transcript.json", type: "application/json", write: toJson },
});

/**
 * What was said, in its order: finals and replies. The user's times are those of the audio; a reply begins with its sound.
 * Each session counts its audio from zero, so a later one is put behind what was before it.
 * @param {import("./transcript.js").Transcript} transcript
 * @returns {Line[]}
 */
export function lines({ turns }) {
  const found = [];
  let offset = 0;
  let session = null;
  let end = 0;
  for (const turn of turns) {
    const ofSession = turn.key.split(".")[0];
    if (ofSession !== session) [session, offset] = [ofSession, end];
    for (const said of turn.utterances.filter(({ certainty }) => certainty === "final")) {
      const start = said.start === null ? end : offset + said.start;
      const until = said.end === null ? start + LEAST_S : offset + said.end;
      found.push({ who: said.speaker === null ? t("who.user") : t("who.speaker", { number: said.speaker }), text: said.text, start, end: until, turn });
      end = Math.max(end, until);
    }
    const text = spokenPart(turn.reply);
    if (!text) continue;
    const { finalAt, soundAt } = turn.times;
    const start = end + (finalAt !== undefined && soundAt !== undefined ? Math.max(0, soundAt - finalAt) / 1000 : 0);
    end = start + Math.max(LEAST_S, text.length / CHARACTERS_PER_S);
    found.push({ who: t("who.parley"), text, start, end, turn });
  }
  return found;
}

/** @param {import("./transcript.js").Transcript} transcript */
export function toText(transcript) {
  return textOf(lines(transcript));
}

/** @param {readonly {who: string, text: string}[]} said */
export const textOf = (said) => said.map(({ who, text }) => `${who}: ${text}\n`).join("\n");

/** @param {import("./transcript.js").Transcript} transcript */
export function toSrt(transcript) {
  return srtOf(lines(transcript));
}

/** @param {readonly Omit<Line, "turn">[]} said */
export function srtOf(said) {
  return said
    .map(({ who, text, start, end }, at) => `${at + 1}\n${clock(start, ",")} --> ${clock(end, ",")}\n${who}: ${oneBlock(text)}\n`)
    .join("\n");
}

/** @param {import("./transcript.js").Transcript} transcript */
export function toVtt(transcript) {
  return vttOf(lines(transcript));
}

/** @param {readonly Omit<Line, "turn">[]} said */
export function vttOf(said) {
  const escaped = (text) => oneBlock(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("-->", "--&gt;");
  const cues = said.map(
    ({ who, text, start, end }) => `${clock(start, ".")} --> ${clock(end, ".")}\n<v ${escaped(who)}>${escaped(text)}\n`,
  );
  return `WEBVTT\n\n${cues.join("\n")}`;
}

/** @param {import("./transcript.js").Transcript} transcript */
export function toJson(transcript) {
  const turns = transcript.turns.map(({ turn, utterances, reply }) => ({
    turn,
    user: utterances
      .filter(({ certainty }) => certainty === "final")
      .map(({ text, start, end, speaker, language, confidence, words, route, isTyped = false }) => ({
        text, start, end, speaker, language, confidence, words, route, typed: isTyped,
      })),
    reply: reply && { text: reply.text, ended: reply.progress, spoken: spokenPart(reply) },
  }));
  return `${JSON.stringify({ turns }, null, 2)}\n`;
}

/** Of a reply that was interrupted, what was spoken. */
const spokenPart = (reply) => (reply?.spoken === undefined ? reply?.text ?? "" : `${reply.text.slice(0, reply.spoken).trimEnd()} …`);

/** An empty line would end a cue. */
const oneBlock = (text) => text.trim().replace(/\n\s*\n+/g, "\n");

function clock(seconds, point) {
  const ms = Math.round(seconds * 1000);
  const two = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}${point}${String(ms % 1000).padStart(3, "0")}`;
}
