import assert from "node:assert/strict";
import { before, beforeEach, test } from "node:test";

const registered = {};
let posted;

before(async () => {
  globalThis.AudioWorkletProcessor = class {
    port = { postMessage: (message) => posted.push(message) };
  };
  globalThis.sampleRate = 16;
  globalThis.registerProcessor = (name, worklet) => (registered[name] = worklet);
  await import("../worklets/capture-worklet.js");
  await import("../worklets/playback-worklet.js");
});
beforeEach(() => (posted = []));

const rendered = (worklet, length) => {
  const out = new Float32Array(length);
  worklet.process([], [[out]]);
  return [...out];
};

test("capture copies, because the browser writes its buffer again", () => {
  const samples = Float32Array.of(1, 2);
  new registered.capture().process([[samples]]);
  samples.fill(0);

  assert.deepEqual([...posted[0]], [1, 2]);
});

test("capture accepts a microphone without samples", () => {
  assert.equal(new registered.capture().process([[]]), true);
  assert.deepEqual(posted, []);
});

test("playback joins arrays without a gap and ends in silence", () => {
  const worklet = new registered.playback();
  for (const piece of [[1, 2, 3], [4], [5, 6]]) worklet.port.onmessage({ data: { samples: Float32Array.from(piece), turn: 1 } });

  assert.deepEqual([rendered(worklet, 2), rendered(worklet, 2), rendered(worklet, 4)], [[1, 2], [3, 4], [5, 6, 0, 0]]);
});

test("a flush is silence at once, and what comes after it plays from its beginning", () => {
  const worklet = new registered.playback();
  worklet.port.onmessage({ data: { samples: Float32Array.of(1, 2, 3, 4), turn: 1 } });
  rendered(worklet, 2);

  worklet.port.onmessage({ data: "flush" });
  assert.deepEqual(rendered(worklet, 2), [0, 0]);

  worklet.port.onmessage({ data: { samples: Float32Array.of(7, 8), turn: 1 } });
  assert.deepEqual(rendered(worklet, 2), [7, 8]);
});

test("playback reports the begin and the end of sound, once each", () => {
  const worklet = new registered.playback();
  rendered(worklet, 2);
  worklet.port.onmessage({ data: { samples: Float32Array.of(1, 2, 3), turn: 1 } });
  for (let block = 0; block < 4; block += 1) rendered(worklet, 2);

  assert.deepEqual(posted.filter((message) => typeof message === "boolean"), [true, false]);
});

test("playback reports how much of a turn it has played, and its last sample", () => {
  const worklet = new registered.playback();
  for (const turn of [1, 2]) worklet.port.onmessage({ data: { samples: new Float32Array(5), turn } });
  for (let block = 0; block < 6; block += 1) rendered(worklet, 2);

  const positions = posted.filter((message) => typeof message === "object");
  assert.deepEqual(positions.filter(({ turn }) => turn === 1).at(-1), { turn: 1, played: 5 });
  assert.deepEqual(positions.at(-1), { turn: 2, played: 5 });
});

test("a flush reports the last sample that was heard", () => {
  const worklet = new registered.playback();
  worklet.port.onmessage({ data: { samples: new Float32Array(9), turn: 4 } });
  rendered(worklet, 3);
  worklet.port.onmessage({ data: "flush" });
  rendered(worklet, 3);

  assert.deepEqual(posted.filter((message) => typeof message === "object"), [{ turn: 4, played: 3 }]);
});

/** 1 kHz, so that a ramp of 20 ms has 20 samples. */
const atOneKilohertz = (check) => {
  const before = globalThis.sampleRate;
  globalThis.sampleRate = 1000;
  try {
    check(new registered.playback());
  } finally {
    globalThis.sampleRate = before;
  }
};

test("a turn's sound is quieter and loud again, with a ramp, and the next turn is as loud as ever", () =>
  atOneKilohertz((worklet) => {
    worklet.port.onmessage({ data: { samples: new Float32Array(200).fill(1), turn: 1 } });
    rendered(worklet, 10);

    worklet.port.onmessage({ data: { gain: 0.25, turn: 1 } });
    const falling = rendered(worklet, 40);
    assert.ok(falling.every((value, at) => at === 0 || falling[at - 1] - value < 0.051));
    assert.equal(falling.at(-1), 0.25);

    worklet.port.onmessage({ data: { gain: 1, turn: 1 } });
    assert.equal(rendered(worklet, 40).at(-1), 1);

    worklet.port.onmessage({ data: { gain: 0.25, turn: 1 } });
    rendered(worklet, 110);
    worklet.port.onmessage({ data: { samples: Float32Array.of(1, 1), turn: 2 } });
    assert.deepEqual(rendered(worklet, 2), [1, 1]);
  }));

test("the level of another turn changes nothing", () =>
  atOneKilohertz((worklet) => {
    worklet.port.onmessage({ data: { samples: new Float32Array(100).fill(1), turn: 2 } });
    rendered(worklet, 10);
    worklet.port.onmessage({ data: { gain: 0.25, turn: 1 } });

    assert.equal(rendered(worklet, 40).at(-1), 1);
  }));

test("a flush fades within 20 ms, and what faded does not count as played", () =>
  atOneKilohertz((worklet) => {
    worklet.port.onmessage({ data: { samples: new Float32Array(100).fill(1), turn: 1 } });
    rendered(worklet, 10);
    worklet.port.onmessage({ data: "flush" });

    const fading = rendered(worklet, 40);
    assert.ok(fading.every((value, at) => at === 0 || value <= fading[at - 1]));
    assert.deepEqual(fading.slice(19), new Array(21).fill(0));
    assert.deepEqual(posted.filter((message) => typeof message === "object").at(-1), { turn: 1, played: 10 });
  }));

test("after a pause positions count on from where the server resumes", () =>
  atOneKilohertz((worklet) => {
    worklet.port.onmessage({ data: { samples: new Float32Array(100).fill(1), turn: 1 } });
    rendered(worklet, 10);
    worklet.port.onmessage({ data: "flush" });
    rendered(worklet, 40);

    worklet.port.onmessage({ data: { position: 8, turn: 1 } });
    worklet.port.onmessage({ data: { samples: new Float32Array(5).fill(1), turn: 1 } });
    rendered(worklet, 10);

    assert.deepEqual(posted.filter((message) => typeof message === "object").at(-1), { turn: 1, played: 13 });
  }));
