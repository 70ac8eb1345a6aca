/** A text that cannot be changed, with a button that copies it. */

import { t } from "../strings.js";
import { button, make } from "./element.js";

/** @param {string} value @param {string} label @param {string} [className] of the field */
export function copyLine(value, label, className) {
  const field = make("input", { value, readOnly: true, "aria-label": label, class: className });
  const copy = button(t("transcript.copy"), async () => {
    field.select();
    copy.textContent = await navigator.clipboard.writeText(value).then(() => t("transcript.copied"), () => t("transcript.copy"));
  });
  return make("div", { class: "copy-line" }, field, copy);
}
