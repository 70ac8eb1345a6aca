/** Error sentences that say what to do, and the rules for reconnecting. Pure. */

import { CloseCode } from "./protocol.js";
import { t } from "./strings.js";

const MICROPHONE = { NotAllowedError: "problem.denied", NotFoundError: "problem.missing", NotReadableError: "problem.taken" };

const CLOSED = {
  [CloseCode.CLIENT_ERROR]: "problem.refused",
  [CloseCode.DRAINING]: "problem.draining",
  [CloseCode.NO_CAPACITY]: "problem.full",
};

const ERRORS = {
  provider_down: "problem.engine",
  provider_refused: "problem.engine",
  provider_misbehaved: "problem.engine",
  budget_exhausted: "problem.budget",
  forbidden: "problem.forbidden",
};

/** Codes without a notice: an idle session ends, and the next begins by itself; how it was closed says the rest. */
const EXPECTED = new Set(["session_idle", "resume_refused", "no_capacity", "draining", "no_drafts"]);

/**
 * Why this browser cannot record at all, known before permission is asked for; null where it can.
 * @param {{isSecureContext: boolean, AudioWorkletNode?: unknown}} window
 */
export function unsupportedReason(window) {
  if (!window.isSecureContext) return t("problem.insecure");
  return window.AudioWorkletNode ? null : t("problem.old-browser");
}

/** Why getUserMedia failed. @param {{name: string}} error */
export function microphoneProblem(error) {
  return t(MICROPHONE[error.name] ?? "problem.microphone", { name: error.name });
}

/**
 * What an error of the server means for the user; null where it needs no notice.
 * @param {{code: string, message: string}} error
 */
export function serverProblem({ code, message }) {
  if (EXPECTED.has(code)) return null;
  return ERRORS[code] ? t(ERRORS[code]) : message;
}

/**
 * What a closed connection means for the user.
 * @param {number} code WebSocket close code
 */
export const closeProblem = (code) => t(CLOSED[code] ?? "problem.unreachable");

/** The notice while the session is being resumed. */
export const resumingNotice = () => t("problem.resuming");

/** The label of the key field. @param {string} rejected the key that the server did not accept, if any */
export const keyProblem = (rejected) => (rejected ? t("key.wrong") : t("key.needed"));

/** The label of the key field where nobody could be asked. */
export const unreachableProblem = () => t("key.unreachable");

/** The notice that the page's address names a server it must not use. @param {string} server */
export const foreignServerProblem = (server) => t("problem.foreign-server", { server });

/** The notice that speech was dropped while offline. */
export const droppedSpeechNotice = () => t("problem.dropped");

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
