/** What the user chose, remembered by the browser. */

const KEY = "parley-settings";
const FIRST = { reply: true, speak: true };

/** @param {Storage} storage @returns {{reply: boolean, speak: boolean}} */
export function load(storage) {
  try {
    return { ...FIRST, ...JSON.parse(storage.getItem(KEY)) };
  } catch {
    return FIRST; // damaged, or a browser that forbids storage
  }
}

/** @param {Storage} storage @param {{reply: boolean, speak: boolean}} settings */
export function save(storage, settings) {
  try {
    storage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // a browser that forbids storage still talks; it only forgets
  }
}
