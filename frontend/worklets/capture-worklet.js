/** Audio thread: copies the microphone's samples to the main thread, and does nothing else. */

class CaptureWorklet extends AudioWorkletProcessor {
  /** @param {Float32Array[][]} inputs one input, one channel; none while the microphone is muted */
  process([[samples]]) {
    if (samples) {
      const copy = samples.slice(); // because the browser reuses its buffer
      this.port.postMessage(copy, [copy.buffer]);
    }
    return true;
  }
}

registerProcessor("capture", CaptureWorklet);
