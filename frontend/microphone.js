/** The microphone's state, `off`, `asking` for permission, or `on`, and its samples in frames of one packet's length. */

import { Capture } from "./capture.js";
import { Framer } from "./framer.js";
import { microphoneProblem, unsupportedReason } from "./problems.js";

const PACKET_MS = 40;

export class Microphone {
  #on;
  /** @type {"off" | "asking" | "on"} */
  #state = "off";
  #capture = null;
  #framer = null;

  /**
   * @param {{onState: (state: string, before: string) => void, onFrame: (samples: Float32Array, sampleRate: number) => void,
   *          onProblem: (sentence: string) => void}} listeners
   */
  constructor(listeners) {
    this.#on = listeners;
  }

  get state() {
    return this.#state;
  }

  /** Ask for permission and capture; within a click or key press. @param {string} [deviceId] the microphone that is wanted */
  async start(deviceId) {
    const problem = unsupportedReason(window);
    if (problem) return this.#on.onProblem(problem);
    this.#setState("asking");
    try {
      const capture = await Capture.open({
        deviceId,
        onSamples: (samples) => this.#push(samples),
        onUnplugged: () => this.#unplugged(),
      });
      if (this.#state !== "asking") return capture.stop(); // stopped while permission was asked for
      this.#capture = capture;
      this.#framer = new Framer(Math.round((capture.sampleRate * PACKET_MS) / 1000));
      this.#setState("on");
    } catch (error) {
      if (this.#state !== "asking") return;
      this.#setState("off");
      this.#on.onProblem(microphoneProblem(error));
    }
  }

  /** Emit the samples that do not fill a frame yet. */
  flush() {
    const remainder = this.#framer?.flush() ?? [];
    if (remainder.length > 0) this.#on.onFrame(remainder, this.#capture.sampleRate);
  }

  /** Emit the remainder, and release the device. */
  stop() {
    this.flush();
    this.#capture?.stop();
    this.#capture = null;
    this.#framer = null;
    if (this.#state !== "off") this.#setState("off");
  }

  #push(samples) {
    for (const frame of this.#framer?.push(samples) ?? []) this.#on.onFrame(frame, this.#capture.sampleRate);
  }

  #unplugged() {
    this.stop();
    this.#on.onProblem(microphoneProblem({ name: "NotFoundError" }));
  }

  #setState(state) {
    const before = this.#state;
    this.#state = state;
    this.#on.onState(state, before);
  }
}
