import assert from "node:assert/strict";
import { test } from "node:test";

import { Cutter } from "../cutter.js";

const count = (from, length) => Float32Array.from({ length }, (_, index) => from + index);

test("pieces have one length, however the samples come", () => {
  for (const step of [1, 3, 128, 1920, 5000]) {
    const cutter = new Cutter(1920);
    const got = [];
    for (let at = 0; at < 10_000; at += step) {
      for (const piece of cutter.push(count(at, Math.min(step, 10_000 - at)))) {
        assert.equal(piece.length, 1920);
        got.push(...piece);
      }
    }
    got.push(...cutter.flush());

    assert.deepEqual(got, [...count(0, 10_000)]);
  }
});

test("a piece given away is not written to again", () => {
  const cutter = new Cutter(2);
  const [piece] = cutter.push(Float32Array.of(1, 2));

  cutter.push(Float32Array.of(3, 4));

  assert.deepEqual([...piece], [1, 2]);
});

test("after a flush nothing waits", () => {
  const cutter = new Cutter(4);
  cutter.push(Float32Array.of(1));

  assert.deepEqual([...cutter.flush()], [1]);
  assert.deepEqual([...cutter.flush()], []);
});
