/** Requests to the REST API of the server, with the key or token of this page. */

/**
 * @typedef {{status: number, body: any, code: string, message: string, headers: Headers}} Answer  status 0: nobody could be
 *   reached; `code` and `message` are those of an error, else empty
 */

/**
 * The address of an HTTP route beside the socket. Pure.
 * @param {URL} socket @param {string} path like `engines`
 */
export function httpAddress(socket, path) {
  const url = new URL(`../${path}`, socket);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  return url;
}

export class Rest {
  #socket;
  #credential;

  /** @param {URL} socket @param {() => string} credential empty for none */
  constructor(socket, credential) {
    this.#socket = socket;
    this.#credential = credential;
  }

  /** The whole address of a path. @param {string} path like `recordings?limit=3` */
  address(path) {
    const [route, query = ""] = path.split("?");
    const url = httpAddress(this.#socket, route);
    url.search = query;
    return url;
  }

  /**
   * The response itself, whatever its status. Rejects where nobody can be reached, or `signal` says stop.
   * @param {string} path @param {RequestInit} [options]
   */
  fetch(path, options = {}) {
    const credential = this.#credential();
    const headers = new Headers(options.headers);
    if (credential) headers.set("authorization", `Bearer ${credential}`);
    return fetch(this.address(path), { ...options, headers, credentials: "omit", cache: "no-store" });
  }

  /**
   * Ask, and read the JSON of the answer.
   * @param {string} path @param {RequestInit & {json?: any}} [options]
   * @returns {Promise<Answer>}
   */
  async ask(path, { json, ...options } = {}) {
    const request = json === undefined ? options : { ...options, body: JSON.stringify(json), headers: { "content-type": "application/json" } };
    let response;
    try {
      response = await this.fetch(path, request);
    } catch (error) {
      if (options.signal?.aborted) throw error;
      return { status: 0, body: null, code: "unreachable", message: "", headers: new Headers() };
    }
    return readAnswer(response);
  }
}

/** @param {Response} response @returns {Promise<Answer>} */
export async function readAnswer(response) {
  const isJson = (response.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await response.json().catch(() => null) : null;
  const { code = "", message = "" } = response.ok ? {} : (body ?? {});
  return { status: response.status, body: response.ok ? body : null, code, message, headers: response.headers };
}

/** Whether it went well. @param {Answer} answer */
export const isOk = ({ status }) => status >= 200 && status < 300;

/** A path with a query; what is empty is left out. @param {string} path @param {Record<string, any>} values */
export function withQuery(path, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== null && value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}
