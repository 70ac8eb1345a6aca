/** Dialogs: a question before something is lost, and a form with one field. */

import { t } from "../strings.js";
import { button, make } from "./element.js";

/**
 * Show a dialog until it is closed; focus returns to where it was.
 * @param {string} title @param {Node[]} content @param {(close: () => void) => Node[]} actions
 * @returns {Promise<void>}
 */
export function showDialog(title, content, actions) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const dialog = make("dialog", { class: "question", "aria-label": title }, make("h2", { text: title }), ...content);
  dialog.append(make("div", { class: "question-actions" }, ...actions(() => dialog.close())));
  document.body.append(dialog);
  dialog.addEventListener("click", (/** @type {MouseEvent} */ { target }) => target === dialog && dialog.close()); // the backdrop
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve();
    }),
  );
}

/**
 * Ask before something is lost.
 * @param {{title: string, text: string, action: string}} question
 * @returns {Promise<boolean>} whether it is meant
 */
export async function confirmed({ title, text, action }) {
  let isMeant = false;
  await showDialog(title, [make("p", { text })], (close) => [
    make("button", { class: "quiet pill", type: "button", text: t("dialog.cancel"), autofocus: true, on: { click: close } }),
    button(action, () => ((isMeant = true), close()), "pill danger"),
  ]);
  return isMeant;
}

/** Say something that is to be read. @param {string} title @param {Node[]} content */
export const inform = (title, content) => showDialog(title, content, (close) => [button(t("dialog.close"), close, "pill primary")]);

/**
 * Ask for one line.
 * @param {{title: string, label: string, value: string, longest: number, action: string}} question
 * @returns {Promise<?string>} null where nothing is to change
 */
export async function askedLine({ title, label, value, longest, action }) {
  let line = null;
  const field = make("input", { value, maxLength: longest, required: true, autofocus: true });
  const form = make("form", { id: "line-form" }, make("label", { class: "field", text: label }, field));
  await showDialog(title, [form], (close) => {
    form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      line = field.value.trim() || null;
      close();
    });
    const submit = make("button", { class: "pill primary", text: action });
    submit.setAttribute("form", form.id);
    return [button(t("dialog.cancel"), close), submit];
  });
  return line === value ? null : line;
}
