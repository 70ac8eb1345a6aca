/**
 * The conversation's state: a reducer from the server's messages to what is drawn. Pure.
 *
 * A turn is what the user said up to a reply, plus that reply. Every object in here is
 * replaced when it changes and kept when it does not, so `===` tells what to redraw.
 *
 * @typedef {"draft" | "final" | "lost"} Certainty  a lost utterance was cut off with its connection
 * @typedef {{utterance: number, text: string, stable: string, certainty: Certainty, route: ?object,
 *            ttfsMs: ?number, start: ?number, end: ?number, speaker: ?number}} Utterance
 * @typedef {"waiting" | "streaming" | "complete" | "barge_in" | "cancelled" | "failed"} Progress
 * @typedef {"ducked" | "paused" | undefined} Sound  while the user speaks over the reply
 * @typedef {{text: string, progress: Progress, hasRecording: boolean, sound?: Sound}} Reply  its recording is in ReplyRecordings
 * @typedef {{key: string, turn: number, utterances: Utterance[], reply: ?Reply}} Turn
 * @typedef {{sessions: number, turns: Turn[]}} Transcript
 */

/** @type {Transcript} */
export const EMPTY = Object.freeze({ sessions: 0, turns: [] });

const IN_PROGRESS = ["waiting", "streaming"];
const CANCELLED = ["barge_in", "cancelled", "failed"];

/** True while more of this reply may come. */
export const isInProgress = (reply) => reply !== null && IN_PROGRESS.includes(reply.progress);

/**
 * The transcript after one message.
 * @param {Transcript} transcript
 * @param {object} message as `parse` returns it
 * @returns {Transcript}
 */
export function receive(transcript, message) {
  switch (message.type) {
    case "session":
      return message.isResumed ? transcript : { ...disconnect(transcript), sessions: transcript.sessions + 1 };
    case "realtime":
      return updateUtterance(transcript, message, { text: message.text, stable: message.stable, certainty: "draft" });
    case "fullSentence": {
      const { text, route, ttfsMs, start, end, speaker } = message;
      const final = { text, stable: text, certainty: "final", route, ttfsMs, start, end, speaker };
      return updateUtterance(transcript, message, final);
    }
    case "speaker":
      return labelUtterance(transcript, message);
    case "replyStart":
      return updateReply(transcript, message, () => ({ text: "", progress: "waiting", hasRecording: false }));
    case "replyDelta":
      return updateReply(transcript, message, (reply) =>
        unlessEnded(reply, { ...reply, text: (reply?.text ?? "") + message.text, progress: "streaming", hasRecording: false }),
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

function updateUtterance(transcript, { turn, utterance }, change) {
  return updateTurn(transcript, turn, (before) => {
    const place = before.utterances.findIndex((known) => known.utterance === utterance);
    const known = before.utterances[place];
    if (known?.certainty === "final" && change.certainty === "draft") return before; // a draft that arrived after its final
    const utterances = [...before.utterances];
    const now = { utterance, route: null, ttfsMs: null, start: null, end: null, speaker: null, ...change };
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
  const before = transcript.turns[place] ?? { key, turn: number, utterances: [], reply: null };
  const after = change(before);
  const kept = after.utterances.length > 0 || after.reply !== null ? [after] : [];
  const turns = [...transcript.turns];
  turns.splice(place < 0 ? turns.length : place, place < 0 ? 0 : 1, ...kept);
  return { ...transcript, turns };
}
