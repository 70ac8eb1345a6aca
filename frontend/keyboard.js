/** Keyboard shortcuts: Space toggles the microphone, Enter ends the turn, Escape stops the reply. */

/**
 * @param {Document} document
 * @param {{talkButton: HTMLElement, isBusy: () => boolean, toggleMicrophone: () => void,
 *          endTurn: () => void, stopReply: () => void}} actions  busy while a dialog is open
 */
export function bindShortcuts(document, { talkButton, isBusy, toggleMicrophone, endTurn, stopReply }) {
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || isBusy()) return;
    if (event.key === "Escape") return stopReply();
    const isTalkButton = event.target === talkButton;
    if (event.target.closest("button, input") && !isTalkButton) return;
    if (event.key === " " && isTalkButton) return; // the browser presses the button
    if (event.key === " ") toggleMicrophone();
    else if (event.key === "Enter" && talkButton.getAttribute("aria-pressed") === "true") endTurn();
    else return;
    event.preventDefault();
  });
}
