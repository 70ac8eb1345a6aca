/** A state that has no content: empty, an error, a question for a key; what it is, why, and what to do. */

import { t } from "../strings.js";
import { button, icon, make } from "./element.js";
import { faultState } from "./faults.js";

/**
 * @param {{icon: any, title: string, text?: string, actions?: Node[], name?: string}} state
 * @returns {HTMLElement}
 */
export function stateView({ icon: name, title, text = "", actions = [], name: kind = "" }) {
  return make(
    "div",
    { class: "state-view", data: { state: kind } },
    icon(name),
    make("h2", { class: "state-title", text: title }),
    text && make("p", { text }),
    actions.length > 0 && make("div", { class: "state-actions" }, ...actions),
  );
}

/**
 * What an answer that went wrong looks like.
 * @param {import("../rest.js").Answer} answer
 * @param {{retry: () => void, keyForm: () => HTMLElement}} page
 */
export function faultView(answer, { retry, keyForm }) {
  const { fault, icon: name, title, text, canRetry } = faultState(answer);
  const actions = [...(fault === "key" || fault === "forbidden" ? [keyForm()] : []), ...(canRetry ? [button(t("fault.retry"), retry)] : [])];
  return stateView({ icon: name, title, text, actions, name: fault });
}

/** Grey lines in place of what is being fetched. @param {number} lines */
export function loadingView(lines) {
  const bars = Array.from({ length: lines }, () => make("i", {}));
  return make("div", { class: "skeleton", role: "status" }, make("span", { class: "visually-hidden", text: t("page.loading") }), ...bars);
}
