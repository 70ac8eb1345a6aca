/** The user's settings, kept in the browser's storage. */

const KEY = "parley-settings";
const DEFAULTS = { reply: true, speak: true };

/**
 * `archive` is absent until the user has decided: then the server does.
 * `keyTerms` is absent until the user has written some.
 * @typedef {{reply: boolean, speak: boolean, archive?: boolean, keyTerms?: string[]}} Settings
 */

/** As the server takes them: so many, and so long. */
const MAX_TERMS = 200;
const MAX_TERM_CHARACTERS = 100;
const MAX_TERM_WORDS = 8;

/** The key terms in what the user has written, between commas and line ends; what can be none is left out. @param {string} text */
export function keyTermsIn(text) {
  const terms = text.split(/[,\n]/).map((term) => term.trim().replace(/\s+/g, " ")).filter(isTerm);
  return [...new Set(terms)].slice(0, MAX_TERMS);
}

function isTerm(term) {
  const isShort = [...term].length <= MAX_TERM_CHARACTERS && term.split(" ").length <= MAX_TERM_WORDS;
  return isShort && /[\p{L}\p{N}]/u.test(term) && !/[\p{C}]/u.test(term);
}

/** @param {Storage} storage @returns {Settings} */
export function load(storage) {
  try {
    return { ...DEFAULTS, ...JSON.parse(storage.getItem(KEY)) };
  } catch {
    return DEFAULTS; // damaged, or a browser that forbids storage
  }
}

/** @param {Storage} storage @param {Settings} settings */
export function save(storage, settings) {
  try {
    storage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // in a browser that forbids storage the settings last until the page is closed
  }
}
