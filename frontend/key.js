/** The API key of a server that requires one: kept until the tab is closed, and sent to that server alone. */

const NAME = "parley-key";

/** The characters of a subprotocol, hence of a key. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/**
 * Stored under the server's host: `?ws=` in a link must not send the key to another server.
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
    // in a browser that forbids storage the key is asked for again
  }
}

/** Whether a key may have these characters. @param {string} key */
export const isValidKey = (key) => TOKEN.test(key);

/** Subprotocols for the WebSocket: the one place where a browser can put a key. @param {string} key */
export const subprotocols = (key) => (key ? ["parley", `parley-key.${key}`] : []);
