/** Positions in a WAV file of the server, in samples and in bytes. Pure. */

const BYTES_PER_SAMPLE = 2;

/** Of a second and of eight seconds: the first piece is short, so that sound begins at once. */
export const FIRST_SAMPLES = 16_000;
export const PIECE_SAMPLES = 128_000;

/** The header `Range` for the samples [first, last). @param {number} first @param {number} last @param {number} headBytes */
export const rangeHeader = (first, last, headBytes) => `bytes=${headBytes + first * BYTES_PER_SAMPLE}-${headBytes + last * BYTES_PER_SAMPLE - 1}`;

/**
 * How long the head of the file is, from the size that `Content-Range` says.
 * @param {?string} contentRange like `bytes 0-1/32044` @param {number} samples of the whole recording
 * @returns {?number} bytes; null where the header does not say
 */
export function headBytes(contentRange, samples) {
  const size = /\/(\d+)$/.exec(contentRange ?? "")?.[1];
  const head = Number(size) - samples * BYTES_PER_SAMPLE;
  return size !== undefined && head >= 0 ? head : null;
}

/** Samples from -1 to 1. @param {ArrayBuffer} bytes 16-bit little-endian @returns {Float32Array<ArrayBuffer>} */
export function floatSamples(bytes) {
  const view = new DataView(bytes);
  const samples = new Float32Array(Math.floor(bytes.byteLength / BYTES_PER_SAMPLE));
  for (let at = 0; at < samples.length; at++) samples[at] = view.getInt16(at * BYTES_PER_SAMPLE, true) / 32768;
  return samples;
}

/**
 * The piece to play from a position on.
 * @param {number} first @param {number} samples of the recording @param {boolean} isFirst
 * @returns {[number, number]} [first, last)
 */
export const nextPiece = (first, samples, isFirst) => [first, Math.min(samples, first + (isFirst ? FIRST_SAMPLES : PIECE_SAMPLES))];
