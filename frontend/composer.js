/** The text box: Enter sends, Shift+Enter begins a line; it grows with what is typed. */

const MAX_HEIGHT = 160; // pixels

/**
 * @param {(id: string) => any} get an element of the page
 * @param {(text: string) => void} onText what was typed, without space around it, never empty
 */
export function bindComposer(get, onText) {
  const field = get("text");
  const fit = () => {
    get("send").disabled = field.value.trim() === "";
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, MAX_HEIGHT)}px`;
  };
  field.addEventListener("input", fit);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    get("composer").requestSubmit();
  });
  get("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (text === "") return;
    field.value = "";
    fit();
    onText(text);
  });
}
