/** Which state an answer that went wrong leads to, and what to do then. Pure. */

import { t } from "../strings.js";

/**
 * @typedef {"offline" | "key" | "forbidden" | "absent" | "full" | "budget" | "limited" | "large" | "media" | "damaged" | "failed"} Fault
 * @typedef {{fault: Fault, icon: string, title: string, text: string, canRetry: boolean}} FaultState
 */

const BY_CODE = Object.freeze({
  budget_exhausted: "budget",
  provider_busy: "full",
  no_capacity: "full",
  draining: "full",
  unreadable: "damaged",
  bad_audio: "media",
  too_many_attempts: "limited",
});
const BY_STATUS = Object.freeze({ 0: "offline", 401: "key", 403: "forbidden", 404: "absent", 413: "large", 415: "media", 429: "limited", 503: "full" });
const ICONS = Object.freeze({ offline: "cloud", key: "lock", forbidden: "lock", full: "clock", budget: "clock", limited: "clock" });
const FINAL = new Set(["key", "forbidden", "absent", "large", "media", "damaged"]);

/** @param {{status: number, code: string}} answer @returns {Fault} */
export const faultOf = ({ status, code }) => BY_CODE[code] ?? BY_STATUS[status] ?? "failed";

/**
 * The state in words: what is wrong, and what to do.
 * @param {import("../rest.js").Answer} answer
 * @returns {FaultState}
 */
export function faultState(answer) {
  const fault = faultOf(answer);
  return {
    fault,
    icon: ICONS[fault] ?? "warning",
    title: t(`fault.${fault}`),
    text: t(`fault.${fault}-text`, { message: answer.message || answer.code || String(answer.status) }),
    canRetry: !FINAL.has(fault),
  };
}

/** The same in one sentence. @param {import("../rest.js").Answer} answer */
export function faultSentence(answer) {
  const { title, text } = faultState(answer);
  return `${title} ${text}`;
}
