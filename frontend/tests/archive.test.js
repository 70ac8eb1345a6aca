import assert from "node:assert/strict";
import { test } from "node:test";

import { accessNote, signedLinks } from "../archive/access-note.js";
import { FORMATS, captionsOf } from "../archive/captions.js";
import { EventParser } from "../archive/event-parser.js";
import { firstMatch, isMatch, wordAt } from "../archive/lit-word.js";
import { hashOf, isNarrowed, isSameList, listPath, placeOf } from "../archive/place.js";
import { receiptLines } from "../archive/receipt.js";
import { linesOf, timedWords } from "../archive/spoken-lines.js";
import * as upload from "../archive/upload-state.js";
import { floatSamples, headBytes, nextPiece, rangeHeader } from "../archive/wav-range.js";
import { faultOf, faultState } from "../pages/faults.js";
import { formatBytes, formatClock, formatDayHeading, formatLength } from "../pages/format.js";
import english from "../pages/locales/en.js";
import { withQuery } from "../rest.js";
import { extend, use } from "../strings.js";

extend(english, {});
await use("en");

const ID = "01932c5e0a7b7def8123456789abcde0";
const FINAL = { start: 0, end: 64_000, text: "Where is the light, please?", turn: 1, utterance: 1, speech: [8000, 56_000], route: "local", language: "en", words: [], speaker: null };
const REPLY = { turn: 1, text: "By the door.", played: null, cancelled: null, key: "k", samples: 16_000 };
const NO_FILTERS = { text: "", since: "", until: "", route: "", person: "" };

test("a place is kept in the address, and found there again", () => {
  const place = { kind: "recordings", id: ID, at: 3.2, filters: { ...NO_FILTERS, text: "two words", route: "aws" } };

  assert.equal(hashOf(place), `#recordings/${ID}?text=two+words&route=aws&at=3.2`);
  assert.deepEqual(placeOf(hashOf(place)), place);
});

test("an address that names nothing is the list of recordings", () => {
  const list = { kind: "recordings", id: null, at: null, filters: NO_FILTERS };

  for (const hash of ["", "#", "#nonsense", "#recordings/../admin", "#recordings?at=-1"]) assert.deepEqual(placeOf(hash), list, hash);
});

test("the list asks for what it is narrowed to; conversations know fewer filters", () => {
  const filters = { ...NO_FILTERS, text: "rain", since: "2026-01-31", person: "v-17" };

  assert.equal(listPath({ kind: "recordings", id: null, at: null, filters }, null, 30), "recordings?text=rain&since=2026-01-31&person=v-17&limit=30");
  assert.equal(listPath({ kind: "conversations", id: null, at: null, filters }, "x/1", 30), "conversations?text=rain&person=v-17&limit=30&before=x%2F1");
});

test("what is open does not change the list, what is searched does", () => {
  const list = placeOf("#recordings?text=rain");

  assert.ok(isSameList(list, placeOf(`#recordings/${ID}?text=rain`)));
  assert.ok(!isSameList(list, placeOf("#recordings?text=sun")));
  assert.ok(!isSameList(null, list));
  assert.deepEqual([isNarrowed(list), isNarrowed(placeOf("#conversations"))], [true, false]);
});

test("a reply stands behind the last final of its turn", () => {
  const finals = [FINAL, { ...FINAL, text: "And the heating?", utterance: 2, speech: [60_000, 64_000] }, { ...FINAL, text: "Thanks.", turn: 2, utterance: 3 }, { ...FINAL, text: " ", utterance: null }];
  const lines = linesOf({ finals, replies: [{ ...REPLY, turn: 2, key: null }, REPLY] });

  assert.deepEqual(lines.map(({ kind, text, number }) => [kind, text, number]), [
    ["said", "Where is the light, please?", 1],
    ["said", "And the heating?", 2],
    ["reply", "By the door.", 2],
    ["said", "Thanks.", 3],
    ["reply", "By the door.", 1],
  ]);
  assert.deepEqual([lines[0].start, lines[0].end, lines[2].hasAudio, lines[4].hasAudio], [0.5, 3.5, true, false]);
});

test("of a reply that was cut, what was played is shown", () => {
  const [, reply] = linesOf({ finals: [FINAL], replies: [{ ...REPLY, played: "By the", cancelled: "barge_in" }] });

  assert.deepEqual([reply.text, reply.isCut], ["By the", true]);
});

test("words have the times of the engine, and the marks that it left out", () => {
  const known = [
    { text: "Where", start: 16_000, end: 24_000, confidence: 0.9 },
    { text: "light", start: 32_000, end: 40_000, confidence: 0.3 },
  ];
  const words = timedWords("Where, the light?", known, 0, 4);

  assert.deepEqual(words.map(({ text, start, end, isEstimated }) => [text, start, end, isEstimated]), [
    ["Where,", 1, 1.5, false],
    ["light?", 2, 2.5, false],
  ]);
  assert.equal(words.map(({ text, space }) => text + space).join(""), "Where, the light?");
});

test("words without times share those of their line, by their letters", () => {
  const words = timedWords("a bbb", [], 1, 4);

  assert.deepEqual(words.map(({ text, start, end, isEstimated }) => [text, start, end, isEstimated]), [["a", 1, 2, true], ["bbb", 2, 4, true]]);
});

test("a script without spaces has words all the same", () => {
  const words = timedWords("今日は晴れです。", [], 0, 3, "ja");

  assert.ok(words.length > 1);
  assert.equal(words.map(({ text, space }) => text + space).join(""), "今日は晴れです。");
});

test("the word that is spoken is lit, and stays so for a moment", () => {
  const words = [{ start: 1, end: 1.5 }, { start: 2, end: 2.5 }, { start: 2.5, end: 3 }];

  assert.deepEqual([0, 1, 1.7, 1.9, 2.5, 3.2, 4].map((at) => wordAt(words, at)), [-1, 0, 0, -1, 2, 2, -1]);
  assert.equal(wordAt([], 1), -1);
});

test("a search finds words as the server does: without case, accents and marks, and by their beginning", () => {
  const words = [{ text: "Déjà," , start: 0 }, { text: "vu", start: 1 }, { text: "umbrellas.", start: 2 }];

  assert.equal(firstMatch(words, "deja")?.start, 0);
  assert.equal(firstMatch(words, "umbr*")?.start, 2);
  assert.equal(firstMatch(words, "  "), null);
  assert.equal(isMatch("country", "zebra"), false);
});

test("positions in the WAV are bytes behind its head", () => {
  assert.equal(headBytes("bytes 0-1/32044", 16_000), 44);
  assert.equal(headBytes(null, 16_000), null);
  assert.equal(rangeHeader(100, 200, 44), "bytes=244-443");
  assert.deepEqual(nextPiece(0, 300_000, true), [0, 16_000]);
  assert.deepEqual(nextPiece(250_000, 300_000, false), [250_000, 300_000]);
  assert.deepEqual([...floatSamples(new Int16Array([0, 16_384, -32_768]).buffer)], [0, 0.5, -1]);
});

test("events are read however the stream is cut", () => {
  const parser = new EventParser();
  const stream = 'event: job\r\ndata: {"a": 1}\r\n\r\n: waiting\n\nevent: job\ndata: {"a": 2}\n\nevent: del';
  const found = [...stream].flatMap((sign) => parser.push(sign));

  assert.deepEqual(found, [{ event: "job", data: '{"a": 1}' }, { event: "job", data: '{"a": 2}' }]);
  assert.deepEqual(parser.push("eted\ndata: {}\n\n"), [{ event: "deleted", data: "{}" }]);
});

test("a file is sent, waits, is transcribed and done", () => {
  const job = { state: "queued", progress: { seconds: 0, of: null }, code: null, message: null, warnings: [] };
  let file = upload.begin({ name: "talk.mp4", size: 2_000_000 });
  const shares = [upload.share(file)];
  for (const next of [
    (each) => upload.progress(each, 1_000_000),
    (each) => upload.follow(each, job),
    (each) => upload.follow(each, { ...job, state: "running", progress: { seconds: 30, of: 60 } }),
    (each) => upload.follow(each, { ...job, state: "done", progress: { seconds: 60, of: 60 }, warnings: ["x"] }),
  ]) shares.push(upload.share((file = next(file))));

  assert.deepEqual(shares, [0, 0.25, 0.5, 0.75, 1]);
  assert.match(upload.sentence(file), /parts that could not be read/);
  assert.ok(upload.isOver(file));
});

test("a file that fails says why and what to do; over budget is one of those", () => {
  const failed = { state: "failed", progress: { seconds: 0, of: null }, message: "no audio", warnings: [] };
  const file = upload.begin({ name: "a", size: 1 });

  assert.match(upload.follow(file, { ...failed, code: "bad_audio" }).problem, /Convert it to WAV.*no audio/);
  assert.match(upload.follow(file, { ...failed, code: "budget_exhausted" }).problem, /budget.*tomorrow/);
  assert.match(upload.refuse(file, { status: 413, code: "frame_too_large", message: "2 GB is the most" }).problem, /too large.*2 GB/);
});

test("what goes wrong has a state, by its code and else by its status", () => {
  const faults = [[0, ""], [401, "unauthorized"], [403, "forbidden"], [404, "not_found"], [503, "no_capacity"], [429, "budget_exhausted"], [429, "too_many_attempts"], [502, "unreadable"], [500, "internal_error"]];

  assert.deepEqual(faults.map(([status, code]) => faultOf({ status, code })), ["offline", "key", "forbidden", "absent", "full", "budget", "limited", "damaged", "failed"]);
  for (const [status, code] of faults) {
    const { title, text } = faultState({ status, code, message: "m", body: null, headers: new Headers() });
    assert.ok(title.endsWith(".") && text.endsWith("."), code);
    assert.doesNotMatch(title + text, /fault\.|undefined/);
  }
});

test("captions are short enough to be read, and files have their form", () => {
  const words = Array.from({ length: 40 }, (_, at) => ({ text: `word${at}`, start: at, end: at + 0.9, confidence: null, isEstimated: false, space: " " }));
  const line = { kind: "said", number: 1, turn: 1, speaker: null, text: words.map(({ text }) => text).join(" "), start: 0, end: 40, words, language: "en", route: null, isCut: false, hasAudio: true };
  const captions = captionsOf([line]);

  assert.ok(captions.every(({ text, start, end }) => text.length <= 84 && end - start <= 7));
  assert.equal(captions.map(({ text }) => text).join(" "), line.text);
  assert.match(FORMATS.srt.write([line]), /^1\n00:00:00,000 --> 00:00:06,900\nYou: word0/);
  assert.match(FORMATS.vtt.write([line]), /^WEBVTT\n\n00:00:00\.000 --> /);
  assert.equal(JSON.parse(FORMATS.json.write([line]))[0].words.length, 40);
});

test("a receipt says what is gone and what remains", () => {
  assert.deepEqual(receiptLines({ deleted: { blobs: 3, messages: 0, indexRows: 2 }, remaining: [] }), ["Gone for good: 3 files, 2 index entries.", "Nothing remains."]);
  assert.deepEqual(receiptLines({ deleted: {}, remaining: ["A backup has it."] }), ["Nothing was stored of it.", "A backup has it."]);
});

test("who may listen, and until when", () => {
  const texts = (...given) => accessNote(...given).map(({ text }) => text);

  assert.match(texts({ tenant: "acme", person: "v-17" }, "2026-03-02").join("|"), /acme.*\|Spoken by v-17\|Kept until .*2026/);
  assert.match(texts({ tenant: "acme", person: null }, null).join("|"), /\|Kept until somebody deletes it$/);
  assert.deepEqual(signedLinks({ a: "https://x/1", b: null }, new Date("2026-01-31T12:00:00Z")), { urls: ["https://x/1"], until: "2026-01-31T13:00:00.000Z" });
});

test("figures are short and in the page's language", () => {
  assert.deepEqual([formatClock(62.9), formatClock(3609), formatLength(59), formatLength(7500), formatBytes(3_400_000), formatBytes(12)], ["1:02", "1:00:09", "59 s", "2 h 5 min", "3.4 MB", "12 B"]);
  const now = new Date(2026, 0, 31, 12);
  assert.deepEqual([formatDayHeading(new Date(2026, 0, 31, 1).toISOString(), now), formatDayHeading(new Date(2026, 0, 30, 23).toISOString(), now)], ["Today", "Yesterday"]);
  assert.equal(withQuery("jobs", { limit: 3, before: null, text: "" }), "jobs?limit=3");
});
