/** What the server says of its routes, as lines for people. Pure. */

import { formatDuration } from "./labels.js";
import { t } from "./strings.js";

/**
 * @typedef {{name: string, place: string, health: string, isFirst: boolean, note: string, facts: [string, string][]}} RouteLine
 */

/**
 * One line for each route, in the order in which they would be asked now; those that would not, last.
 * @param {{choices: {name: string}[], rejected: {name: string, why: string}[], fleet: {name: string, place: string, health: string}[]}} explained
 *   as `GET /policy/explain`
 * @param {{routes: {name: string, finals: number, p50_ms: ?number, p95_ms: ?number, usd: number, asked: number, failures: number}[]}} summary
 *   as `GET /policy/summary`
 * @returns {RouteLine[]}
 */
export function routeLines({ choices, rejected, fleet }, { routes }) {
  const order = [...choices.map(({ name }) => name), ...rejected.map(({ name }) => name)];
  const reasons = new Map(rejected.map(({ name, why }) => [name, why]));
  const known = new Map(routes.map((route) => [route.name, route]));
  return [...fleet]
    .sort((one, two) => order.indexOf(one.name) - order.indexOf(two.name))
    .map(({ name, place, health }) => ({
      name,
      place: t(place === "cloud" ? "how.cloud" : "how.on_prem"),
      health,
      isFirst: choices[0]?.name === name,
      note: reasons.has(name) ? t("routes.rejected", { why: reasons.get(name) }) : "",
      facts: factsOf(known.get(name)),
    }));
}

/** @returns {[string, string][]} */
function factsOf(route) {
  if (!route || route.asked === 0) return [[t("routes.finals"), t("routes.nothing-yet")]];
  const ms = (value) => (value === null ? "–" : formatDuration(value));
  return [
    [t("routes.finals"), String(route.finals)],
    [t("routes.p50"), ms(route.p50_ms)],
    [t("routes.p95"), ms(route.p95_ms)],
    [t("routes.failures"), String(route.failures)],
    [t("routes.cost"), `$${route.usd.toFixed(4)}`],
  ];
}

/**
 * The spending of today in words, and which share of the budget it is, 0 to 1; null without a budget.
 * @param {{usd: number, budgetUsd: ?number}} spend
 */
export function spending({ usd, budgetUsd }) {
  const isLimited = typeof budgetUsd === "number";
  const text = isLimited ? t("routes.spend-of", { usd: usd.toFixed(4), budget: budgetUsd.toFixed(2) }) : t("routes.spend", { usd: usd.toFixed(4) });
  return { text, share: isLimited ? Math.min(1, budgetUsd > 0 ? usd / budgetUsd : 1) : null };
}
