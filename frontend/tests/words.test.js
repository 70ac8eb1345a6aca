import assert from "node:assert/strict";
import { test } from "node:test";

import { isElsewhere, socketAddress } from "../address.js";
import { badge, duration, ending } from "../describe.js";
import { closeProblem, isSlow, keyProblem, microphoneProblem, obstacle, retryAfterMs } from "../explain.js";
import { isPossible, loadKey, saveKey, subprotocols } from "../key.js";
import { load, save } from "../settings.js";
import { beside } from "../tooltip.js";

test("the socket is on the page's own server, below the page's own path", () => {
  assert.equal(socketAddress("http://box:8000/").href, "ws://box:8000/ws/transcribe");
  assert.equal(socketAddress("https://a.example/voice/#top").href, "wss://a.example/voice/ws/transcribe");
});

test("a page may be built for another server, and its address may ask for a third", () => {
  const built = "wss://voice.example/ws/transcribe";

  assert.equal(socketAddress("https://a.example/", built).href, built);
  assert.equal(socketAddress("https://a.example/?ws=https://b.example/ws", built).href, "wss://b.example/ws");
  assert.throws(() => socketAddress("https://a.example/?ws=javascript:alert(1)"), RangeError);
});

test("a page whose voice goes elsewhere knows it", () => {
  const page = "https://a.example/?ws=wss://b.example/ws";

  assert.equal(isElsewhere(socketAddress(page), page), true);
  assert.equal(isElsewhere(socketAddress("https://a.example/"), "https://a.example/"), false);
});

test("without https the page says so before it asks for a microphone", () => {
  assert.match(obstacle({ isSecureContext: false }), /https/);
  assert.match(obstacle({ isSecureContext: true }), /newer/);
  assert.equal(obstacle({ isSecureContext: true, AudioWorkletNode: class {} }), null);
});

test("every microphone problem ends in what to do", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError"]) {
    assert.match(microphoneProblem({ name }), /press talk/i);
  }
});

test("a key is remembered for the server it is for, and for no other", () => {
  const kept = new Map();
  const storage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };

  saveKey(storage, "box:8000", "parley_abc");

  assert.equal(loadKey(storage, "box:8000"), "parley_abc");
  assert.equal(loadKey(storage, "evil.example"), "");
});

test("a key travels as a subprotocol, and where there is none nothing is offered", () => {
  assert.deepEqual(subprotocols("parley_a-b"), ["parley", "parley-key.parley_a-b"]);
  assert.deepEqual(subprotocols(""), []);
  assert.equal(isPossible("parley_a-b"), true);
  for (const typed of ["", "two words", "a,b", "\u00e9"]) assert.equal(isPossible(typed), false);
});

test("who is asked for a key reads whether there was one", () => {
  assert.notEqual(keyProblem(""), keyProblem("wrong"));
});

test("every close code has a sentence", () => {
  for (const code of [1000, 1005, 1006, 1008, 1012, 1013]) assert.match(closeProblem(code), /\.$/);
});

test("a full server is asked less often, and a thousand pages do not come back together", () => {
  assert.ok(retryAfterMs(1013, 0, 0) > retryAfterMs(1012, 0, 1));
  assert.notEqual(retryAfterMs(1006, 2, 0), retryAfterMs(1006, 2, 1));
  assert.equal(retryAfterMs(1008, 0, 0), null);
});

test("the network is slow from a second of waiting sound, until a quarter is left", () => {
  assert.deepEqual(
    [isSlow(900, 1000, false), isSlow(1100, 1000, false), isSlow(900, 1000, true), isSlow(200, 1000, true)],
    [false, true, true, false],
  );
});

test("a badge says the route, and behind it whatever is known", () => {
  const route = { name: "aws", place: "cloud", why: ["fastest", "in budget"], hedged: true, latencyMs: 180, costUsd: 0.0024 };

  assert.deepEqual(badge({ route, ttfsMs: 1412, start: 0.42, end: 2.31 }), {
    label: "aws",
    place: "cloud",
    details: [
      "In the cloud",
      "Final 1.4 s after you paused",
      "Said from 0.4 to 2.3 s",
      "The engine took 180 ms",
      "Cost $0.00240",
      "Asked two routes; this one was first",
      "Why: fastest; in budget",
    ],
  });
});

test("a final without a route has no badge, and a bare route a short one", () => {
  const unknown = { ttfsMs: null, start: null, end: null };

  assert.equal(badge({ route: null, ...unknown }), null);
  assert.deepEqual(badge({ route: { name: "local" }, ...unknown }), { label: "local", place: "", details: [] });
});

test("durations read as people say them", () => {
  assert.deepEqual([duration(411.6), duration(1500)], ["412 ms", "1.5 s"]);
  assert.equal(ending("complete"), "");
});

test("settings outlive the page, and a browser that forbids storage does no harm", () => {
  const shelf = new Map();
  const storage = { getItem: (key) => shelf.get(key) ?? null, setItem: (key, value) => shelf.set(key, value) };
  save(storage, { reply: true, speak: false });

  assert.deepEqual(load(storage), { reply: true, speak: false });
  assert.deepEqual(load(undefined), { reply: true, speak: true });
  save(undefined, {});
});

test("a tooltip stands above its badge, below at the top of the screen, and never off its sides", () => {
  const anchor = (left, top) => ({ left, top, bottom: top + 16, width: 40 });
  const box = { width: 200, height: 100 };

  assert.deepEqual(beside(anchor(300, 400), box, 800), { left: 220, top: 292 });
  assert.deepEqual(beside(anchor(300, 90), box, 800), { left: 220, top: 114 });
  assert.equal(beside(anchor(2, 400), box, 390).left, 8);
  assert.equal(beside(anchor(350, 400), box, 390).left, 182);
});
