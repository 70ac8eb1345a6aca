/**
 * The conversation's state: a reducer from the server's messages to what is drawn. Pure.
 *
 * A turn is what the user said up to a reply, plus that reply. Every object in here is
 * replaced when it changes and kept when it does not, so `===` tells what to redraw. Of a long
 * conversation the newest MAX_TURNS are kept.
 *
 * @typedef {"draft" | "final" | "lost"} Certainty  a lost utterance was cut off with its connection
 * @typedef {{utterance: number, text: string, stable: string, certainty: Certainty, route: ?object,
 *            ttfsMs: ?number, start: ?number, end: ?number, speaker: ?number, language: ?string,
 *            confidence: ?number, words: ?{word: string, start: number, end: number, confidence: number}[],
 *            isTyped?: boolean}} Utterance
 * @typedef {"waiting" | "streaming" | "complete" | "barge_in" | "cancelled" | "failed"} Progress
 * @typedef {"ducked" | "paused" | undefined} Sound  while the user speaks over the reply
 * @typedef {{text: string, progress: Progress, hasRecording: boolean, sound?: Sound, spoken?: number}} Reply  its
 *   recording is in ReplyRecordings; `spoken`: so many characters were, of one that was interrupted
 * @typedef {{finalAt?: number, replyAt?: number, tokenAt?: number, soundAt?: number}} Times  milliseconds of one clock
 * @typedef {{key: string, turn: number, utterances: Utterance[], reply: ?Reply, times: Times}} Turn
 * @typedef {{sessions: number, turns: Turn[], typed: string[], dropped: number}} Transcript  `typed`: texts that were
 *   sent, and that no turn has yet; `dropped`: turns that are not kept any more
 */

/** Turns that are kept. */
export const MAX_TURNS = 300;
/** Behind whatever is spoken in the same turn. */
const TYPED = Number.MAX_SAFE_INTEGER;

/** @type {Transcript} */
export const EMPTY = Object.freeze({ sessions: 0, turns: [], typed: [], dropped: 0 });

const IN_PROGRESS = ["waiting", "streaming"];
const CANCELLED = ["barge_in", "cancelled", "failed"];

/** True while more of this reply may come. */
export const isInProgress = (reply) => reply !== null && IN_PROGRESS.includes(reply.progress);

/**
 * The transcript after one message.
 * @param {Transcript} transcript
 * @param {object} message as `parse` returns it
 * @param {number} [at] when it came, in milliseconds
 * @returns {Transcript}
 */
export function receive(transcript, message, at = 0) {
  switch (message.type) {
    case "session":
      return message.isResumed ? transcript : { ...disconnect(transcript), sessions: transcript.sessions + 1 };
    case "realtime":
      return updateUtterance(transcript, message, { text: message.text, stable: message.stable, certainty: "draft" });
    case "fullSentence": {
      const { type: _, turn: __, utterance: ___, seq: ____, ...said } = message;
      const final = { ...said, stable: message.text, certainty: "final" };
      return note(updateUtterance(transcript, message, final), message, { finalAt: at });
    }
    case "speaker":
      return labelUtterance(transcript, message);
    case "replyStart":
      return note(
        updateReply(takeTyped(transcript, message), message, () => ({ text: "", progress: "waiting", hasRecording: false })),
        message,
        { replyAt: at, tokenAt: undefined, soundAt: undefined },
      );
    case "replyDelta":
      return noteFirst(
        updateReply(transcript, message, (reply) =>
          unlessEnded(reply, { ...reply, text: (reply?.text ?? "") + message.text, progress: "streaming", hasRecording: false }),
        ),
        message,
        "tokenAt",
        at,
      );
    case "server_response":
      return updateReply(transcript, message, (reply) =>
        unlessEnded(reply, withSound({ text: message.message, progress: "complete", hasRecording: message.audio !== "" }, reply?.sound)),
      );
    case "replyCancelled":
      return updateReply(transcript, message, (reply) => reply && withSound({ ...reply, progress: reasonFor(message.reason) }));
    case "replyDucked":
      return updateReply(transcript, message, (reply) => reply && withSound(reply, "ducked"));
    case "replyPaused":
      return updateReply(transcript, message, (reply) => reply && withSound(reply, "paused"));
    case "replyRestored":
    case "replyResumed":
    case "replyInterrupted":
      return updateReply(transcript, message, (reply) => reply && withSound(reply));
    default:
      return transcript;
  }
}

/** The transcript with a text that the user has sent, until a turn has it. @param {string} text */
export const type = (transcript, text) => ({ ...transcript, typed: [...transcript.typed, text] });

/** The transcript once the sound of a turn's reply has begun. @param {string} key the turn's @param {number} at milliseconds */
export const noteSound = (transcript, key, at) => noteFirst(transcript, { key }, "soundAt", at);

/** The transcript with how much of an interrupted reply was spoken. @param {string} key the turn's @param {number} characters */
export function noteSpoken(transcript, key, characters) {
  const change = (turn) => (turn.key === key && turn.reply ? { ...turn, reply: { ...turn.reply, spoken: characters } } : turn);
  return { ...transcript, turns: transcript.turns.map(change) };
}

/** The transcript after a recording was dropped: that turn's reply cannot be played again. @param {string} key the turn's */
export function dropRecording(transcript, key) {
  const drop = (turn) => (turn.key === key ? { ...turn, reply: { ...turn.reply, hasRecording: false } } : turn);
  return { ...transcript, turns: transcript.turns.map(drop) };
}

/** The transcript once the connection is gone: open drafts are lost, and open replies failed. */
export function disconnect(transcript) {
  const isOpen = (turn) => isInProgress(turn.reply) || turn.utterances.some((utterance) => utterance.certainty === "draft");
  if (!transcript.turns.some(isOpen)) return transcript;
  const turns = transcript.turns.map((turn) =>
    isOpen(turn)
      ? {
          ...turn,
          utterances: turn.utterances.map((utterance) =>
            utterance.certainty === "draft" ? { ...utterance, certainty: "lost" } : utterance,
          ),
          reply: isInProgress(turn.reply) ? { ...turn.reply, progress: "failed" } : turn.reply,
        }
      : turn,
  );
  return { ...transcript, turns };
}

const UNKNOWN = { route: null, ttfsMs: null, start: null, end: null, speaker: null, language: null, confidence: null, words: null };

/** What was typed is said as soon as a reply to it starts, whose text holds it. */
function takeTyped(transcript, { turn, text }) {
  const taken = transcript.typed.filter((typed) => text.includes(typed.trim()));
  if (taken.length === 0) return transcript;
  const typed = transcript.typed.filter((each) => !taken.includes(each));
  const said = { text: taken.join("\n"), stable: taken.join("\n"), certainty: "final", isTyped: true };
  return updateUtterance({ ...transcript, typed }, { turn, utterance: TYPED }, said);
}

/** @param {Transcript} transcript @param {{turn?: number, key?: string}} which the turn's number, or its key @param {Times} times */
function note(transcript, { turn, key = `${transcript.sessions}.${turn}` }, times) {
  const change = (each) => (each.key === key ? { ...each, times: { ...each.times, ...times } } : each);
  return { ...transcript, turns: transcript.turns.map(change) };
}

/** @param {Transcript} transcript @param {{turn?: number, key?: string}} which @param {keyof Times} name @param {number} at */
function noteFirst(transcript, { turn, key = `${transcript.sessions}.${turn}` }, name, at) {
  const known = transcript.turns.find((each) => each.key === key);
  return known === undefined || known.times[name] !== undefined ? transcript : note(transcript, { key }, { [name]: at });
}

function updateUtterance(transcript, { turn, utterance }, change) {
  return updateTurn(transcript, turn, (before) => {
    const place = before.utterances.findIndex((known) => known.utterance === utterance);
    const known = before.utterances[place];
    if (known?.certainty === "final" && change.certainty === "draft") return before; // a draft that arrived after its final
    const utterances = [...before.utterances];
    const now = { utterance, ...UNKNOWN, ...change };
    const behind = before.utterances.filter((known) => known.utterance < utterance).length;
    utterances.splice(place < 0 ? behind : place, place < 0 ? 0 : 1, ...(now.text ? [now] : []));
    return { ...before, utterances };
  });
}

/** The label of a final that came without it; of one that is gone it changes nothing. */
function labelUtterance(transcript, { turn, utterance, speaker }) {
  const label = (known) => (known.utterance === utterance ? { ...known, speaker } : known);
  return updateTurn(transcript, turn, (before) => ({ ...before, utterances: before.utterances.map(label) }));
}

function updateReply(transcript, { turn }, change) {
  return updateTurn(transcript, turn, (before) => ({ ...before, reply: change(before.reply) }));
}

/** A reply that has ended stays as it is; only a new `replyStart` begins it again. */
function unlessEnded(reply, next) {
  return reply === null || isInProgress(reply) ? next : reply;
}

/** @param {Reply} reply @param {Sound} [sound] */
function withSound({ sound: _, ...reply }, sound) {
  return sound ? { ...reply, sound } : reply;
}

const reasonFor = (reason) => (CANCELLED.includes(reason) ? reason : "cancelled");

/** Turn numbers count from the session's start, so a turn's key carries its session. */
function updateTurn(transcript, number, change) {
  const key = `${transcript.sessions}.${number}`;
  const place = transcript.turns.findIndex((turn) => turn.key === key);
  const before = transcript.turns[place] ?? { key, turn: number, utterances: [], reply: null, times: {} };
  const after = change(before);
  const kept = after.utterances.length > 0 || after.reply !== null ? [after] : [];
  const turns = [...transcript.turns];
  turns.splice(place < 0 ? turns.length : place, place < 0 ? 0 : 1, ...kept);
  const excess = Math.max(0, turns.length - MAX_TURNS);
  return { ...transcript, turns: turns.slice(excess), dropped: transcript.dropped + excess };
}
