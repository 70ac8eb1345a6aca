/** The drawer with routes, spending and what runs here; loaded when it is opened. */

import { routeLines, spending } from "./routes.js";
import { t } from "./strings.js";

/**
 * Ask the server, and draw what it says.
 * @param {HTMLElement} place @param {import("./rest.js").Rest} rest
 */
export async function drawRoutes(place, rest) {
  place.replaceChildren(paragraph("state", t("routes.loading")));
  const [summary, explained, health] = await Promise.all([rest.ask("policy/summary"), rest.ask("policy/explain"), rest.ask("health")]);
  place.replaceChildren(...policyPart(summary, explained), ...healthPart(health));
}

function policyPart(summary, explained) {
  const states = { 0: "routes.unreachable", 401: "routes.forbidden", 403: "routes.forbidden", 404: "routes.none" };
  const problem = states[summary.status] ?? states[explained.status];
  if (problem) return [paragraph("state", t(problem))];
  if (!summary.body || !explained.body) return [paragraph("state", t("routes.unreachable"))];
  const { text, share } = spending(summary.body.spend);
  const meter = share === null ? [] : [Object.assign(document.createElement("progress"), { value: share, max: 1, ariaLabel: text })];
  const refused = summary.body.refusedChange;
  return [
    paragraph("rules", t("routes.rules", { rules: summary.body.rules })),
    ...(refused ? [paragraph("state", t("routes.refused", { problem: refused }))] : []),
    paragraph("spend", text),
    ...meter,
    ...routeLines(explained.body, summary.body).map(card),
  ];
}

/** @param {import("./routes.js").RouteLine} line */
export function card({ name, place, health, isFirst, note, facts }) {
  const section = make("section", "route-card");
  const title = section.appendChild(make("h3", ""));
  title.append(name, ...(isFirst ? [make("span", "first", t("routes.first"))] : []));
  const state = section.appendChild(make("p", "health", `${place} · ${t(`routes.health-${health}`)}`));
  state.dataset.health = health;
  if (note) section.append(paragraph("note", note));
  const list = section.appendChild(make("dl", ""));
  for (const [label, value] of facts) {
    const pair = list.appendChild(make("div", ""));
    pair.append(make("dt", "", label), make("dd", "", value));
  }
  return section;
}

function healthPart({ body }) {
  if (!body?.runs) return [];
  const details = make("details", "runs");
  details.append(make("summary", "", t("routes.runs")));
  const list = details.appendChild(make("dl", ""));
  for (const [name, sentence] of Object.entries(body.runs)) list.append(make("dt", "", name), make("dd", "", sentence));
  return [details];
}

const paragraph = (name, text) => make("p", name, text);

function make(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}
