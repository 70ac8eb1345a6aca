/** Builds elements: `make("p", { class: "note", text: "…" }, child)`. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, any>} [given] `class`, `text`, `data` (an object), `on` (listeners by event), and attributes or
 *   properties by their names; what is null or undefined is left out, and true is an attribute without a value
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {any} the element
 */
export function make(tag, { class: className, text, data, on, ...given } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(data ?? {})) element.dataset[name] = String(value);
  for (const [event, listener] of Object.entries(on ?? {})) element.addEventListener(event, listener);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name in element && !name.startsWith("aria") && typeof value !== "boolean") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/** Paths of the icons, 24 by 24. */
const ICONS = Object.freeze({
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8.5 6v12M15.5 6v12",
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  file: "M12 16V5m0 0L8 9m4-4 4 4M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3",
  download: "M12 4v11m0 0 4-4m-4 4-4-4M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.3 10.5v5.5M13.7 10.5v5.5",
  pencil: "M4.5 19.5l.9-4L16 4.9a1.6 1.6 0 0 1 2.3 0l.8.8a1.6 1.6 0 0 1 0 2.3L8.5 18.6z",
  link: "M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM16.2 16.2 20 20",
  sound: "M4 10v4M8 6.5v11M12 4v16M16 8v8M20 10.5v3",
  lock: "M6.5 11h11v8.5h-11zM9 11V8a3 3 0 0 1 6 0v3",
  cloud: "M3 3l18 18M7.2 18.5h9.5M8 9.5A5 5 0 0 0 7 18.5M11 6.6a5.5 5.5 0 0 1 6.6 4.9A3.6 3.6 0 0 1 20 17",
  warning: "M12 4 3.5 19h17zM12 10v4.2M12 16.6v.1",
  clock: "M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16zM12 8v4.2l2.6 1.6",
});

/** A decorative icon. @param {keyof typeof ICONS} name @param {string} [className] */
export function icon(name, className = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  if (className) svg.setAttribute("class", className);
  svg.append(document.createElementNS(SVG, "path"));
  svg.firstElementChild?.setAttribute("d", ICONS[name]);
  return svg;
}

/** A button with an icon and a label. @param {keyof typeof ICONS} name @param {string} label @param {() => void} click @param {string} [className] */
export const iconButton = (name, label, click, className = "quiet round") =>
  make("button", { class: className, type: "button", title: label, "aria-label": label, on: { click } }, icon(name));

/** A button with words. @param {string} label @param {() => void} click @param {string} [className] */
export const button = (label, click, className = "quiet pill") => make("button", { class: className, type: "button", text: label, on: { click } });
