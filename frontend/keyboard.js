/** Keyboard shortcuts: Space talks, or is held with push to talk; Enter ends the turn, Escape stops the reply. */

/**
 * @param {Document} document
 * @param {{talkButton: HTMLElement, isBusy: () => boolean, isHolding: () => boolean, toggleMicrophone: () => void,
 *          press: () => void, release: () => void, endTurn: () => void, stopReply: () => void}} actions  busy while a
 *   dialog is open; holding with push to talk
 */
export function bindShortcuts(document, { talkButton, isBusy, isHolding, toggleMicrophone, press, release, endTurn, stopReply }) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isBusy()) return;
    const target = /** @type {Element} */ (event.target);
    const isTalkButton = target === talkButton;
    if (target.closest("button, input, textarea, select, summary") && !isTalkButton) {
      if (event.key === "Escape" && !event.repeat) stopReply();
      return;
    }
    if (event.repeat) return event.key === " " ? event.preventDefault() : undefined;
    if (event.key === "Escape") return stopReply();
    if (event.key === " " && isHolding()) press();
    else if (event.key === " " && isTalkButton) return; // the browser presses the button
    else if (event.key === " ") toggleMicrophone();
    else if (event.key === "Enter" && talkButton.getAttribute("aria-pressed") === "true" && !isHolding()) endTurn();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keyup", (event) => {
    if (event.key !== " " || !isHolding()) return;
    if (event.target === talkButton) event.preventDefault(); // the browser would press the button
    release();
  });
}

/**
 * The button that is held with push to talk. A press without a pointer, as a screen reader makes it, begins and ends in turn.
 * @param {HTMLElement} button
 * @param {{isHolding: () => boolean, isHeld: () => boolean, toggleMicrophone: () => void, press: () => void, release: () => void}} actions
 */
export function bindTalkButton(button, { isHolding, isHeld, toggleMicrophone, press, release }) {
  button.addEventListener("click", (event) => {
    if (!isHolding()) toggleMicrophone();
    else if (event.detail === 0) isHeld() ? release() : press();
  });
  button.addEventListener("pointerdown", (event) => {
    if (!isHolding() || event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    press();
  });
  for (const end of ["pointerup", "pointercancel"]) button.addEventListener(end, () => isHolding() && isHeld() && release());
  button.addEventListener("contextmenu", (event) => isHolding() && event.preventDefault()); // a long touch
}
