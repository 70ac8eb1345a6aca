/** The user's settings, kept in the browser's storage. */

const KEY = "parley-settings";
const DEFAULTS = { reply: true, speak: true };

/**
 * `archive` is absent until the user has decided: then the server does.
 * @typedef {{reply: boolean, speak: boolean, archive?: boolean}} Settings
 */

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
