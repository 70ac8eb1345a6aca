/**
 * What travels between the page and the server. PROTOCOL.md is the reference;
 * a test holds its examples against this module. Pure.
 */

/** Bytes of the little-endian int32 in front of the metadata. */
const HEADER_BYTES = 4;

/** Why a WebSocket was closed. */
export const CloseCode = Object.freeze({ NORMAL: 1000, CLIENT_ERROR: 1008, DRAINING: 1012, NO_CAPACITY: 1013, LOST: 1006 });

/** What the client may ask for, as the text of a frame. */
export const configure = (settings) => JSON.stringify({ type: "configure", ...settings });
export const end = () => JSON.stringify({ type: "end" });
export const clear = () => JSON.stringify({ type: "clear" });
export const cancel = () => JSON.stringify({ type: "cancel" });
export const say = (text) => JSON.stringify({ type: "say", text });
export const text = (words) => JSON.stringify({ type: "text", text: words });
export const played = (turn, samples) => JSON.stringify({ type: "played", turn, samples });
export const received = (message) => JSON.stringify({ type: "received", message });
export const resume = (token, message) => JSON.stringify({ type: "resume", token, received: message });

/** The same message with its number in the session. @param {string} json @param {number} seq */
export const numbered = (json, seq) => JSON.stringify({ ...JSON.parse(json), seq });

/**
 * The server's messages: their fields, and what stands for a field that is absent.
 * A field whose default is null may be absent for good.
 */
export const MESSAGES = Object.freeze({
  session: { id: "", archive: null, keepDays: null, conversation: null, resume: null },
  ack: { seconds: 0 },
  received: { samples: 0, messages: 0 },
  realtime: { text: "", stable: "", utterance: 0, turn: 0 },
  fullSentence: { text: "", utterance: 0, turn: 0, start: null, end: null, route: null, ttfsMs: null,
    language: null, confidence: null, words: null, speaker: null },
  speaker: { utterance: 0, turn: 0, speaker: 0 },
  speechStarted: { turn: 0, utterance: 0, at: 0 },
  speechStopped: { turn: 0, utterance: 0, at: 0 },
  turnEager: { turn: 0, text: "", probability: null },
  turnResumed: { turn: 0 },
  turnEnd: { turn: 0, text: "" },
  replyStart: { turn: 0, text: "" },
  replyDelta: { turn: 0, text: "" },
  replyCancelled: { turn: 0, reason: "cancelled" },
  replyInterrupted: { turn: 0, reason: "cancelled" },
  replyDucked: { turn: 0 },
  replyRestored: { turn: 0 },
  replyPaused: { turn: 0 },
  replyResumed: { turn: 0, samples: 0 },
  server_response: { turn: 0, message: "", audio: "" },
  conversation: { id: "" },
  error: { code: "unknown", message: "", fatal: false },
});

/** A binary frame that is no packet. */
export class BadPacket extends Error {}

/**
 * One binary frame: the length of the metadata, the metadata, the sound.
 * @param {object} metadata
 * @param {Uint8Array} pcm signed 16-bit little-endian mono
 * @returns {Uint8Array}
 */
export function pack(metadata, pcm) {
  const json = new TextEncoder().encode(JSON.stringify(metadata));
  const packet = new Uint8Array(HEADER_BYTES + json.length + pcm.length);
  new DataView(packet.buffer).setInt32(0, json.length, true);
  packet.set(json, HEADER_BYTES);
  packet.set(pcm, HEADER_BYTES + json.length);
  return packet;
}

/**
 * The metadata and the sound of one binary frame; the sound is a view, not a copy.
 * @param {ArrayBuffer} frame
 * @returns {{metadata: object, pcm: Uint8Array}}
 * @throws {BadPacket}
 */
export function unpack(frame) {
  if (frame.byteLength < HEADER_BYTES) throw new BadPacket("The frame is shorter than its header.");
  const length = new DataView(frame).getInt32(0, true);
  if (length < 0 || length > frame.byteLength - HEADER_BYTES) {
    throw new BadPacket(`A frame of ${frame.byteLength} bytes cannot hold ${length} bytes of metadata.`);
  }
  const pcm = new Uint8Array(frame, HEADER_BYTES + length);
  if (pcm.length % 2) throw new BadPacket("The sound ends in half a sample.");
  return { metadata: metadataFrom(new Uint8Array(frame, HEADER_BYTES, length)), pcm };
}

function metadataFrom(bytes) {
  let metadata;
  try {
    metadata = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new BadPacket("The metadata is not JSON.", { cause });
  }
  if (!isObject(metadata)) throw new BadPacket("The metadata is not an object.");
  return metadata;
}

/**
 * A text frame as a message with all its fields, or null where this page does not
 * know it: newer servers may say more than older pages understand.
 * @param {string} text
 * @returns {object | null}
 */
export function parse(text) {
  let raw;
  try {
    raw = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(raw) || !Object.hasOwn(MESSAGES, raw.type)) return null;
  const message = { type: raw.type };
  for (const [field, absent] of Object.entries(MESSAGES[raw.type])) {
    const value = raw[field] ?? absent;
    if (absent !== null && typeof value !== typeof absent) return null;
    message[field] = value;
  }
  if (Number.isInteger(raw.seq)) message.seq = raw.seq;
  return message;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
