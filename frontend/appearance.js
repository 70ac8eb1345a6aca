/** How the page looks and which language it has. */

import { choose, current, directionOf, translate, use } from "./strings.js";

/** Speak the reader's language, and look as it was chosen. @param {import("./settings.js").Settings} settings */
export async function dress(settings) {
  await use(choose(settings.interface, navigator.languages));
  document.documentElement.lang = current();
  document.documentElement.dir = directionOf(current());
  translate(document);
  show(settings);
}

/** @param {import("./settings.js").Settings} settings */
export function show({ theme, captions }) {
  document.documentElement.dataset.theme = theme ?? "auto";
  document.body.dataset.captions = String(captions ?? false);
  document.getElementById("captions")?.setAttribute("aria-pressed", String(captions ?? false));
}
