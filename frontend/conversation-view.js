/** Draws the transcript, touching only the turns that changed. */

import { isRouteNews } from "./labels.js";
import { TurnView } from "./turn-view.js";

/** Within so many pixels of the bottom the view scrolls along with new text. */
const FOLLOW_DISTANCE = 120;

export class ConversationView {
  #document;
  #drawn = new Map(); // turn key -> TurnView
  #onReplay;
  #engine = "";

  /** @param {Document} document @param {(key: string) => void} onReplay */
  constructor(document, onReplay) {
    this.#document = document;
    this.#onReplay = onReplay;
    this.#get("jump").onclick = () => this.follow();
    this.#get("scroll").addEventListener("scroll", () => this.#drawJump(), { passive: true });
  }

  /** What stands beside the name of whoever replies, from now on; empty for nothing. @param {string} label */
  set engine(label) {
    this.#engine = label;
  }

  /**
   * @param {import("./transcript.js").Transcript} transcript
   * @param {?string} playingKey key of the turn whose reply is playing
   */
  draw({ turns, typed, dropped }, playingKey) {
    const isFollowing = this.#isFollowing;
    const kept = new Set(turns.map(({ key }) => key));
    for (const [key, view] of this.#drawn) {
      if (kept.has(key)) continue;
      view.item.remove();
      this.#drawn.delete(key);
    }
    let route = null;
    for (const turn of turns) {
      const isNews = turn.utterances.map((said) => {
        const isRouteShown = isRouteNews(said.route, route);
        route = said.route ?? route;
        return isRouteShown;
      });
      this.#turnView(turn.key).draw(turn, turn.key === playingKey, isNews);
    }
    this.#drawTyped(typed);
    this.#get("welcome").hidden = turns.length + typed.length > 0;
    this.#get("dropped-turns").hidden = dropped === 0;
    if (isFollowing) this.follow();
    this.#drawJump();
  }

  /** Light what has been spoken of a turn's reply. @param {string} key @param {number} characters */
  light(key, characters) {
    this.#drawn.get(key)?.light(characters);
  }

  /** @param {string} key */
  #turnView(key) {
    const known = this.#drawn.get(key);
    if (known) return known;
    const view = new TurnView((id) => this.#get(id), () => this.#onReplay(key), this.#engine);
    this.#get("conversation").insertBefore(view.item, this.#get("conversation").querySelector(".typed"));
    this.#drawn.set(key, view);
    return view;
  }

  /** What was sent and is in no turn yet. @param {string[]} typed */
  #drawTyped(typed) {
    const list = this.#get("conversation");
    const shown = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(".typed")]);
    for (const [at, text] of typed.entries()) {
      const item = shown.shift() ?? list.appendChild(this.#document.createElement("li"));
      item.className = "typed";
      item.dir = "auto";
      if (item.textContent !== text) item.textContent = typed[at];
    }
    for (const item of shown) item.remove();
  }

  get #isFollowing() {
    const scroll = this.#get("scroll");
    return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < FOLLOW_DISTANCE;
  }

  /** Scroll to the newest. */
  follow() {
    this.#get("scroll").scrollTop = this.#get("scroll").scrollHeight;
  }

  #drawJump() {
    this.#get("jump").hidden = this.#isFollowing || this.#drawn.size === 0;
  }

  #get(id) {
    return this.#document.getElementById(id);
  }
}
