/**
 * What the page presents to a server that requires a key. The key that the user types stays in memory; it is exchanged
 * at once for a session token, which may do no more than the page needs and expires within the hour. The tab's storage has the token alone.
 */

import { keyProblem, unreachableProblem } from "./problems.js";

const NAME = "parley-token";
const LIFETIME_S = 3600; // the longest that the server allows
const RENEW_BEFORE_MS = 120_000;

/** The characters of a subprotocol, hence of a key. */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** Whether a key may have these characters. @param {string} key */
export const isValidKey = (key) => TOKEN.test(key);

/** Subprotocols for the WebSocket: the one place where a browser can put a key or token. @param {string} credential */
export const subprotocols = (credential) => (credential ? ["parley", `parley-key.${credential}`] : []);

export class Credentials {
  #address;
  #storage;
  #fetch;
  #now;
  #scopes;
  #key = "";
  #token = "";
  #timer = null;

  /**
   * @param {URL} address of the socket; what is kept is kept for its host, and sent to no other
   * @param {{storage?: Storage, fetch?: typeof fetch, now?: () => number, scopes?: readonly string[]}} given `scopes`: what
   *   the token may do; each set has a token of its own, and a key that lacks one of them is kept in memory alone
   */
  constructor(address, { storage, fetch, now = Date.now, scopes = ["speak"] }) {
    this.#address = address;
    this.#scopes = scopes;
    this.#storage = storage;
    this.#fetch = fetch;
    this.#now = now;
    this.#token = this.#load();
  }

  /** What to connect with; empty where nothing is known. */
  get current() {
    return this.#token || this.#key;
  }

  /** The key that was typed on this page; empty after a reload. */
  get typedKey() {
    return this.#key;
  }

  /**
   * Exchange a key for a token, and renew that while the page is open. A server that makes no tokens gets the key.
   * @param {string} key
   * @returns {Promise<?string>} why this did not work, as a sentence, or null
   */
  async signIn(key) {
    if (!isValidKey(key)) return keyProblem(key || "none");
    const response = await this.#exchange(key).catch(() => null);
    if (response === null) return unreachableProblem();
    if (response.status === 401) {
      if (key === this.#key) this.forget(); // it was revoked since
      return keyProblem(key);
    }
    if (response.status === 429) return (await response.json()).message;
    this.#key = key;
    if (response.status === 201) this.#keep(await response.json());
    return null;
  }

  /** The server accepts neither token nor key any more. */
  forget() {
    clearTimeout(this.#timer);
    this.#key = this.#token = "";
    try {
      this.#storage.removeItem(this.#name);
    } catch {
      // nothing was kept
    }
  }

  #exchange(key) {
    const url = new URL("../auth/session-tokens", this.#address);
    url.protocol = url.protocol === "wss:" ? "https:" : "http:";
    url.search = "";
    const body = JSON.stringify({ scopes: this.#scopes, ttl_s: LIFETIME_S, name: "web page" });
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    return this.#fetch(url, { method: "POST", headers, body, credentials: "omit", cache: "no-store" });
  }

  #keep({ token, expiresAt }) {
    this.#token = token;
    clearTimeout(this.#timer);
    const lifetimeMs = Date.parse(expiresAt) - this.#now();
    this.#timer = setTimeout(() => this.#renew(), Math.max(lifetimeMs - RENEW_BEFORE_MS, RENEW_BEFORE_MS / 4));
    try {
      this.#storage.setItem(this.#name, JSON.stringify({ token, expiresAt }));
    } catch {
      // in a browser that forbids storage the key is asked for again after a reload
    }
  }

  /** A server that cannot be reached now is asked again; until then the page has the key. */
  async #renew() {
    const problem = await this.signIn(this.#key);
    if (problem === null || !this.#key) return;
    this.#token = "";
    this.#timer = setTimeout(() => this.#renew(), RENEW_BEFORE_MS / 4);
  }

  #load() {
    try {
      const { token, expiresAt } = JSON.parse(this.#storage.getItem(this.#name));
      return Date.parse(expiresAt) > this.#now() && isValidKey(token) ? token : "";
    } catch {
      return ""; // nothing, something else, or a browser that forbids storage
    }
  }

  get #name() {
    const scopes = this.#scopes.join() === "speak" ? "" : ` ${this.#scopes.join()}`;
    return `${NAME} ${this.#address.host}${scopes}`;
  }
}
