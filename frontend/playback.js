/** Plays replies: the stream as it arrives, or a recording; a flush silences both at once. Main thread. */

/** Of a reply that the user speaks over: 12 dB quieter. */
const DUCKED_GAIN = 0.25;

export class Playback {
  #onPlaying;
  #onPlayed;
  #sampleRate = null;
  #opening = null;
  #flushes = 0;
  #recording = null;
  #deviceId = "";
  #playing = new Set(); // of "stream", "recording"

  /**
   * @param {(isPlaying: boolean) => void} onPlaying called when sound begins and when it ends
   * @param {(turn: number, samples: number) => void} onPlayed called with how much of a turn's stream has been played
   */
  constructor(onPlaying, onPlayed) {
    this.#onPlaying = onPlaying;
    this.#onPlayed = onPlayed;
  }

  /**
   * Open the output. The first time within a click or key press, because browsers
   * let a page play sound only after one.
   * @param {number} sampleRate the browser resamples to the output's rate
   */
  open(sampleRate) {
    if (this.#sampleRate !== sampleRate) {
      this.stop();
      this.#sampleRate = sampleRate;
      this.#opening = open(sampleRate, this.#deviceId, (isPlaying) => this.#update("stream", isPlaying), this.#onPlayed);
    }
    return this.#opening;
  }

  /**
   * Queue samples for playing.
   * @param {Float32Array} samples transferred: the caller's array is empty afterwards
   * @param {number} sampleRate
   * @param {number} turn whose reply it is
   */
  async play(samples, sampleRate, turn) {
    const opening = this.open(sampleRate); // flushes when the rate changes, hence first
    const flushes = this.#flushes;
    const { node } = await opening;
    if (flushes === this.#flushes) node.port.postMessage({ samples, turn }, [samples.buffer]);
  }

  /** Play on this device from now on; the system's own where it is empty or not there. @param {string} deviceId */
  useDevice(deviceId) {
    this.#deviceId = deviceId;
    this.#opening?.then(({ context }) => choose(context, deviceId));
    if (this.#recording) choose(this.#recording, deviceId);
  }

  /** Which part of the recording that is playing has been played, 0 to 1; null where none is. */
  get recordingShare() {
    const { currentTime, duration } = this.#recording ?? {};
    return duration > 0 ? currentTime / duration : null;
  }

  /** Play this turn's sound quietly, or at its usual level again. @param {number} turn @param {boolean} isDucked */
  duck(turn, isDucked) {
    this.#opening?.then(({ node }) => node.port.postMessage({ gain: isDucked ? DUCKED_GAIN : 1, turn }));
  }

  /** What is played next is this turn's sound from here on. @param {number} turn @param {number} position in samples */
  moveTo(turn, position) {
    this.#opening?.then(({ node }) => node.port.postMessage({ position, turn }));
  }

  /**
   * Play a recording instead of what is playing now.
   * @param {string} url
   */
  async replay(url) {
    this.flush();
    const recording = new Audio(url);
    this.#recording = recording;
    if (this.#deviceId) await choose(recording, this.#deviceId);
    if (this.#recording !== recording) return;
    recording.onended = () => this.#endRecording(recording);
    recording.onplaying = () => this.#update("recording", true);
    // Playing fails where it is stopped before it began, and where the bytes are no sound.
    await recording.play().catch(() => this.#endRecording(recording));
  }

  /** Stop at once, and drop what is queued. */
  flush() {
    this.#flushes += 1;
    this.#opening?.then(({ node }) => node.port.postMessage("flush"));
    if (this.#recording) this.#endRecording(this.#recording);
  }

  /** Release everything. */
  stop() {
    this.flush();
    this.#opening?.then(({ context }) => context.close());
    this.#playing.delete("stream"); // because a closed context reports nothing any more
    this.#opening = null;
    this.#sampleRate = null;
  }

  #endRecording(recording) {
    recording.onplaying = null;
    recording.pause();
    if (this.#recording !== recording) return;
    this.#recording = null;
    this.#update("recording", false);
  }

  /** Stream and recording may follow each other without a gap; what counts is whether either plays. */
  #update(source, isPlaying) {
    if (isPlaying) this.#playing.add(source);
    else this.#playing.delete(source);
    this.#onPlaying(this.#playing.size > 0);
  }
}

async function open(sampleRate, deviceId, onPlaying, onPlayed) {
  const context = new AudioContext({ sampleRate, latencyHint: "interactive" });
  if (deviceId) await choose(context, deviceId);
  await context.audioWorklet.addModule(new URL("worklets/playback-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "playback", { numberOfInputs: 0, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => (typeof data === "boolean" ? onPlaying(data) : onPlayed(data.turn, data.played));
  node.connect(context.destination);
  return { context, node };
}

/** A device that is gone, or may not be used, leaves the sound where it is. @param {any} output a context or an element */
async function choose(output, deviceId) {
  await output.setSinkId?.(deviceId).catch(() => {});
}
