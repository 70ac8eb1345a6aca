/** The operation page: asks the server every few seconds, draws what it says, and does what an administrator wants. */

import { copyLine } from "../pages/copy-line.js";
import { confirmed, inform } from "../pages/dialogs.js";
import { make } from "../pages/element.js";
import { faultOf, faultSentence } from "../pages/faults.js";
import { formatTime } from "../pages/format.js";
import { openPage } from "../pages/page.js";
import { isOk } from "../rest.js";
import { faultView, loadingView, stateView } from "../pages/state-view.js";
import { t } from "../strings.js";
import { figuresOf } from "./figures.js";
import { SCOPES, TOKEN_SCOPES, keyRequest, tokenRequest } from "./key-request.js";
import { faultCounts, samplesIn } from "./metrics.js";
import { errorNodes, figureNodes, jobNodes, keyNodes, routeNodes, sessionNodes } from "./panels.js";
import { redraw } from "./redraw.js";

const REFRESH_MS = 5000;
const SHOWN = 10;
const SAY_MS = 8000;

const page = await openPage({ scopes: [], onKey: refresh });
const get = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
let timer = 0;
let sayTimer = 0;

/** Ask for everything at once; what fails alone says so in its panel. */
async function refresh() {
  clearTimeout(timer);
  const sessions = await page.rest.ask("admin/sessions");
  if (!isOk(sessions)) return showGate(sessions);
  get("gate").hidden = true;
  get("panels").hidden = false;
  const paths = ["health", `jobs?limit=${SHOWN}`, "policy/summary", "policy/explain", "admin/keys", `admin/audit?outcome=refused&limit=${SHOWN}`];
  const asked = Promise.all(paths.map((path) => page.rest.ask(path)));
  const counts = faultCounts(samplesIn(await page.rest.fetch("metrics").then((response) => (response.ok ? response.text() : ""), () => "")));
  const [health, jobs, summary, explained, keys, audit] = await asked;
  draw("figures", health, (body) => figureNodes(figuresOf(body, summary.body?.spend ?? null)), summary.body?.spend);
  draw("sessions", sessions, (body) => sessionNodes(body, endSession));
  draw("jobs", jobs, (body) => jobNodes(body, cancelJob));
  if (summary.status === 404) redraw(get("routes"), "none", () => [make("p", { class: "empty", text: t("routes.none") })]);
  else draw("routes", isOk(summary) ? explained : summary, (body) => routeNodes(summary.body, body), summary.body);
  if (keys.status === 404) redraw(get("keys"), "none", () => [make("p", { class: "empty", text: t("keys-table.no-database") })]);
  else draw("keys", keys, (body) => keyNodes(body, revokeKey));
  draw("errors", audit, (body) => errorNodes(counts, body.entries), counts);
  get("updated").textContent = t("operate.updated", { time: new Date().toLocaleTimeString() });
  if (!document.hidden) timer = window.setTimeout(refresh, REFRESH_MS);
}

/** @param {string} id of the panel @param {import("../rest.js").Answer} answer @param {(body: any) => (Node | string)[]} nodes @param {any} [more] what the nodes show besides */
function draw(id, answer, nodes, more) {
  const element = get(id);
  if (isOk(answer)) redraw(element, [answer.body, more], () => nodes(answer.body));
  else redraw(element, answer.status, () => [make("p", { class: "note", text: faultSentence(answer) })]);
}

/** Whoever may not operate, and whoever cannot reach the server, sees why, and what to do. */
function showGate(answer) {
  const isPrivate = answer.status === 404;
  const state = isPrivate
    ? stateView({ icon: "lock", title: t("operate.private"), text: t("operate.private-text"), name: "private" })
    : faultOf(answer) === "forbidden"
      ? stateView({ icon: "lock", title: t("operate.forbidden"), text: t("operate.forbidden-text"), actions: [page.keyForm()], name: "forbidden" })
      : faultView(answer, { retry: refresh, keyForm: page.keyForm });
  get("panels").hidden = true;
  get("gate").hidden = false;
  get("gate").replaceChildren(state);
}

async function endSession(id) {
  if (!(await confirmed({ title: t("sessions.end-question"), text: t("sessions.end-text"), action: t("sessions.end") }))) return;
  await act(page.rest.ask(`admin/sessions/${id}`, { method: "DELETE" }), t("sessions.ended"));
}

async function cancelJob(id) {
  if (!(await confirmed({ title: t("jobs.cancel-question"), text: t("jobs.cancel-text"), action: t("jobs.cancel") }))) return;
  await act(page.rest.ask(`jobs/${id}`, { method: "DELETE" }), t("jobs.cancelled-now"));
}

async function revokeKey({ id, name }) {
  if (!(await confirmed({ title: t("keys-table.revoke-question", { name }), text: t("keys-table.revoke-text"), action: t("keys-table.revoke") }))) return;
  await act(page.rest.ask(`admin/keys/${id}`, { method: "DELETE" }), t("keys-table.revoked", { name }));
}

/** Say it for a while. @param {string} sentence */
function say(sentence) {
  clearTimeout(sayTimer);
  get("status").textContent = sentence;
  sayTimer = window.setTimeout(() => (get("status").textContent = ""), SAY_MS);
}

/** Say what came of it, and show the new state. @param {Promise<import("../rest.js").Answer>} asked @param {string} done */
async function act(asked, done) {
  const answer = await asked;
  say(isOk(answer) ? done : faultSentence(answer));
  await refresh();
  return answer;
}

/** A secret is shown once, with a button that copies it. */
const showSecret = (title, text, secret) => inform(title, [make("p", { text }), copyLine(secret, title, "secret")]);

const chosen = (/** @type {HTMLFormElement} */ form) => [...form.querySelectorAll("input:checked")].map((box) => /** @type {HTMLInputElement} */ (box).value);

async function createKey(/** @type {SubmitEvent} */ event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const request = keyRequest({ name: get("key-name").value, tenant: get("key-tenant").value, days: get("key-days").value, scopes: chosen(form) }, new Date());
  const answer = await act(page.rest.ask("admin/keys", { method: "POST", json: request }), t("keys-table.created", { name: request.name }));
  if (!isOk(answer)) return;
  form.reset();
  await showSecret(t("keys-table.new", { name: request.name }), t("keys-table.once"), answer.body.key);
}

async function createToken(/** @type {SubmitEvent} */ event) {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  const json = tokenRequest({ name: get("token-name").value, person: get("token-person").value, minutes: get("token-minutes").value, scopes: chosen(form) });
  const answer = await page.rest.ask("auth/session-tokens", { method: "POST", json });
  say(isOk(answer) ? t("token.created") : faultSentence(answer));
  if (isOk(answer)) await showSecret(t("token.title"), t("token.until", { time: formatTime(answer.body.expiresAt) }), answer.body.token);
}

function drawScopes(place, scopes, chosenScope) {
  const boxes = scopes.map((scope) => make("label", {}, make("input", { type: "checkbox", value: scope, checked: scope === chosenScope }), scope));
  place.append(...boxes);
}

drawScopes(get("key-scopes"), SCOPES, "speak");
drawScopes(get("token-scopes"), TOKEN_SCOPES, "speak");
get("gate").replaceChildren(loadingView(6));
get("key-form").addEventListener("submit", createKey);
get("token-form").addEventListener("submit", createToken);
document.addEventListener("visibilitychange", () => !document.hidden && get("gate").hidden && refresh());
await refresh();
