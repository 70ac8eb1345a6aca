/** Puts new content into a panel, and leaves the focus where it was. */

/** @type {WeakMap<HTMLElement, string>} */
const drawn = new WeakMap();

/**
 * @param {HTMLElement} element @param {any} content what the nodes show; the same again changes nothing
 * @param {() => (Node | string)[]} nodes
 */
export function redraw(element, content, nodes) {
  const state = JSON.stringify(content);
  if (drawn.get(element) === state) return;
  drawn.set(element, state);
  const focused = element.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.key : undefined;
  element.replaceChildren(...nodes());
  if (focused) /** @type {HTMLElement | null} */ (element.querySelector(`[data-key="${CSS.escape(focused)}"]`))?.focus();
}
