/** Hands the user a file of the server. */

import { readAnswer } from "../rest.js";
import { save } from "../save.js";
import { t } from "../strings.js";
import { faultSentence } from "./faults.js";

/** @param {import("../rest.js").Rest} rest @param {string} path @param {string} name @returns {Promise<string>} what came of it, for people */
export async function download(rest, path, name) {
  const response = await rest.fetch(path).catch(() => null);
  if (!response) return t("fault.offline");
  if (!response.ok) return faultSentence(await readAnswer(response));
  save(await response.blob(), name);
  return t("file.saved", { name });
}
