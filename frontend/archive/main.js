/** The archive: wires the list, what is open, and the files on their way together. */

import { button } from "../pages/element.js";
import { openPage } from "../pages/page.js";
import { stateView } from "../pages/state-view.js";
import { t } from "../strings.js";
import { bindDrop } from "./drop.js";
import { ListView } from "./list-view.js";
import { MessagesView } from "./messages-view.js";
import { FILTERS, hashOf, isNarrowed, isSameList, placeOf } from "./place.js";
import { RecordingView } from "./recording-view.js";
import { UploadsView } from "./uploads-view.js";

const SCOPES = Object.freeze(["chat", "recordings:delete", "recordings:read", "transcribe"]);
/** After the last key, before the list is asked for. */
const SEARCH_AFTER_MS = 300;

const page = await openPage({ scopes: SCOPES, onKey: () => open(true) });
const get = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const list = new ListView(get("results"), page, () => get("file").click());
const recording = new RecordingView(get("detail"), page, refreshList);
const messages = new MessagesView(get("detail"), page, refreshList);
const uploads = new UploadsView(get("uploads"), page, refreshList);

/** @type {?import("./place.js").Place} */
let shown = null;
let searchTimer = 0;

/** Show what the address says. @param {boolean} isForced also what is shown already */
function open(isForced = false) {
  const place = placeOf(location.hash);
  if (isForced || !isSameList(shown, place)) list.show(place);
  else list.mark(place.id);
  if (isForced || shown?.id !== place.id || shown?.at !== place.at || shown?.kind !== place.kind) showDetail(place);
  drawControls(place);
  shown = place;
}

function showDetail(place) {
  recording.close();
  if (place.id !== null) return (place.kind === "recordings" ? recording : messages).show(place);
  const actions = [button(t("upload.choose"), () => get("file").click())];
  get("detail").replaceChildren(stateView({ icon: "sound", title: t("detail.choose"), text: t("detail.choose-text"), actions, name: "choose" }));
}

function drawControls(place) {
  get("archive").dataset.open = String(place.id !== null);
  for (const kind of ["recordings", "conversations"]) {
    const tab = get(`tab-${kind}`);
    tab.href = hashOf({ kind: /** @type {any} */ (kind), filters: { text: place.filters.text } });
    if (place.kind === kind) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  for (const name of FILTERS) if (document.activeElement !== get(name)) get(name).value = place.filters[name];
  for (const field of document.querySelectorAll("[data-of=recordings]")) /** @type {HTMLElement} */ (field).hidden = place.kind !== "recordings";
  get("clear").hidden = !isNarrowed(place);
  if (FILTERS.slice(1).some((name) => place.filters[name])) get("filters").open = true;
}

function search() {
  clearTimeout(searchTimer);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, get(name).value.trim()]));
  const place = placeOf(location.hash);
  const next = hashOf({ ...place, filters });
  if (next === hashOf(place)) return;
  history.replaceState(null, "", next);
  open();
}

function refreshList() {
  list.show(placeOf(location.hash));
}

/** Keys that work wherever nothing is typed. @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && shown?.id && !target.matches("input")) return void (location.hash = hashOf({ kind: shown.kind, filters: shown.filters }));
  if (target.matches("input, textarea, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    get("text").focus();
  }
  if (!recording.bar || target.closest("summary")) return;
  const isOnButton = target.matches("button, a");
  if (event.key === " " && (!isOnButton || target.matches(".word"))) {
    event.preventDefault();
    recording.bar.toggle();
  }
  if (event.key === "ArrowRight" || event.key === "ArrowLeft") recording.bar.step(event.key === "ArrowRight" ? 1 : -1);
}

get("search").addEventListener("submit", (/** @type {Event} */ event) => (event.preventDefault(), search()));
get("search").addEventListener("input", () => {
  clearTimeout(searchTimer);
  searchTimer = window.setTimeout(search, SEARCH_AFTER_MS);
});
get("clear").addEventListener("click", () => {
  for (const name of FILTERS) get(name).value = "";
  search();
});
get("choose").addEventListener("click", () => get("file").click());
get("file").addEventListener("change", () => {
  uploads.add([...get("file").files]);
  get("file").value = "";
});
bindDrop(get("drop"), (files) => uploads.add(files));
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", () => open());
window.addEventListener("beforeunload", (event) => uploads.isBusy && event.preventDefault());
window.addEventListener("pagehide", () => recording.close());
open(true);
