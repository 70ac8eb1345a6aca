/** The question for a key, in place of what needs one. */

import { t } from "../strings.js";
import { make } from "./element.js";

let forms = 0;

/**
 * @param {{signIn: (key: string) => Promise<?string>}} credentials
 * @param {() => void} onKey the key is accepted
 * @returns {HTMLFormElement}
 */
export function keyForm(credentials, onKey) {
  const id = `key-${++forms}`;
  const field = make("input", { id, type: "password", autocomplete: "off", spellcheck: false, required: true });
  const problem = make("p", { class: "problem", role: "alert" });
  const form = make(
    "form",
    { class: "key-question" },
    make("label", { text: t("page.key"), htmlFor: id }),
    field,
    make("button", { class: "pill primary", text: t("key.connect") }),
    problem,
    make("small", { text: t("key.where") }),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = (await credentials.signIn(field.value.trim())) ?? "";
    if (!problem.textContent) onKey();
    else field.select();
  });
  return form;
}
