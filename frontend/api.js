/** Requests to the server's REST API, with whatever the page presents. */

/**
 * The address of an HTTP route beside the socket. Pure.
 * @param {URL} socket @param {string} path like `engines`
 */
export function httpAddress(socket, path) {
  const url = new URL(`../${path}`, socket);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  return url;
}

export class Api {
  #socket;
  #credential;

  /** @param {URL} socket @param {() => string} credential the key or token; empty for none */
  constructor(socket, credential) {
    this.#socket = socket;
    this.#credential = credential;
  }

  /**
   * GET a route's JSON.
   * @param {string} path
   * @returns {Promise<{status: number, body: any}>} status 0 where the server cannot be reached
   */
  async get(path) {
    const credential = this.#credential();
    const headers = credential ? { authorization: `Bearer ${credential}` } : {};
    try {
      const response = await fetch(httpAddress(this.#socket, path), { headers, credentials: "omit", cache: "no-store" });
      return { status: response.status, body: response.ok ? await response.json() : null };
    } catch {
      return { status: 0, body: null };
    }
  }
}
