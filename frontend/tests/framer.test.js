import assert from "node:assert/strict";
import { test } from "node:test";

import { Framer } from "../framer.js";

const count = (from, length) => Float32Array.from({ length }, (_, index) => from + index);

test("frames have one length, however the samples are chunked", () => {
  for (const step of [1, 3, 128, 1920, 5000]) {
    const framer = new Framer(1920);
    const got = [];
    for (let at = 0; at < 10_000; at += step) {
      for (const frame of framer.push(count(at, Math.min(step, 10_000 - at)))) {
        assert.equal(frame.length, 1920);
        got.push(...frame);
      }
    }
    got.push(...framer.flush());

    assert.deepEqual(got, [...count(0, 10_000)]);
  }
});

test("a returned frame is not written to again", () => {
  const framer = new Framer(2);
  const [frame] = framer.push(Float32Array.of(1, 2));

  framer.push(Float32Array.of(3, 4));

  assert.deepEqual([...frame], [1, 2]);
});

test("flush empties the remainder", () => {
  const framer = new Framer(4);
  framer.push(Float32Array.of(1));

  assert.deepEqual([...framer.flush()], [1]);
  assert.deepEqual([...framer.flush()], []);
});
