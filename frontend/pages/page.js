/** What the pages beside the talking page begin with: language, looks, key and requests. */

import { socketAddress } from "../address.js";
import { dress } from "../appearance.js";
import { Credentials } from "../credentials.js";
import { load } from "../settings.js";
import { extend } from "../strings.js";
import { keyForm } from "./key-form.js";
import english from "./locales/en.js";
import { Rest } from "./rest.js";

/**
 * @typedef {{rest: Rest, credentials: Credentials, announce: (sentence: string) => void, keyForm: () => HTMLFormElement}} PageParts
 * @param {{scopes: readonly string[], onKey: () => void}} page `scopes`: of the token that the key is exchanged for
 * @returns {Promise<PageParts>}
 */
export async function openPage({ scopes, onKey }) {
  extend(english, { de: () => import("./locales/de.js") });
  await dress(load(localStorage));
  const { address } = socketAddress(location.href, document.querySelector("meta[name=parley-ws]")?.getAttribute("content") ?? "");
  const credentials = new Credentials(address, { storage: browserStorage(), fetch: (...request) => fetch(...request), scopes });
  const rest = new Rest(address, () => credentials.typedKey || credentials.current);
  const announcer = document.getElementById("announcer");
  const announce = (/** @type {string} */ sentence) => announcer && (announcer.textContent = sentence);
  return { rest, credentials, announce, keyForm: () => keyForm(credentials, onKey) };
}

/** Undefined where the browser forbids it. */
function browserStorage() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}
