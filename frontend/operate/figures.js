/** The figures at the top: how the service is, in one look. Pure. */

import { formatBytes, formatLength, formatUsd } from "../pages/format.js";
import { t } from "../strings.js";

/**
 * @typedef {"good" | "warn" | "bad" | "none"} Tone
 * @typedef {{label: string, value: string, note: string, tone: Tone}} Figure
 * @param {any} health as `GET /health` answers an administrator
 * @param {?any} spend of `GET /policy/summary`; null without a policy
 * @returns {Figure[]}
 */
export function figuresOf(health, spend) {
  return [statusFigure(health), sessionsFigure(health), spoolFigure(health.archive), databaseFigure(health), ...(spend ? [spendFigure(spend)] : [])];
}

/** @returns {Figure} */
function statusFigure({ status }) {
  /** @type {Record<string, Tone>} */
  const tones = { ok: "good", full: "warn", draining: "warn" };
  const known = Object.hasOwn(tones, status);
  return { label: t("figure.status"), value: known ? t(`figure.status-${status}`) : status, note: "", tone: tones[status] ?? "bad" };
}

/** @returns {Figure} */
function sessionsFigure({ sessions, connections, maxSessions }) {
  const note = connections > sessions ? t("figure.connections", { count: connections }) : "";
  return { label: t("figure.sessions"), value: t("figure.of", { count: sessions, most: maxSessions }), note, tone: sessions >= maxSessions ? "warn" : "none" };
}

/** @returns {Figure} */
function spoolFigure({ waiting, bytes, oldestSeconds, full, error }) {
  const note = error ? t("figure.spool-error", { error }) : full ? t("figure.spool-full") : waiting > 0 ? t("figure.spool-oldest", { size: formatBytes(bytes), age: formatLength(oldestSeconds) }) : t("figure.spool-empty");
  return { label: t("figure.spool"), value: String(waiting), note, tone: error || full ? "bad" : "none" };
}

/** @returns {Figure} */
function databaseFigure({ database, index }) {
  const state = database === null ? "none" : database === "ok" ? "ok" : "unavailable";
  const note = index?.status === "indexing" ? t("figure.indexing", { count: index.indexed }) : "";
  return { label: t("figure.database"), value: t(`figure.database-${state}`), note, tone: state === "unavailable" ? "bad" : "none" };
}

/** @returns {Figure} */
function spendFigure({ usd, budgetUsd, remainingUsd }) {
  const isLimited = typeof budgetUsd === "number";
  const isSpent = isLimited && remainingUsd <= 0;
  const note = isSpent ? t("figure.spend-over") : isLimited ? t("figure.spend-of", { budget: formatUsd(budgetUsd) }) : t("figure.spend-free");
  return { label: t("figure.spend"), value: formatUsd(usd), note, tone: isSpent ? "bad" : "none" };
}
