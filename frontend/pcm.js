/** Converts samples between floats from -1 to 1 and 16-bit PCM, and measures their level. Pure. */

const BYTES_PER_SAMPLE = 2;

/**
 * Floats as signed 16-bit little-endian PCM; what exceeds the range is clipped, never wrapped.
 * @param {Float32Array} samples
 * @returns {Uint8Array}
 */
export function encode(samples) {
  const pcm = new Uint8Array(samples.length * BYTES_PER_SAMPLE);
  const view = new DataView(pcm.buffer);
  samples.forEach((sample, index) => {
    const clipped = Math.max(-0x8000, Math.min(0x7fff, Math.round(sample * 0x8000)));
    view.setInt16(index * BYTES_PER_SAMPLE, clipped, true);
  });
  return pcm;
}

/**
 * Signed 16-bit little-endian PCM as floats. The bytes may begin at an odd address.
 * @param {Uint8Array} pcm
 * @returns {Float32Array}
 */
export function decode(pcm) {
  const view = new DataView(pcm.buffer, pcm.byteOffset, pcm.byteLength);
  return Float32Array.from(
    { length: pcm.byteLength / BYTES_PER_SAMPLE },
    (_, index) => view.getInt16(index * BYTES_PER_SAMPLE, true) / 0x8000,
  );
}

/**
 * RMS level on a decibel scale: 0 for -60 dBFS and below, 1 for full scale.
 * @param {Float32Array} samples
 */
export function level(samples) {
  if (samples.length === 0) return 0;
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  const decibels = 10 * Math.log10(power + Number.EPSILON);
  return Math.max(0, Math.min(1, 1 + decibels / 60));
}
