/** Push to talk: whether the button is held, and when the microphone is given back. */

/** After so long without a press. */
const RELEASE_MS = 60_000;

export class Hold {
  #actions;
  #timer = null;
  isHeld = false;

  /** @param {{press: () => void, release: () => void, expire: () => void}} actions */
  constructor(actions) {
    this.#actions = actions;
  }

  press() {
    if (this.isHeld) return;
    clearTimeout(this.#timer);
    this.isHeld = true;
    this.#actions.press();
  }

  release() {
    if (!this.isHeld) return;
    this.#actions.release(); // before it is over, because the last samples belong to it
    this.isHeld = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#actions.expire, RELEASE_MS);
  }

  /** The microphone was switched off. */
  reset() {
    clearTimeout(this.#timer);
    this.isHeld = false;
  }
}
