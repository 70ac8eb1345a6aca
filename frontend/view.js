/** Draws everything but the conversation: connection, microphone, buttons, level meter, notices. */

const CONNECTION = {
  closed: "Not connected",
  connecting: "Connecting…",
  ready: "Connected",
  waiting: "Reconnecting…",
  resuming: "Reconnecting…",
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
   * @param {{connection: string, otherServer: ?string, recording: ?{isRecorded: boolean, label: string}, microphone: "off" | "asking" | "on",
   *          canStopReply: boolean, keyLabel: ?string, notices: {text: string, action?: string, onAction?: () => void}[]}} state
   */
  draw({ connection, otherServer, recording, microphone, canStopReply, keyLabel, notices }) {
    const status = this.get("connection");
    status.dataset.state = connection;
    write(status, otherServer ? `${CONNECTION[connection]} · ${otherServer}` : CONNECTION[connection]);
    this.#drawRecording(recording);
    this.#document.body.dataset.microphone = microphone;
    this.get("talk").setAttribute("aria-pressed", String(microphone === "on"));
    write(this.get("talk-label"), MICROPHONE[microphone].label);
    write(this.get("hint"), MICROPHONE[microphone].hint);
    this.get("end-turn").disabled = microphone !== "on";
    this.get("stop-reply").disabled = !canStopReply;
    this.#drawKey(keyLabel);
    this.#drawNotices(notices);
  }

  /** Show a new level in the middle of the meter; older ones move towards both ends. @param {number} level 0 to 1 */
  updateMeter(level) {
    const middle = METER_BARS / 2;
    const shown = (bar) => bar.style.getPropertyValue("--level");
    for (let distance = middle - 1; distance > 0; distance -= 1) {
      this.#setBars(distance, shown(this.#bars[middle + distance - 1]));
    }
    this.#setBars(0, level.toFixed(3));
    this.get("talk").style.setProperty("--level", level.toFixed(3));
  }

  /** Show no level. */
  resetMeter() {
    for (const bar of this.#bars) bar.style.setProperty("--level", "0");
    this.get("talk").style.setProperty("--level", "0");
  }

  /** Announce finals and replies to screen readers; drafts would be too many. @param {string} text */
  announce(text) {
    this.get("announcer").textContent = text;
  }

  #setBars(distance, level) {
    const middle = METER_BARS / 2;
    this.#bars[middle + distance].style.setProperty("--level", level);
    this.#bars[middle - 1 - distance].style.setProperty("--level", level);
  }

  #drawRecording(recording) {
    const light = this.get("recording");
    light.hidden = recording === null;
    light.dataset.on = String(recording?.isRecorded ?? false);
    if (recording !== null) write(light, recording.label);
  }

  #drawKey(label) {
    const form = this.get("key-form");
    const wasHidden = form.hidden;
    form.hidden = label === null;
    if (label !== null) write(this.get("key-label"), label);
    if (label !== null && wasHidden) this.get("key").select(); // which makes a screen reader read the label
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
