/** What is kept of the conversation, in words. Pure. */

import { t } from "./strings.js";

/**
 * Whether this session is recorded, and the sentence for it; null before the server has said so.
 * @param {?{archive: ?boolean, keepDays: ?number}} session the server's message, while connected
 * @param {boolean | undefined} wish the user's own setting
 * @returns {?{isRecorded: boolean, label: string}}
 */
export function recordingState(session, wish) {
  if (typeof session?.archive !== "boolean") return null;
  const isRecorded = wish ?? session.archive;
  return { isRecorded, label: isRecorded ? t("recording.on-kept", { kept: retention(session.keepDays) }) : t("recording.off") };
}

/** How long a recording is kept. @param {?number} keepDays */
export function retention(keepDays) {
  if (typeof keepDays !== "number") return t("recording.kept-forever");
  return keepDays === 1 ? t("recording.kept-day") : t("recording.kept-days", { days: keepDays });
}
