/** What becomes of a file: sent, waiting, transcribed, done, or why not. Pure. */

import { t } from "../strings.js";
import { formatBytes, formatLength } from "../pages/format.js";
import { faultSentence } from "../pages/faults.js";

/**
 * @typedef {"sending" | "waiting" | "queued" | "running" | "done" | "failed" | "cancelled"} Stage
 * @typedef {{name: string, size: number, stage: Stage, id: ?string, sent: number, seconds: number, ofSeconds: ?number, problem: string,
 *            warnings: number}} Upload
 *   `waiting`: the connection is lost, and it goes on by itself
 */

/** @param {{name: string, size: number}} file @returns {Upload} */
export const begin = ({ name, size }) => ({ name, size, stage: "sending", id: null, sent: 0, seconds: 0, ofSeconds: null, problem: "", warnings: 0 });

/** So many bytes are there. @param {Upload} upload @param {number} sent @returns {Upload} */
export const progress = (upload, sent) => ({ ...upload, stage: "sending", sent });

/** @param {Upload} upload @returns {Upload} */
export const wait = (upload) => ({ ...upload, stage: "waiting" });

/** @param {Upload} upload @param {import("../rest.js").Answer} answer @returns {Upload} */
export const refuse = (upload, answer) => ({ ...upload, stage: "failed", problem: faultSentence(answer) });

/** What the server says of its job. @param {Upload} upload @param {any} job as `GET /jobs/ID` @returns {Upload} */
export function follow(upload, { state, progress: done, code, message, warnings }) {
  const stage = state === "receiving" ? "queued" : state;
  const problem = state === "failed" ? faultSentence(/** @type {any} */ ({ status: 500, code: code ?? "", message: message ?? "" })) : "";
  return { ...upload, stage, sent: upload.size, seconds: done.seconds, ofSeconds: done.of, problem, warnings: warnings.length };
}

/** @param {Upload} upload @returns {Upload} */
export const cancel = (upload) => ({ ...upload, stage: "cancelled" });

/** @param {Upload} upload */
export const isOver = ({ stage }) => ["done", "failed", "cancelled"].includes(stage);

/** How much is done, 0 to 1; sending is the first half. Null where nobody knows. @param {Upload} upload */
export function share({ stage, size, sent, seconds, ofSeconds }) {
  if (stage === "done") return 1;
  if (stage === "sending" || stage === "waiting") return size > 0 ? (sent / size) / 2 : 0;
  if (stage === "running" && ofSeconds) return 0.5 + Math.min(1, seconds / ofSeconds) / 2;
  return stage === "queued" ? 0.5 : null;
}

/** One line for people. @param {Upload} upload */
export function sentence({ stage, size, sent, seconds, ofSeconds, problem, warnings }) {
  switch (stage) {
    case "sending":
    case "waiting":
      return t(`upload.${stage}`, { sent: formatBytes(sent), size: formatBytes(size) });
    case "running":
      return ofSeconds ? t("upload.running-of", { done: formatLength(seconds), of: formatLength(ofSeconds) }) : t("upload.running");
    case "failed":
      return problem;
    case "done":
      return t(warnings > 0 ? "upload.done-warnings" : "upload.done");
    default:
      return t(`upload.${stage}`);
  }
}
