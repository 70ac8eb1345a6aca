/** What a deletion deleted and what remains, in sentences. Pure. */

import { t } from "../strings.js";

const COUNTED = ["blobs", "messages", "indexRows", "spoolLogs", "uploads", "decisions", "expenses"];

/** @param {{deleted: Record<string, number>, remaining: string[]}} receipt @returns {string[]} */
export function receiptLines({ deleted, remaining }) {
  const parts = COUNTED.filter((name) => deleted[name] > 0).map((name) => t(`receipt.${name}`, { count: deleted[name] }));
  const gone = parts.length > 0 ? t("receipt.deleted", { what: parts.join(", ") }) : t("receipt.nothing");
  return [gone, ...(remaining.length > 0 ? remaining : [t("receipt.nothing-remains")])];
}
