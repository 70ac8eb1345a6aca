/** The keys: space talks and stops, Enter ends the turn, Escape stops the reply. */

/**
 * @param {Document} document
 * @param {{talkButton: HTMLElement, isBusy: () => boolean, toggleTalking: () => void,
 *          finishTurn: () => void, stopReply: () => void}} actions  busy while a dialog has the keys
 */
export function listenToKeys(document, { talkButton, isBusy, toggleTalking, finishTurn, stopReply }) {
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || isBusy()) return;
    if (event.key === "Escape") return stopReply();
    const isOnTalk = event.target === talkButton;
    if (event.target.closest("button, input") && !isOnTalk) return;
    if (event.key === " " && isOnTalk) return; // the browser presses the button
    if (event.key === " ") toggleTalking();
    else if (event.key === "Enter" && talkButton.getAttribute("aria-pressed") === "true") finishTurn();
    else return;
    event.preventDefault();
  });
}
