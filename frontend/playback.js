/** The loudspeaker: plays a reply as it arrives, and falls silent when told. Main thread. */

export class Playback {
  #onSound;
  #sampleRate = null;
  #opening = null;
  #flushes = 0;
  #recording = null;
  #sounding = new Set(); // "stream", "recording"

  /** @param {(isPlaying: boolean) => void} onSound told when sound begins and when it ends */
  constructor(onSound) {
    this.#onSound = onSound;
  }

  /**
   * Be ready for sound. The first time within a click or key press, because browsers
   * let a page speak only after one.
   * @param {number} sampleRate the browser, not this page, converts it to the loudspeaker's
   */
  open(sampleRate) {
    if (this.#sampleRate !== sampleRate) {
      this.stop();
      this.#sampleRate = sampleRate;
      this.#opening = open(sampleRate, (sounds) => this.#tell("stream", sounds));
    }
    return this.#opening;
  }

  /**
   * Play behind what is already queued.
   * @param {Float32Array} samples handed over: the caller's array is empty afterwards
   * @param {number} sampleRate
   */
  async play(samples, sampleRate) {
    const opening = this.open(sampleRate); // flushes when the rate changes, hence first
    const flushes = this.#flushes;
    const { node } = await opening;
    if (flushes === this.#flushes) node.port.postMessage(samples, [samples.buffer]);
  }

  /**
   * Play a recording instead of whatever sounds now.
   * @param {Uint8Array} mp3
   */
  async replay(mp3) {
    this.flush();
    const recording = new Audio(URL.createObjectURL(new Blob([mp3], { type: "audio/mpeg" })));
    this.#recording = recording;
    recording.onended = () => this.#endRecording(recording);
    recording.onplaying = () => this.#tell("recording", true);
    // Playing fails where it is stopped before it began, and where the bytes are no sound.
    await recording.play().catch(() => this.#endRecording(recording));
  }

  /** Be silent at once, and forget what waits. */
  flush() {
    this.#flushes += 1;
    this.#opening?.then(({ node }) => node.port.postMessage("flush"));
    if (this.#recording) this.#endRecording(this.#recording);
  }

  /** Release everything. */
  stop() {
    this.flush();
    this.#opening?.then(({ context }) => context.close());
    this.#sounding.delete("stream"); // because a closed context tells nothing any more
    this.#opening = null;
    this.#sampleRate = null;
  }

  #endRecording(recording) {
    recording.onplaying = null;
    recording.pause();
    URL.revokeObjectURL(recording.src);
    if (this.#recording !== recording) return;
    this.#recording = null;
    this.#tell("recording", false);
  }

  /** Stream and recording may hand over to each other; what counts is whether anything sounds. */
  #tell(source, sounds) {
    if (sounds) this.#sounding.add(source);
    else this.#sounding.delete(source);
    this.#onSound(this.#sounding.size > 0);
  }
}

async function open(sampleRate, onSound) {
  const context = new AudioContext({ sampleRate, latencyHint: "interactive" });
  await context.audioWorklet.addModule(new URL("worklets/playback-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => onSound(data);
  node.connect(context.destination);
  return { context, node };
}
