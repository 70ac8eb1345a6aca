/** What is kept of the conversation, in words. Pure. */

/**
 * Whether this session is recorded, and the sentences for it; null before the server has said so.
 * @param {?{archive: ?boolean, keepDays: ?number}} session the server's message, while connected
 * @param {boolean | undefined} wish the user's own setting
 * @returns {?{isRecorded: boolean, label: string}}
 */
export function recordingState(session, wish) {
  if (typeof session?.archive !== "boolean") return null;
  const isRecorded = wish ?? session.archive;
  return { isRecorded, label: isRecorded ? `Recorded · ${retention(session.keepDays)}` : "Not recorded" };
}

/** How long a recording is kept. @param {?number} keepDays */
export function retention(keepDays) {
  if (typeof keepDays !== "number") return "kept until it is deleted";
  return keepDays === 1 ? "kept 1 day" : `kept ${keepDays} days`;
}
