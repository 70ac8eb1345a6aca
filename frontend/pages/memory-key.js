/** A key that stays in the page's memory: what only an administrator may do has no session token. */

import { isValidKey } from "../credentials.js";
import { keyProblem, unreachableProblem } from "../problems.js";

export class MemoryKey {
  #check;
  typedKey = "";

  /** @param {() => Promise<{status: number}>} check ask for something that needs a key */
  constructor(check) {
    this.#check = check;
  }

  get current() {
    return this.typedKey;
  }

  /** @param {string} key @returns {Promise<?string>} why this did not work, as a sentence, or null */
  async signIn(key) {
    if (!isValidKey(key)) return keyProblem(key || "none");
    this.typedKey = key;
    const { status } = await this.#check();
    if (status !== 0 && status !== 401) return null;
    this.typedKey = "";
    return status === 0 ? unreachableProblem() : keyProblem(key);
  }
}
