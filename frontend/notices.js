/** What is wrong, as notices with what to do. Pure. */

import { t } from "./strings.js";

/** Kinds of problems that the user can dismiss, in the order in which they are shown. */
const DISMISSIBLE = ["link", "microphone", "server", "dropped"];

/**
 * @typedef {{link: ?string, microphone: ?string, server: ?string, dropped: ?string, connection: ?string}} Problems  a sentence each
 * @param {Problems} problems
 * @param {{connection: string, isKeyWanted: boolean, isNetworkSlow: boolean, dismiss: (kind: string) => void, retry: () => void}} page
 * @returns {{text: string, action?: string, onAction?: () => void}[]}
 */
export function noticesOf(problems, { connection, isKeyWanted, isNetworkSlow, dismiss, retry }) {
  const dismissible = DISMISSIBLE.filter((kind) => problems[kind]).map((kind) => ({
    text: problems[kind],
    action: t("notice.dismiss"),
    onAction: () => dismiss(kind),
  }));
  const canRetry = ["waiting", "resuming"].includes(connection);
  // What was lost says that there is no connection; so does the question for a key.
  const isConnectionShown = problems.connection && !problems.dropped && !isKeyWanted;
  return [
    ...dismissible,
    ...(isConnectionShown ? [{ text: problems.connection, ...(canRetry ? { action: t("notice.retry"), onAction: retry } : {}) }] : []),
    ...(isNetworkSlow ? [{ text: t("problem.slow") }] : []),
  ];
}
