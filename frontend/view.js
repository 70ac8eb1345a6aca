/** Draws everything around the conversation: connection, microphone, buttons, notices. */

const CONNECTION = {
  closed: "Not connected",
  connecting: "Connecting…",
  ready: "Connected",
  waiting: "Reconnecting…",
  refused: "Disconnected",
};
const MICROPHONE = {
  off: { label: "Talk", hint: "Press to talk" },
  asking: { label: "Cancel", hint: "Allow the microphone to go on" },
  on: { label: "Stop", hint: "Listening" },
};
const METER_BARS = 44;

export class View {
  #document;
  #bars;

  /** @param {Document} document */
  constructor(document) {
    this.#document = document;
    this.#bars = Array.from({ length: METER_BARS }, () => document.createElement("i"));
    this.get("meter").append(...this.#bars);
  }

  get(id) {
    return this.#document.getElementById(id);
  }

  /**
   * @param {{connection: string, elsewhere: ?string, microphone: "off" | "asking" | "on",
   *          canStopReply: boolean, keyAsked: ?string, notices: {text: string, action?: string, onAction?: () => void}[]}} state
   */
  draw({ connection, elsewhere, microphone, canStopReply, keyAsked, notices }) {
    const status = this.get("connection");
    status.dataset.state = connection;
    write(status, elsewhere ? `${CONNECTION[connection]} · ${elsewhere}` : CONNECTION[connection]);
    this.#document.body.dataset.microphone = microphone;
    this.get("talk").setAttribute("aria-pressed", String(microphone === "on"));
    write(this.get("talk-label"), MICROPHONE[microphone].label);
    write(this.get("hint"), MICROPHONE[microphone].hint);
    this.get("done").disabled = microphone !== "on";
    this.get("stop-reply").disabled = !canStopReply;
    this.#drawKey(keyAsked);
    this.#drawNotices(notices);
  }

  /** How loud it is, newest in the middle of the meter, older towards both ends. @param {number} loudness 0 to 1 */
  hear(loudness) {
    const middle = METER_BARS / 2;
    const level = (bar) => bar.style.getPropertyValue("--level");
    for (let distance = middle - 1; distance > 0; distance -= 1) {
      this.#setBars(distance, level(this.#bars[middle + distance - 1]));
    }
    this.#setBars(0, loudness.toFixed(3));
    this.get("talk").style.setProperty("--level", loudness.toFixed(3));
  }

  /** The meter at rest. */
  hush() {
    for (const bar of this.#bars) bar.style.setProperty("--level", "0");
    this.get("talk").style.setProperty("--level", "0");
  }

  /** Say to a screen reader what is settled; drafts would drown it. @param {string} text */
  announce(text) {
    this.get("announcer").textContent = text;
  }

  #setBars(distance, level) {
    const middle = METER_BARS / 2;
    this.#bars[middle + distance].style.setProperty("--level", level);
    this.#bars[middle - 1 - distance].style.setProperty("--level", level);
  }

  #drawKey(asked) {
    const form = this.get("ask-key");
    const wasHidden = form.hidden;
    form.hidden = asked === null;
    if (asked !== null) write(this.get("key-asked"), asked);
    if (asked !== null && wasHidden) this.get("key").select(); // and a screen reader says what is asked
  }

  #drawNotices(notices) {
    const place = this.get("notices");
    const texts = notices.map(({ text }) => text).join("\n");
    if (place.dataset.texts === texts) return; // because an alert drawn again is read aloud again
    place.dataset.texts = texts;
    place.replaceChildren(...notices.map((notice) => this.#notice(notice)));
  }

  #notice({ text, action, onAction }) {
    const paragraph = this.#document.createElement("p");
    paragraph.textContent = text;
    if (action) {
      const button = this.#document.createElement("button");
      button.textContent = action;
      button.className = "quiet pill small";
      button.onclick = onAction;
      paragraph.append(button);
    }
    return paragraph;
  }
}

/** Because a live region that is written again may be read again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
