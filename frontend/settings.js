/** The user's settings, kept in the browser's storage, and what of them the server is told. */

const KEY = "parley-settings";
const DEFAULTS = { reply: true, speak: true };

/**
 * What is absent the user has not decided: then the server, the system or the browser does.
 * `language`: a code, or "detect". `place`: whether the voice stays on this server. `hold`: push to talk.
 * `words`: whether doubtful words are marked. `microphone` and `loudspeaker` are ids of devices.
 * @typedef {{reply: boolean, speak: boolean, archive?: boolean, keyTerms?: string[], language?: string, profile?: string,
 *            place?: boolean, hold?: boolean, words?: boolean, microphone?: string, loudspeaker?: string,
 *            theme?: "light" | "dark", interface?: string, captions?: boolean}} Settings
 */

/** As the server takes them: so many, and so long. */
const MAX_TERMS = 200;
const MAX_TERM_CHARACTERS = 100;
const MAX_TERM_WORDS = 8;

/** Languages to choose from, by their codes; the server knows more. */
export const SPOKEN_LANGUAGES = Object.freeze(
  ["ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "it", "ja", "ko", "nl", "no", "pl", "pt", "ro", "ru", "sv", "tr", "uk", "vi", "zh"],
);

/** Settings that hold for a whole session: a change begins a new one. */
export const OF_SESSION = Object.freeze(["archive", "profile"]);

/** Settings that the server is told of at once. */
export const CONFIGURED = Object.freeze(["reply", "speak", "keyTerms", "language", "place", "hold", "words"]);

/**
 * The fields of `configure`; the profile stands in the address. Pure.
 * @param {Settings} settings
 */
export function sessionSettings({ reply, speak, archive, keyTerms, language, place, hold, words }) {
  return {
    reply,
    speak,
    ...(archive !== undefined && { archive }),
    ...(keyTerms !== undefined && { keyTerms }),
    ...(language !== undefined && { language: language === "detect" ? null : language }),
    ...(place !== undefined && { place: place ? "on_prem_only" : "cloud_ok" }),
    ...(hold !== undefined && { turns: hold ? "manual" : "auto" }),
    ...(words !== undefined && { words }),
    pauses: true, // this page can go on with a reply that was paused
  };
}

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
    return { ...DEFAULTS, ...JSON.parse(storage.getItem(KEY) ?? "{}") };
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
