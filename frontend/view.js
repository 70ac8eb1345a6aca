/** Draws everything but the conversation: connection, microphone, buttons, level meter, notices. */

import { t } from "./strings.js";

const METER_BARS = 44;
/** Sentences a screen reader may still read. */
const ANNOUNCED = 4;

/**
 * @typedef {"off" | "asking" | "on"} MicrophoneState
 * @typedef {"idle" | "listening" | "thinking" | "speaking"} Activity
 * @typedef {{connection: string, isResumed: boolean, otherServer: ?string, recording: ?{isRecorded: boolean, label: string},
 *   microphone: MicrophoneState, activity: Activity, hold: ?"released" | "held", canStopReply: boolean, canAnswer: boolean,
 *   keyLabel: ?string, hasTurns: boolean, notices: {text: string, action?: string, onAction?: () => void}[]}} PageState
 */

export class View {
  #document;
  #bars;

  /** @param {Document} document */
  constructor(document) {
    this.#document = document;
    this.#bars = Array.from({ length: METER_BARS }, () => document.createElement("i"));
    this.get("meter").append(...this.#bars);
  }

  /** @param {string} id @returns {any} an element of the page */
  get(id) {
    return this.#document.getElementById(id);
  }

  /** @param {PageState} state */
  draw(state) {
    const { connection, microphone, activity, hold } = state;
    this.#drawConnection(state);
    this.#drawRecording(state.recording);
    Object.assign(this.#document.body.dataset, { microphone, activity, hold: hold ?? "" });
    this.get("talk").setAttribute("aria-pressed", String(hold ? hold === "held" : microphone === "on"));
    write(this.get("talk-label"), hold && microphone !== "asking" ? t("talk.hold") : t(`talk.${microphone}`));
    write(this.get("hint"), hintFor(connection, microphone, activity, hold));
    this.get("end-turn").disabled = microphone !== "on" || hold !== null;
    this.get("stop-reply").disabled = !state.canStopReply;
    this.get("new-conversation").hidden = this.get("open-transcript").hidden = !state.hasTurns;
    this.get("text").disabled = !state.canAnswer;
    this.get("text").placeholder = t(state.canAnswer ? "composer.placeholder" : "composer.off");
    this.#drawKey(state.keyLabel);
    this.#drawNotices(state.notices);
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

  /** Announce finals and replies to screen readers, one after the other; drafts would be too many. @param {string} text */
  announce(text) {
    const announcer = this.get("announcer");
    const line = this.#document.createElement("p");
    line.textContent = text;
    announcer.append(line);
    while (announcer.children.length > ANNOUNCED) announcer.firstElementChild.remove();
  }

  #setBars(distance, level) {
    const middle = METER_BARS / 2;
    this.#bars[middle + distance].style.setProperty("--level", level);
    this.#bars[middle - 1 - distance].style.setProperty("--level", level);
  }

  #drawConnection({ connection, isResumed, otherServer }) {
    const status = this.get("connection");
    status.dataset.state = connection;
    const label = t(connection === "ready" && isResumed ? "connection.resumed" : `connection.${connection}`);
    write(status, otherServer ? `${label} · ${otherServer}` : label);
  }

  #drawRecording(recording) {
    const light = this.get("recording");
    if (recording !== null && light.firstElementChild.textContent !== recording.label) this.announce(recording.label);
    light.hidden = recording === null;
    light.dataset.on = String(recording?.isRecorded ?? false);
    if (recording !== null) write(light.firstElementChild, recording.label);
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

/**
 * The sentence below the button: what it does, or what is going on. Pure.
 * @param {string} connection @param {MicrophoneState} microphone @param {Activity} activity @param {?"released" | "held"} hold
 */
export function hintFor(connection, microphone, activity, hold) {
  if (microphone === "asking") return t("hint.asking");
  if (activity === "thinking" || activity === "speaking") return t(`hint.${activity}`);
  if (hold === "held") return t("hint.held");
  if (hold === "released") return t("hint.hold");
  if (microphone === "off") return t("hint.off");
  return t(["waiting", "refused"].includes(connection) ? "hint.unavailable" : "hint.listening");
}

/** Because a live region that is written again may be read again. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
