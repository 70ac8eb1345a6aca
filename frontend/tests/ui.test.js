import assert from "node:assert/strict";
import { test } from "node:test";

import { isOtherServer, socketAddress } from "../address.js";
import { recordingState } from "../consent.js";
import { endLabel, formatDuration, routeBadge, soundLabel, speakerLabel } from "../labels.js";
import { closeProblem, foreignServerProblem, isSlow, keyProblem, microphoneProblem, retryAfterMs, unsupportedReason } from "../problems.js";
import { isValidKey, subprotocols } from "../credentials.js";
import { keyTermsIn, load, save } from "../settings.js";
import { placeTooltip } from "../tooltip.js";

test("the socket is on the page's own server, below the page's own path", () => {
  assert.equal(socketAddress("http://box:8000/").address.href, "ws://box:8000/ws/transcribe");
  assert.equal(socketAddress("https://a.example/voice/#top").address.href, "wss://a.example/voice/ws/transcribe");
});

test("a page may be built for other servers: the first is used, and a link may ask for any of them", () => {
  const built = "wss://voice.example/ws/transcribe wss://second.example:8443/ws/raw";
  const used = (page) => socketAddress(page, built).address.href;

  assert.equal(used("https://a.example/"), "wss://voice.example/ws/transcribe");
  assert.equal(used("https://a.example/?ws=wss://second.example:8443/ws/other"), "wss://second.example:8443/ws/other");
  assert.equal(used("https://a.example/?ws=ws/raw"), "wss://a.example/ws/raw");
  assert.throws(() => socketAddress("https://a.example/", "javascript:alert(1)"), RangeError);
});

test("a link cannot send a visitor's voice to a server that the page does not know", () => {
  const own = "wss://voice.example.org/ws/transcribe";
  const asked = {
    "wss://evil.example/": "evil.example",
    "https://evil.example/ws": "evil.example",
    "//evil.example/ws": "evil.example",
    "wss://voice.example.org:8443/": "voice.example.org:8443",
    "ws://voice.example.org/ws/transcribe": "voice.example.org",
    "wss://voice.example.org.evil.example/": "voice.example.org.evil.example",
    "wss://voice.example.org@evil.example/": "evil.example",
    "ws://localhost:8000/": "localhost:8000",
    "javascript:alert(1)": "javascript:alert(1)",
    "http://[": "http://[",
  };

  for (const [link, refused] of Object.entries(asked)) {
    const answer = socketAddress(`https://voice.example.org/?ws=${encodeURIComponent(link)}`);
    assert.deepEqual([answer.address.href, answer.refused], [own, refused]);
  }
  assert.equal(socketAddress("http://localhost:8000/?ws=wss://evil.example/").refused, "evil.example");
});

test("a page of this machine may use any server of this machine", () => {
  const { address, refused } = socketAddress("http://localhost:8000/?ws=ws://127.0.0.1:9000/ws/raw");

  assert.deepEqual([address.href, refused], ["ws://127.0.0.1:9000/ws/raw", null]);
});

test("the sentence about a link names the server that is not used", () => {
  assert.match(foreignServerProblem("evil.example"), /evil\.example.*does not know/);
});

test("a page knows when its audio goes to another server", () => {
  const isOther = (page, built) => isOtherServer(socketAddress(page, built).address, page);

  assert.equal(isOther("https://a.example/", "wss://b.example/ws"), true);
  assert.equal(isOther("https://a.example/"), false);
});

test("the page says whether the session is recorded, and for how long it is kept", () => {
  const session = { archive: true, keepDays: 30 };

  assert.deepEqual(recordingState(session, undefined), { isRecorded: true, label: "Recorded \u00b7 kept 30 days" });
  assert.deepEqual(recordingState(session, false), { isRecorded: false, label: "Not recorded" });
  assert.equal(recordingState({ archive: false, keepDays: 1 }, true).label, "Recorded \u00b7 kept 1 day");
  assert.equal(recordingState({ archive: true, keepDays: null }).label, "Recorded \u00b7 kept until it is deleted");
});

test("before the server has said what it does, the page says nothing of recording", () => {
  assert.equal(recordingState(null, true), null);
  assert.equal(recordingState({ archive: null, keepDays: null }, undefined), null); // an older server
});

test("an insecure page and an old browser are explained before permission is asked for", () => {
  assert.match(unsupportedReason({ isSecureContext: false }), /https/);
  assert.match(unsupportedReason({ isSecureContext: true }), /newer/);
  assert.equal(unsupportedReason({ isSecureContext: true, AudioWorkletNode: class {} }), null);
});

test("every microphone problem ends in what to do", () => {
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError"]) {
    assert.match(microphoneProblem({ name }), /press talk/i);
  }
});

test("a key is offered as a subprotocol, and without a key none is", () => {
  assert.deepEqual(subprotocols("parley_a-b"), ["parley", "parley-key.parley_a-b"]);
  assert.deepEqual(subprotocols(""), []);
  assert.equal(isValidKey("parley_a-b"), true);
  for (const typed of ["", "two words", "a,b", "\u00e9"]) assert.equal(isValidKey(typed), false);
});

test("the key label says whether a key was rejected", () => {
  assert.notEqual(keyProblem(""), keyProblem("wrong"));
});

test("every close code has a sentence", () => {
  for (const code of [1000, 1005, 1006, 1008, 1012, 1013]) assert.match(closeProblem(code), /\.$/);
});

test("reconnects to a full server are rarer, and jittered", () => {
  assert.ok(retryAfterMs(1013, 0, 0) > retryAfterMs(1012, 0, 1));
  assert.notEqual(retryAfterMs(1006, 2, 0), retryAfterMs(1006, 2, 1));
  assert.equal(retryAfterMs(1008, 0, 0), null);
});

test("the network is slow from one second of buffered audio until a quarter of it is left", () => {
  assert.deepEqual(
    [isSlow(900, 1000, false), isSlow(1100, 1000, false), isSlow(900, 1000, true), isSlow(200, 1000, true)],
    [false, true, true, false],
  );
});

test("key terms are what stands between commas and line ends, each once", () => {
  assert.deepEqual(keyTermsIn(" Zoë,  ACE  inhibitor\nZoë, , !?"), ["Zoë", "ACE inhibitor"]);
  assert.deepEqual(keyTermsIn(""), []);
});

test("what the server would refuse is no key term", () => {
  const words = (count) => Array.from({ length: count }, (_, at) => `w${at}`);

  assert.deepEqual(keyTermsIn(["x".repeat(101), words(9).join(" "), "a\u0000b", "fine"].join(",")), ["fine"]);
  assert.equal(keyTermsIn(words(300).join(",")).length, 200);
});

test("a speaker is called by its number, and nobody where it is not known", () => {
  assert.deepEqual([speakerLabel(2), speakerLabel(null)], ["Speaker 2", ""]);
});

test("a route badge has a label and the details that are known", () => {
  const route = { name: "aws", place: "cloud", why: ["fastest", "in budget"], hedged: true, latencyMs: 180, costUsd: 0.0024 };

  assert.deepEqual(routeBadge({ route, ttfsMs: 1412, start: 0.42, end: 2.31 }), {
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

  assert.equal(routeBadge({ route: null, ...unknown }), null);
  assert.deepEqual(routeBadge({ route: { name: "local" }, ...unknown }), { label: "local", place: "", details: [] });
});

test("durations are formatted in milliseconds or seconds", () => {
  assert.deepEqual([formatDuration(411.6), formatDuration(1500)], ["412 ms", "1.5 s"]);
  assert.equal(endLabel("complete"), "");
});

test("settings outlive the page, and a browser that forbids storage does no harm", () => {
  const stored = new Map();
  const storage = { getItem: (key) => stored.get(key) ?? null, setItem: (key, value) => stored.set(key, value) };
  save(storage, { reply: true, speak: false });

  assert.deepEqual(load(storage), { reply: true, speak: false });
  assert.deepEqual(load(undefined), { reply: true, speak: true });
  save(undefined, {});
});

test("a tooltip stands above its badge, below at the top of the screen, and never off its sides", () => {
  const anchor = (left, top) => ({ left, top, bottom: top + 16, width: 40 });
  const box = { width: 200, height: 100 };

  assert.deepEqual(placeTooltip(anchor(300, 400), box, 800), { left: 220, top: 292 });
  assert.deepEqual(placeTooltip(anchor(300, 90), box, 800), { left: 220, top: 114 });
  assert.equal(placeTooltip(anchor(2, 400), box, 390).left, 8);
  assert.equal(placeTooltip(anchor(350, 400), box, 390).left, 182);
});

test("a reply that is spoken over says what it does", () => {
  assert.deepEqual(["ducked", "paused", undefined].map(soundLabel), ["Quieter while you speak", "Paused while you speak", ""]);
});
