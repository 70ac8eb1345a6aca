/** Who answers here: the engines that the server names, in words. Pure. */

import { t } from "./strings.js";

/**
 * @typedef {{engine: string, model: string, demonstration: boolean}} Engine
 * @typedef {{replies: Engine[], languages: string[]}} Engines  as `GET /engines` has them
 */

const NAMES = { openai: "OpenAI", ollama: "Ollama" };

/**
 * The sentence for whoever comes to the page.
 * @param {Engine[]} replies in their order: the first answers
 * @returns {{text: string, canConnect: boolean}} `canConnect`: whether to say how to connect a capable model
 */
export function introduction(replies) {
  const [first] = replies;
  if (first === undefined) return { text: t("answering.nobody"), canConnect: true };
  if (first.demonstration) return { text: t("answering.demonstration", { model: first.model }), canConnect: true };
  return { text: t("answering.engine", { model: nameOf(first) }), canConnect: false };
}

/** What stands beside each reply. @param {Engine[]} replies */
export function replyLabel([first]) {
  if (first === undefined) return "";
  return first.demonstration ? t("answering.demonstration-label") : first.model;
}

function nameOf({ engine, model }) {
  const name = NAMES[engine];
  return name && model ? `${model} (${name})` : model || engine;
}
