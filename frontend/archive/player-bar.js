/** The controls of a recording: play, the position, five seconds to and fro. */

import { icon, make } from "../pages/element.js";
import { formatClock } from "../pages/format.js";
import { t } from "../strings.js";

const STEP_S = 5;

export class PlayerBar {
  #player;
  #button;
  #slider;
  #time;
  element;

  /** @param {import("./recording-player.js").RecordingPlayer} player */
  constructor(player) {
    this.#player = player;
    this.#button = make("button", { class: "play", type: "button", on: { click: () => this.toggle() } });
    this.#slider = make("input", { type: "range", min: "0", max: String(player.duration), step: "0.1", value: "0", "aria-label": t("player.position"), on: { input: () => player.seek(Number(this.#slider.value)) } });
    this.#time = make("span", { class: "player-time" });
    this.element = make("div", { class: "player", role: "group", "aria-label": t("player.label") }, this.#button, this.#slider, this.#time);
    this.draw();
  }

  toggle() {
    if (this.#player.isPlaying) this.#player.pause();
    else this.#player.play();
  }

  /** @param {number} direction 1 or -1 */
  step(direction) {
    this.#player.seek(this.#player.currentTime + direction * STEP_S);
  }

  draw() {
    const { isPlaying, isWaiting, currentTime, duration } = this.#player;
    const name = isPlaying ? "pause" : "play";
    if (this.element.dataset.state !== name) {
      this.element.dataset.state = name;
      this.#button.replaceChildren(icon(name));
      this.#button.setAttribute("aria-label", t(`player.${name}`));
      this.#button.title = t(`player.${name}`);
    }
    this.element.dataset.waiting = String(isWaiting);
    const clock = t("player.time", { at: formatClock(currentTime), of: formatClock(duration) });
    if (this.#time.textContent === clock && !isPlaying && Number(this.#slider.value) === currentTime) return;
    this.#slider.value = String(currentTime);
    this.#slider.setAttribute("aria-valuetext", clock);
    this.#time.textContent = clock;
  }
}
