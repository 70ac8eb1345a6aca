/** The panels of the operation page: what they show of the server's answers, and what can be done there. */

import { button, make } from "../pages/element.js";
import { formatClock, formatLength, formatShort, formatUsd } from "../pages/format.js";
import { routeLines, spending } from "../routes.js";
import { card } from "../routes-panel.js";
import { t } from "../strings.js";

const empty = (key) => make("p", { class: "empty", text: t(key) });

/** @param {import("./figures.js").Figure[]} figures */
export const figureNodes = (figures) =>
  figures.map(({ label, value, note, tone }) => make("div", { class: "figure", data: { tone } }, make("dt", { text: label }), make("dd", {}, make("b", { text: value }), note && make("small", { text: note }))));

/**
 * A table whose first column names its row; on a narrow screen each row is a card.
 * @param {string} label @param {string[]} columns @param {{cells: (string | Node | null)[], name: string}[]} rows
 */
function table(label, columns, rows) {
  const head = make("tr", {}, ...columns.map((text) => make("th", { scope: "col" }, text || make("span", { class: "visually-hidden", text: t("operate.actions") }))));
  const lines = rows.map(({ cells, name }) => make("tr", {}, make("th", { scope: "row", text: name }), ...cells.map((cell, at) => make("td", { data: { label: columns[at + 1] } }, cell ?? ""))));
  return make("table", { "aria-label": label }, make("thead", {}, head), make("tbody", {}, ...lines));
}

/** @param {any} body as `GET /admin/sessions` @param {(id: string) => void} onEnd */
export function sessionNodes({ sessions }, onEnd) {
  if (sessions.length === 0) return [empty("sessions.none")];
  const rows = sessions.map(({ id, tenant, keyName, address, started, audioSeconds, costUsd, state }) => ({
    name: keyName || address,
    cells: [tenant, formatShort(started), formatClock(audioSeconds), formatUsd(costUsd), make("span", { class: "mark", data: { state }, text: state }), actionButton(t("sessions.end"), t("sessions.end-label", { name: keyName || address }), `end-${id}`, () => onEnd(id))],
  }));
  return [table(t("sessions.title"), [t("sessions.who"), t("keys-table.tenant"), t("sessions.since"), t("sessions.audio"), t("sessions.cost"), t("sessions.state"), ""], rows)];
}

/** @param {any} body as `GET /jobs` @param {(id: string) => void} onCancel */
export function jobNodes({ jobs }, onCancel) {
  if (jobs.length === 0) return [empty("jobs.none")];
  const rows = jobs.map(({ id, tenant, state, progress, message, created, source }) => ({
    name: formatShort(created),
    cells: [
      tenant,
      make("span", { class: "mark", data: { state }, text: t(`jobs.${state}`) }),
      message ?? (progress.of ? t("jobs.progress", { done: formatLength(progress.seconds), of: formatLength(progress.of) }) : source),
      ["receiving", "queued", "running"].includes(state) ? actionButton(t("dialog.cancel"), t("jobs.cancel-label", { time: formatShort(created) }), `job-${id}`, () => onCancel(id)) : null,
    ],
  }));
  return [table(t("jobs.title"), [t("jobs.begun"), t("keys-table.tenant"), t("sessions.state"), t("jobs.detail"), ""], rows)];
}

/** @param {any} summary @param {any} explained */
export function routeNodes(summary, explained) {
  const { text, share } = spending(summary.spend);
  const over = summary.spend.tenants.filter(({ usd }) => usd > 0);
  return [
    make("p", { class: "rules", text: t("routes.rules", { rules: summary.rules }) }),
    summary.refusedChange ? make("p", { class: "note", text: t("routes.refused", { problem: summary.refusedChange }) }) : "",
    make("p", { class: "spend", text }),
    share === null ? "" : make("progress", { max: 1, value: share, "aria-label": text }),
    over.length > 0 ? table(t("spend.title"), [t("keys-table.tenant"), t("spend.today"), t("spend.budget")], over.map(({ tenant, usd, budgetUsd }) => ({ name: tenant, cells: [formatUsd(usd), budgetUsd === null ? "–" : formatUsd(budgetUsd)] }))) : "",
    make("div", { class: "route-cards" }, ...routeLines(explained, summary).map(card)),
  ];
}

/** @param {ReturnType<typeof import("./metrics.js").faultCounts>} counts @param {any[]} refusals entries of the audit log */
export function errorNodes(counts, refusals) {
  if (counts.length === 0 && refusals.length === 0) return [empty("errors.none")];
  const rows = counts.map(({ key, what, count }) => make("li", {}, make("b", { text: String(count) }), make("span", { text: t(key, { what }) })));
  const entries = refusals.map(({ at, action, key_name: name, peer, target }) => ({ name: formatShort(at), cells: [action, name || peer, target.slice(0, 40)] }));
  return [
    counts.length > 0 ? make("ul", { class: "counts" }, ...rows) : "",
    entries.length > 0 ? table(t("errors.recent"), [t("errors.when"), t("errors.action"), t("errors.who"), t("errors.target")], entries) : "",
  ];
}

/** @param {any} body as `GET /admin/keys` @param {(key: any) => void} onRevoke */
export function keyNodes({ keys }, onRevoke) {
  const inForce = keys.filter(({ state }) => state === "active");
  const gone = keys.length - inForce.length;
  const rows = inForce.map((key) => ({
    name: key.name,
    cells: [key.tenant, key.scopes.join(", "), key.lastUsed ? formatShort(key.lastUsed) : t("keys-table.never"), key.expires ? formatShort(key.expires) : t("keys-table.unlimited"), actionButton(t("keys-table.revoke"), t("keys-table.revoke-label", { name: key.name }), `key-${key.id}`, () => onRevoke(key))],
  }));
  return [
    rows.length > 0 ? table(t("keys-table.title"), [t("keys-table.name"), t("keys-table.tenant"), t("keys-table.scopes"), t("keys-table.used"), t("keys-table.expires"), ""], rows) : empty("keys-table.none"),
    gone > 0 ? make("p", { class: "empty", text: t("keys-table.gone", { count: gone }) }) : "",
  ];
}

function actionButton(text, label, key, click) {
  const element = button(text, click, "quiet pill small danger-hover");
  element.setAttribute("aria-label", label);
  element.dataset.key = key;
  return element;
}
