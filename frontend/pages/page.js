/** What the pages beside the talking page begin with: language, looks, key and requests. */

import { socketAddress } from "../address.js";
import { dress } from "../appearance.js";
import { Credentials } from "../credentials.js";
import { load } from "../settings.js";
import { extend } from "../strings.js";
import { keyForm } from "./key-form.js";
import english from "./locales/en.js";
import { MemoryKey } from "./memory-key.js";
import { Rest } from "../rest.js";

/**
 * @typedef {{rest: Rest, announce: (sentence: string) => void, keyForm: () => HTMLFormElement}} PageParts
 * @param {{scopes: readonly string[], onKey: () => void}} page `scopes`: of the token that the key is exchanged for; none: the key stays in memory
 * @returns {Promise<PageParts>}
 */
export async function openPage({ scopes, onKey }) {
  extend(english, { de: () => import("./locales/de.js") });
  await dress(load(localStorage));
  const { address } = socketAddress(location.href, document.querySelector("meta[name=parley-ws]")?.getAttribute("content") ?? "");
  const rest = new Rest(address, () => credentials.typedKey || credentials.current);
  const credentials = scopes.length > 0
    ? new Credentials(address, { storage: browserStorage(), fetch: (...request) => fetch(...request), scopes })
    : new MemoryKey(() => rest.ask("admin/sessions"));
  const announcer = document.getElementById("announcer");
  const announce = (/** @type {string} */ sentence) => announcer && (announcer.textContent = sentence);
  return { rest, announce, keyForm: () => keyForm(credentials, onKey) };
}

/** Undefined where the browser forbids it. */
function browserStorage() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}
