/** Files that are dropped anywhere on the page. */

/** @param {HTMLElement} overlay shown while files are over the page @param {(files: File[]) => void} onFiles */
export function bindDrop(overlay, onFiles) {
  let depth = 0; // dragenter and dragleave come for each element that is crossed
  const show = (/** @type {boolean} */ isOver) => (overlay.hidden = !isOver);
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") ?? false;
  window.addEventListener("dragenter", (event) => hasFiles(event) && show(++depth > 0));
  window.addEventListener("dragleave", (event) => hasFiles(event) && show((depth = Math.max(0, depth - 1)) > 0));
  window.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    show((depth = 0) > 0);
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
}
