/** Error sentences that say what to do, and the rules for reconnecting. Pure. */

import { CloseCode } from "./protocol.js";

const MICROPHONE = {
  NotAllowedError: "The microphone is blocked. Allow it beside the address bar, then press Talk again.",
  NotFoundError: "No microphone was found. Plug one in, then press Talk again.",
  NotReadableError: "The microphone is taken by another program. Close it there, then press Talk again.",
};

const CLOSED = {
  [CloseCode.CLIENT_ERROR]: "The server refused this connection. Reload the page to try again.",
  [CloseCode.DRAINING]: "The server is restarting. Your words are kept while we reconnect.",
  [CloseCode.NO_CAPACITY]: "Every place is taken. Waiting for a free one.",
};

const RESUMING = "The connection was lost. Your words are kept, and the conversation goes on in a moment.";
const SPEECH_DROPPED = "You have been offline too long: some of what you said was not heard. Please repeat it.";

/**
 * Why this browser cannot record at all, known before permission is asked for; null where it can.
 * @param {{isSecureContext: boolean, AudioWorkletNode?: unknown}} window
 */
export function unsupportedReason(window) {
  if (!window.isSecureContext) {
    return "Browsers hand the microphone to secure pages only. Open this page over https, or on localhost.";
  }
  return window.AudioWorkletNode ? null : "This browser cannot record sound for a page. Please use a newer one.";
}

/** Why getUserMedia failed. @param {DOMException} error */
export function microphoneProblem(error) {
  return MICROPHONE[error.name] ?? `The microphone could not be started (${error.name}). Press Talk to try again.`;
}

/**
 * What a closed connection means for the user.
 * @param {number} code WebSocket close code
 */
export function closeProblem(code) {
  return CLOSED[code] ?? "The server cannot be reached. Your words are kept while we reconnect.";
}

/** The notice while the session is being resumed. */
export const resumingNotice = () => RESUMING;

/** The label of the key field. @param {string} rejected the key that the server did not accept, if any */
export const keyProblem = (rejected) => (rejected ? "This is not a key of this server." : "This server asks for a key.");

/** The label of the key field where nobody could be asked. */
export const unreachableProblem = () => "The server cannot be reached. Please try again.";

/** The notice that the page's address names a server it must not use. @param {string} server */
export const foreignServerProblem = (server) =>
  `The link to this page asks to send your voice to ${server}. This page does not know that server, and uses its own.`;

/** The notice that speech was dropped while offline. */
export const droppedSpeechNotice = () => SPEECH_DROPPED;

/**
 * Whether to connect again after this close code, and after how long.
 * @param {number} code WebSocket close code
 * @param {number} attempt failed attempts so far
 * @param {number} random 0 to 1, jitter, so that a thousand pages do not reconnect together
 * @returns {?number} milliseconds, or null for never
 */
export function retryAfterMs(code, attempt, random) {
  if (code === CloseCode.CLIENT_ERROR) return null;
  const first = code === CloseCode.NO_CAPACITY ? 3000 : 400;
  return Math.min(first * 2 ** attempt, 10_000) * (0.5 + random / 2);
}

/**
 * Whether the network is too slow for the audio: more than a second of it is buffered. The notice
 * stays until less than a quarter of a second is (hysteresis, so that it does not flicker).
 * @param {number} bufferedBytes @param {number} bytesPerSecond @param {boolean} wasSlow
 */
export function isSlow(bufferedBytes, bytesPerSecond, wasSlow) {
  return bufferedBytes > bytesPerSecond * (wasSlow ? 0.25 : 1);
}
