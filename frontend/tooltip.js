/** The tooltip of a badge, shown while the badge is hovered or focused. */

const GAP = 8; // pixels

/**
 * Where a tooltip goes: centred above its anchor, below where there is no room, never off the screen. Pure.
 * @param {{left: number, top: number, bottom: number, width: number}} anchor
 * @param {{width: number, height: number}} box
 * @param {number} screenWidth
 * @returns {{left: number, top: number}} pixels
 */
export function placeTooltip(anchor, box, screenWidth) {
  const centred = anchor.left + anchor.width / 2 - box.width / 2;
  const above = anchor.top - box.height - GAP;
  return {
    left: Math.max(GAP, Math.min(centred, screenWidth - box.width - GAP)),
    top: above >= GAP ? above : anchor.bottom + GAP,
  };
}

/**
 * Show the `.route-detail` of any `.badge` within the container.
 * @param {HTMLElement} container
 * @param {HTMLElement} box positioned against the screen, so that no scrolling edge cuts it
 */
export function bindTooltips(container, box) {
  const show = ({ target }) => {
    const badge = target.closest(".badge");
    box.hidden = badge === null;
    if (badge === null) return;
    box.textContent = badge.querySelector(".route-detail").textContent;
    const { left, top } = placeTooltip(badge.getBoundingClientRect(), box.getBoundingClientRect(), innerWidth);
    box.style.translate = `${left}px ${top}px`;
  };
  const hide = () => {
    box.hidden = true;
  };
  for (const event of ["pointerover", "focusin"]) container.addEventListener(event, show);
  for (const event of ["pointerleave", "focusout", "scroll"]) container.addEventListener(event, hide, { passive: true });
}
