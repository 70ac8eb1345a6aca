import assert from "node:assert/strict";
import { test } from "node:test";

import { decode, encode, level } from "../pcm.js";

test("samples are written least byte first", () => {
  assert.deepEqual([...encode(Float32Array.of(0x1234 / 0x8000))], [0x34, 0x12]);
});

test("full scale uses the whole range, and more than that is clipped, never wrapped", () => {
  const pcm = encode(Float32Array.of(1, -1, 1.5, -7));

  assert.deepEqual([...new Int16Array(pcm.buffer)], [32767, -32768, 32767, -32768]);
});

test("bytes are read wherever they begin", () => {
  const bytes = Uint8Array.of(99, 0x00, 0x40, 0x00, 0x80).subarray(1);

  assert.deepEqual([...decode(bytes)], [0.5, -1]);
});

test("what is encoded decodes to the same, within one step", () => {
  const samples = Float32Array.from({ length: 1000 }, (_, index) => Math.sin(index / 7));

  decode(encode(samples)).forEach((sample, index) => assert.ok(Math.abs(sample - samples[index]) < 1.1 / 0x8000));
});

test("the level of silence is 0, of full scale 1, and half of it is 6 dB below", () => {
  assert.equal(level(new Float32Array(10)), 0);
  assert.equal(level(new Float32Array()), 0);
  assert.ok(Math.abs(level(Float32Array.of(1, -1)) - 1) < 1e-6);
  assert.ok(Math.abs(level(Float32Array.of(0.5, -0.5)) - (1 - 6.02 / 60)) < 1e-3);
});
