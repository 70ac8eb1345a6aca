/**
 * The page's sentences in the reader's language, one file for each in `locales/`. English is loaded
 * with the page, and stands for what another language lacks; the others are loaded when they are wanted.
 */

import english from "./locales/en.js";

/** Languages of the page by their code, each in its own words. @type {Readonly<Record<string, string>>} */
export const LANGUAGES = Object.freeze({ en: "English", de: "Deutsch" });

/** @typedef {() => Promise<{default: Record<string, string>}>} Load */
/** @type {Record<string, Load[]>} */
const FILES = { en: [async () => ({ default: english })], de: [() => import("./locales/de.js")] };

const RIGHT_TO_LEFT = new Set(["ar", "fa", "he", "ur"]);

/** @type {Record<string, string>} */
let fallback = english;
/** @type {Record<string, string>} */
let strings = english;
let language = "en";

/**
 * Sentences of a page of its own, beside those that every page has. Before `use`.
 * @param {Record<string, string>} own in English @param {Record<string, Load>} others by the code of their language
 */
export function extend(own, others) {
  fallback = { ...fallback, ...own };
  FILES.en.push(async () => ({ default: own }));
  for (const [code, load] of Object.entries(others)) FILES[code]?.push(load);
}

/**
 * The page's language: the one that was chosen, else the first of the browser's that there is. Pure.
 * @param {string | undefined} chosen a code of LANGUAGES
 * @param {readonly string[]} preferred as `navigator.languages`
 * @returns {string} a code of LANGUAGES
 */
export function choose(chosen, preferred) {
  if (chosen && Object.hasOwn(LANGUAGES, chosen)) return chosen;
  const codes = preferred.map((each) => each.toLowerCase().split("-")[0]);
  return codes.find((code) => Object.hasOwn(LANGUAGES, code)) ?? "en";
}

/** Speak this language from now on; English where its file cannot be loaded. @param {string} code of LANGUAGES */
export async function use(code) {
  const files = await Promise.all((FILES[code] ?? []).map((load) => load())).catch(() => []);
  strings = files.length > 0 ? Object.assign({}, ...files.map((file) => file.default)) : fallback;
  language = files.length > 0 ? code : "en";
}

/** The code of the language that is used. */
export const current = () => language;

/** The direction in which a language is written. @param {string} code */
export const directionOf = (code) => (RIGHT_TO_LEFT.has(code) ? "rtl" : "ltr");

/**
 * The sentence of this key, with its `{names}` replaced.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const sentence = strings[key] ?? fallback[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * Write the sentences into a tree, templates included: `data-t` is a text, `data-t-label` a label, for
 * screen readers and as a tooltip, and `data-t-placeholder` a placeholder.
 * @param {Document | DocumentFragment} root
 */
export function translate(root) {
  for (const element of elements(root, "[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of elements(root, "[data-t-placeholder]")) {
    element.setAttribute("placeholder", t(element.dataset.tPlaceholder));
  }
  for (const element of elements(root, "[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
    if (element.matches("button, a")) element.title = t(element.dataset.tLabel);
  }
  for (const template of root.querySelectorAll("template")) translate(template.content);
}

/** @param {Document | DocumentFragment} root @param {string} selector @returns {NodeListOf<HTMLElement>} */
const elements = (root, selector) => root.querySelectorAll(selector);
