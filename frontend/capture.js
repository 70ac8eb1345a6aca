/** Captures the microphone's samples through an AudioWorklet, from permission to release. Main thread. */

const CONSTRAINTS = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

export class Capture {
  #stream;
  #context;
  #node;

  constructor(stream, context, node) {
    this.#stream = stream;
    this.#context = context;
    this.#node = node;
  }

  /**
   * Ask for permission and capture, at the sample rate of the device.
   * @param {{deviceId?: string, onSamples: (samples: Float32Array) => void, onUnplugged: () => void}} given  `deviceId`: the
   *   microphone that is wanted; another one where it is not there
   * @throws {DOMException} as getUserMedia does
   */
  static async open({ deviceId, onSamples, onUnplugged }) {
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: deviceId ? { ...CONSTRAINTS, deviceId: { ideal: deviceId } } : CONSTRAINTS,
    });
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      await context.audioWorklet.addModule(new URL("worklets/capture-worklet.js", import.meta.url));
      const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
      node.port.onmessage = ({ data }) => onSamples(data);
      context.createMediaStreamSource(stream).connect(node);
      for (const track of stream.getTracks()) track.onended = onUnplugged;
      await context.resume();
      return new Capture(stream, context, node);
    } catch (error) {
      release(stream, context);
      throw error;
    }
  }

  /** Samples per second. */
  get sampleRate() {
    return this.#context.sampleRate;
  }

  /** Release everything; no samples come after this. */
  stop() {
    this.#node.port.onmessage = null;
    release(this.#stream, this.#context);
  }
}

function release(stream, context) {
  for (const track of stream.getTracks()) {
    track.onended = null;
    track.stop();
  }
  context.close();
}
