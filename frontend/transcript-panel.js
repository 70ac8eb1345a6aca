/** The drawer with the transcript: copy, share, download. */

import { save } from "./save.js";
import { t } from "./strings.js";
import { FORMATS, toText } from "./transcript-export.js";

/**
 * @param {(id: string) => any} get an element of the page
 * @param {() => import("./transcript.js").Transcript} transcript the newest
 */
export function bindTranscriptPanel(get, transcript) {
  const say = (key) => {
    get("transcript-status").textContent = key ? t(key) : "";
  };
  get("open-transcript").onclick = () => {
    get("transcript-preview").textContent = toText(transcript());
    say("");
    get("transcript").showModal();
  };
  get("copy-transcript").onclick = () =>
    navigator.clipboard.writeText(toText(transcript())).then(() => say("transcript.copied"), () => say("transcript.copy-failed"));
  get("share-transcript").hidden = !navigator.share;
  get("share-transcript").onclick = () => navigator.share({ title: t("transcript.title"), text: toText(transcript()) }).catch(() => {}); // dismissed
  for (const [ending, { label, type, write }] of Object.entries(FORMATS)) {
    const button = document.createElement("button");
    button.className = "quiet pill";
    button.textContent = t(label);
    button.onclick = () => save(new Blob([write(transcript())], { type }), `parley-${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}.${ending}`);
    get("downloads").append(button);
  }
}
