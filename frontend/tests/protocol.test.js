import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { BadPacket, MESSAGES, cancel, clear, configure, end, numbered, pack, parse, played, received } from "../protocol.js";
import { resume, say, text as sentText, unpack } from "../protocol.js";

const examples = (kind) =>
  readFileSync(new URL("../PROTOCOL.md", import.meta.url), "utf8")
    .match(new RegExp(`\`\`\`json ${kind}\n([^]*?)\`\`\``))[1]
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const frame = (...bytes) => Uint8Array.from(bytes).buffer;
const text = (string) => [...new TextEncoder().encode(string)];

test("a packet begins with the length of its metadata, least byte first", () => {
  const packet = pack({ a: "x".repeat(300) }, new Uint8Array(2));

  assert.deepEqual([...packet.subarray(0, 4)], [308 & 0xff, 308 >> 8, 0, 0]);
  assert.equal(packet.length, 4 + 308 + 2);
});

test("a packet comes back as it was, however odd its metadata's length", () => {
  for (const metadata of [{}, { sampleRate: 44100 }, { voice: "Zoë ☂" }]) {
    const { metadata: got, pcm } = unpack(pack(metadata, Uint8Array.of(1, 2, 3, 4)).buffer);

    assert.deepEqual(got, metadata);
    assert.deepEqual([...pcm], [1, 2, 3, 4]);
  }
});

test("a packet may hold no sound", () => {
  assert.equal(unpack(pack({ sampleRate: 8000 }, new Uint8Array()).buffer).pcm.length, 0);
});

test("what is no packet is BadPacket", () => {
  const broken = {
    "shorter than its header": frame(1, 0, 0),
    "a negative length": frame(0xff, 0xff, 0xff, 0xff, 0x7b, 0x7d),
    "more metadata than bytes": frame(3, 0, 0, 0, ...text("{}")),
    "no metadata at all": frame(0, 0, 0, 0, 1, 2),
    "metadata that is no JSON": frame(2, 0, 0, 0, ...text("{]")),
    "metadata that is a list": frame(2, 0, 0, 0, ...text("[]")),
    "metadata that is no UTF-8": frame(2, 0, 0, 0, 0xc3, 0x28),
    "half a sample": frame(2, 0, 0, 0, ...text("{}"), 1),
  };

  for (const [why, bytes] of Object.entries(broken)) assert.throws(() => unpack(bytes), BadPacket, why);
});

test("every message of the reference is understood, field by field", () => {
  for (const example of examples("server")) assert.deepEqual(parse(JSON.stringify(example)), { ...example });
});

test("the reference shows every message this page understands", () => {
  assert.deepEqual(new Set(examples("server").map(({ type }) => type)), new Set(Object.keys(MESSAGES)));
});

test("the client's messages are those of the reference", () => {
  const sent = [
    configure({ language: "en", reply: true, speak: true }),
    configure({ language: null }),
    configure({ languages: ["de", "en"] }),
    configure({ words: true }),
    configure({ place: "on_prem_only" }),
    configure({ archive: false }),
    configure({ person: "visitor-17" }),
    configure({ deadlineMs: 1500 }),
    configure({ conversation: "01a1fdb4b0637900b6d14098d098589f" }),
    configure({ profile: "code" }),
    configure({ keyTerms: ["Siobhan Gallagher", "metoprolol"] }),
    configure({ turns: "manual" }),
    configure({ turns: "silence", silenceMs: 3000 }),
    configure({ events: true }),
    configure({ interruptions: "off" }),
    configure({ pauses: true }),
    end(),
    clear(),
    cancel(),
    say("Hello there."),
    sentText("What is the weather?"),
    numbered(end(), 3),
    played(1, 24_000),
    received(17),
    resume("q1Q0vQ9Jm2ZJ8m8sE3Xh0n3cI6y1lG5rT7wYbKfDaUo", 17),
  ];

  assert.deepEqual(sent.map((json) => JSON.parse(json)), examples("client"));
});

test("a message of an unknown type is ignored", () => {
  for (const type of ["weather", "toString", "__proto__", 7, null]) {
    assert.equal(parse(JSON.stringify({ type, text: "?" })), null);
  }
});

test("what is no message is ignored", () => {
  for (const json of ["", "{", "null", "[]", '"realtime"', '{"type":"realtime","text":5}']) {
    assert.equal(parse(json), null, json);
  }
});

test("fields that are absent have their defaults, fields that are new are left out", () => {
  const message = parse('{"type":"realtime","text":"hi","mood":"good"}');

  assert.deepEqual(message, { type: "realtime", text: "hi", stable: "", utterance: 0, turn: 0 });
});
