/** A button that plays a short piece of sound: a reply, or one message of a conversation. One plays at a time. */

import { icon, make } from "../pages/element.js";
import { faultSentence } from "../pages/faults.js";
import { readAnswer } from "../rest.js";
import { t } from "../strings.js";

/** @type {?{audio: HTMLAudioElement, stop: () => void}} */
let playing = null;

/** Silence whatever plays. */
export const stopClip = () => playing?.stop();

/**
 * @param {import("../pages/page.js").PageParts} page @param {string} path of the audio @param {() => void} onPlay before it plays
 */
export function clipButton(page, path, onPlay) {
  const label = make("span", { text: t("player.play") });
  const element = make("button", { class: "quiet pill small clip", type: "button", on: { click: toggle } }, icon("play"), label);
  const draw = (/** @type {boolean} */ isPlaying) => {
    element.replaceChildren(icon(isPlaying ? "pause" : "play"), label);
    element.dataset.playing = String(isPlaying);
    label.textContent = t(isPlaying ? "player.pause" : "player.play");
  };

  async function toggle() {
    const wasPlaying = element.dataset.playing === "true";
    stopClip();
    if (wasPlaying) return;
    onPlay();
    const response = await page.rest.fetch(path).catch(() => null);
    if (!response?.ok) {
      label.textContent = response ? faultSentence(await readAnswer(response)) : t("fault.offline");
      return;
    }
    const url = URL.createObjectURL(await response.blob());
    const audio = new Audio(url);
    const stop = () => {
      audio.pause();
      URL.revokeObjectURL(url);
      if (playing?.audio === audio) playing = null;
      draw(false);
    };
    stopClip();
    playing = { audio, stop };
    audio.onended = stop;
    draw(true);
    await audio.play().catch(stop);
  }

  return element;
}
