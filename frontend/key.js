/** The key of a server that asks for one: remembered until the tab is closed, and shown to that server alone. */

const NAME = "parley-key";

/** What a subprotocol may be made of, hence a key. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * The name has the server's in it: `?ws=` in a link must not carry the key to another one.
 * @param {Storage} storage @param {string} host @returns {string} empty where none is known
 */
export function loadKey(storage, host) {
  try {
    return storage.getItem(`${NAME} ${host}`) ?? "";
  } catch {
    return ""; // a browser that forbids storage
  }
}

/** @param {Storage} storage @param {string} host @param {string} key */
export function saveKey(storage, host, key) {
  try {
    storage.setItem(`${NAME} ${host}`, key);
  } catch {
    // a browser that forbids storage still talks; it only forgets
  }
}

/** Whether this could be a key at all. @param {string} key */
export const isPossible = (key) => TOKEN.test(key);

/** What the WebSocket offers: the one place where a browser can put a key. @param {string} key */
export const subprotocols = (key) => (key ? ["parley", `parley-key.${key}`] : []);
