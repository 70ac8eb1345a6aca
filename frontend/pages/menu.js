/** A menu of what else can be done. */

import { icon, make } from "./element.js";

/** A button that unfolds more. @param {string} label @param {any} name of its icon @param {Node[]} items */
export function menu(label, name, items) {
  const details = make("details", { class: "menu" }, make("summary", { class: "quiet round", "aria-label": label, title: label }, icon(name)), make("div", { class: "menu-items" }, ...items));
  details.addEventListener("click", (/** @type {MouseEvent} */ { target }) => target instanceof Element && target.closest(".item") && (details.open = false));
  details.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape" || !details.open) return;
    event.stopPropagation();
    details.open = false;
    details.querySelector("summary").focus();
  });
  details.addEventListener("focusout", (/** @type {FocusEvent} */ { relatedTarget }) => relatedTarget instanceof Node && !details.contains(relatedTarget) && (details.open = false));
  return details;
}
