/** What went wrong, in a sentence that says what to do about it. Pure. */

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

const NOT_HEARD = "You have been offline too long: some of what you said was not heard. Please repeat it.";

/**
 * Why the microphone cannot be had, judged before asking for it; null where nothing speaks against it.
 * @param {{isSecureContext: boolean, AudioWorkletNode?: unknown}} window
 */
export function obstacle(window) {
  if (!window.isSecureContext) {
    return "Browsers hand the microphone to secure pages only. Open this page over https, or on localhost.";
  }
  return window.AudioWorkletNode ? null : "This browser cannot record sound for a page. Please use a newer one.";
}

/** Why the microphone was not given. @param {DOMException} error */
export function microphoneProblem(error) {
  return MICROPHONE[error.name] ?? `The microphone could not be started (${error.name}). Press Talk to try again.`;
}

/**
 * What a closed connection means for someone who is talking.
 * @param {number} code WebSocket close code
 */
export function closeProblem(code) {
  return CLOSED[code] ?? "The server cannot be reached. Your words are kept while we reconnect.";
}

/** What someone reads whom the server asks for a key. @param {string} shown the key that was not good, if any */
export const keyProblem = (shown) => (shown ? "This is not a key of this server." : "This server asks for a key.");

/** What to say once more was said offline than can be kept. */
export const notHeard = () => NOT_HEARD;

/**
 * Whether to connect again after this close code, and after how long.
 * @param {number} code WebSocket close code
 * @param {number} attempt failed attempts so far
 * @param {number} random 0 to 1, so that a thousand pages do not come back together
 * @returns {?number} milliseconds, or null for never
 */
export function retryAfterMs(code, attempt, random) {
  if (code === CloseCode.CLIENT_ERROR) return null;
  const first = code === CloseCode.NO_CAPACITY ? 3000 : 400;
  return Math.min(first * 2 ** attempt, 10_000) * (0.5 + random / 2);
}

/**
 * Whether sound waits in the browser because the network does not take it; it needs a
 * second of it to say so and a quarter to take it back, so that the notice does not flicker.
 * @param {number} waitingBytes @param {number} bytesPerSecond @param {boolean} before
 */
export function isSlow(waitingBytes, bytesPerSecond, before) {
  return waitingBytes > bytesPerSecond * (before ? 0.25 : 1);
}
