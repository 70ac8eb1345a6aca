/** Whether we listen: `off`, `asking` for the microphone, or `on`, cutting what is heard into packets' worth. */

import { Capture } from "./capture.js";
import { Cutter } from "./cutter.js";
import { microphoneProblem, obstacle } from "./explain.js";

const PACKET_MS = 40;

export class Talk {
  #on;
  #state = "off";
  #capture = null;
  #cutter = null;

  /**
   * @param {{onState: (state: string, before: string) => void, onPiece: (samples: Float32Array, sampleRate: number) => void,
   *          onProblem: (sentence: string) => void}} listeners
   */
  constructor(listeners) {
    this.#on = listeners;
  }

  get state() {
    return this.#state;
  }

  /** Ask for the microphone and listen; within a click or key press. */
  async start() {
    const problem = obstacle(window);
    if (problem) return this.#on.onProblem(problem);
    this.#become("asking");
    try {
      const capture = await Capture.open({
        onSamples: (samples) => this.#hear(samples),
        onUnplugged: () => this.#unplugged(),
      });
      if (this.#state !== "asking") return capture.stop(); // changed their mind meanwhile
      this.#capture = capture;
      this.#cutter = new Cutter(Math.round((capture.sampleRate * PACKET_MS) / 1000));
      this.#become("on");
    } catch (error) {
      if (this.#state !== "asking") return;
      this.#become("off");
      this.#on.onProblem(microphoneProblem(error));
    }
  }

  /** Hand over what waits to fill a packet. */
  flush() {
    const rest = this.#cutter?.flush() ?? [];
    if (rest.length > 0) this.#on.onPiece(rest, this.#capture.sampleRate);
  }

  /** Hand over what waits, and let the microphone go. */
  stop() {
    this.flush();
    this.#capture?.stop();
    this.#capture = null;
    this.#cutter = null;
    if (this.#state !== "off") this.#become("off");
  }

  #hear(samples) {
    for (const piece of this.#cutter?.push(samples) ?? []) this.#on.onPiece(piece, this.#capture.sampleRate);
  }

  #unplugged() {
    this.stop();
    this.#on.onProblem(microphoneProblem({ name: "NotFoundError" }));
  }

  #become(state) {
    const before = this.#state;
    this.#state = state;
    this.#on.onState(state, before);
  }
}
