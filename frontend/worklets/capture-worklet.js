/** Audio thread: copies what the microphone hears to the main thread, and nothing else. */

class CaptureWorklet extends AudioWorkletProcessor {
  /** @param {Float32Array[][]} inputs one input, one channel; none while the microphone is muted */
  process([[heard]]) {
    if (heard) {
      const copy = heard.slice(); // because the browser reuses its buffer
      this.port.postMessage(copy, [copy.buffer]);
    }
    return true;
  }
}

registerProcessor("capture", CaptureWorklet);
