import assert from "node:assert/strict";
import { test } from "node:test";

import { pieces } from "../doubted.js";
import { isRouteNews } from "../labels.js";
import { parse } from "../protocol.js";
import { SpokenText, aroundWord } from "../spoken-text.js";
import { timelineOf } from "../timeline.js";
import { lines, toJson, toSrt, toText, toVtt } from "../transcript-export.js";
import { EMPTY, MAX_TURNS, disconnect, noteSound, noteSpoken, receive, type } from "../transcript.js";

const session = { type: "session", id: "s" };
const after = (...messages) =>
  messages.reduce((state, { at = 0, ...raw }) => receive(state, parse(JSON.stringify(raw)), at), EMPTY);
const final = (text, more = {}) => ({ type: "fullSentence", text, utterance: 1, turn: 1, start: 1, end: 3, ttfsMs: 400, ...more });
const start = (more = {}) => ({ type: "replyStart", turn: 1, text: "", ...more });
const delta = (text, more = {}) => ({ type: "replyDelta", turn: 1, text, ...more });
const response = (message, more = {}) => ({ type: "server_response", turn: 1, message, audio: "", ...more });

test("a text that was typed waits until the reply to it starts, and is then what the user said", () => {
  const waiting = type(after(session), "Who are you?");
  const answered = receive(waiting, parse(JSON.stringify(start({ text: "Who are you?" }))));

  assert.deepEqual([waiting.typed, waiting.turns], [["Who are you?"], []]);
  assert.deepEqual(answered.typed, []);
  assert.deepEqual(answered.turns[0].utterances.map(({ text, isTyped }) => [text, isTyped]), [["Who are you?", true]]);
});

test("a reply to something else leaves what was typed waiting", () => {
  const state = receive(type(after(session), "later"), parse(JSON.stringify(start({ text: "Hello." }))));

  assert.deepEqual(state.typed, ["later"]);
});

test("the newest turns are kept, and it is known how many are not", () => {
  const many = Array.from({ length: MAX_TURNS + 5 }, (_, at) => final("x", { turn: at + 1 }));
  const state = after(session, ...many);

  assert.deepEqual([state.turns.length, state.dropped, state.turns[0].turn], [MAX_TURNS, 5, 6]);
});

test("a final keeps the words, the confidence and the language that came with it", () => {
  const words = [{ word: "Hi", start: 0, end: 1, confidence: 0.4 }];
  const [{ utterances: [said] }] = after(session, final("Hi.", { words, confidence: 0.7, language: "en" })).turns;

  assert.deepEqual([said.words, said.confidence, said.language], [words, 0.7, "en"]);
});

test("doubtful words are told apart, in the text as it is written", () => {
  const words = [{ word: "to", confidence: 0.9 }, { word: "to", confidence: 0.2 }, { word: "harbor", confidence: 0.1 }];

  assert.deepEqual(pieces("to be or to harbour.", words), [
    { text: "to be or ", confidence: null },
    { text: "to", confidence: 0.2 },
    { text: " harbour.", confidence: null },
  ]);
  assert.deepEqual(pieces("all is well", null), [{ text: "all is well", confidence: null }]);
  assert.deepEqual(pieces("", words), []);
});

test("a route is news where it changed, and always in the cloud", () => {
  const local = { name: "local", place: "on_prem" };
  const cloud = { name: "aws", place: "cloud" };

  assert.deepEqual(
    [isRouteNews(local, null), isRouteNews(local, local), isRouteNews(local, cloud), isRouteNews(cloud, cloud), isRouteNews(null, local)],
    [true, false, true, true, false],
  );
});

test("the timeline counts from the beginning of speech: final, first token, first sound", () => {
  let state = after(session, final("Hi.", { at: 1000 }), start({ at: 1100 }), delta("A", { at: 1300 }), delta("B", { at: 1900 }));
  state = noteSound(noteSound(state, "1.1", 1500), "1.1", 1800);

  assert.deepEqual(timelineOf(state.turns[0]), {
    speech: [{ from: 0, to: 2000 }],
    wait: { from: 2000, to: 2900 },
    marks: [{ kind: "final", at: 2400 }, { kind: "token", at: 2700 }, { kind: "sound", at: 2900 }],
    length: 2900,
  });
});

test("a typed turn's timeline begins with its reply, and a draft has none", () => {
  const typed = receive(type(after(session), "x"), parse(JSON.stringify(start({ text: "x" }))), 500);
  const { turns: [turn] } = receive(typed, parse(JSON.stringify(delta("A"))), 700);

  assert.deepEqual(timelineOf(turn).marks, [{ kind: "token", at: 200 }]);
  assert.equal(timelineOf(after(session, { type: "realtime", text: "hel", stable: "", utterance: 1, turn: 1 }).turns[0]), null);
});

test("words are lit evenly over the audio once all of it is there, and never go back", () => {
  const spoken = new SpokenText();
  const text = "a".repeat(60);
  spoken.queue("1.1", 2);
  spoken.moveTo("1.1", 1, 1000);

  assert.equal(spoken.characters(text, false, 1000), 15); // at a usual pace
  assert.equal(spoken.characters(text, true, 1000), 30); // half of two seconds
  assert.equal(spoken.characters(text, true, 1500), 45); // the voice goes on between reports
  assert.equal(spoken.characters(text, false, 1000), 45);
  assert.equal(spoken.characters(text, true, 9000), 60); // not beyond what was queued
});

test("another turn is lit from its beginning", () => {
  const spoken = new SpokenText();
  spoken.queue("1.1", 2);
  spoken.moveTo("1.1", 2, 0);
  spoken.characters("a".repeat(30), true, 0);

  spoken.queue("1.2", 2);
  spoken.moveTo("1.2", 0, 100);

  assert.equal(spoken.characters("a".repeat(30), true, 100), 0);
});

test("a text is divided around the word that is spoken", () => {
  assert.deepEqual(aroundWord("one two three", 5), ["one ", "two", " three"]);
  assert.deepEqual(aroundWord("one two", 0), ["", "one", " two"]);
  assert.deepEqual(aroundWord("one two", 7), ["one two", "", ""]);
});

const conversation = () => {
  const state = after(
    session,
    final("Is it raining?", { at: 1000, speaker: null }),
    start({ at: 1100 }),
    response("Yes --> <b>all</b>\n\nday.", { at: 1200 }),
    session,
    final("And now?", { start: 0.5, end: 1.25 }),
    start(),
    delta("It stopped an hour ago."),
    { type: "replyCancelled", turn: 1, reason: "barge_in" },
  );
  return noteSpoken(noteSound(state, "1.1", 1500), "2.1", 10);
};

test("as text the transcript has who said what, and of a reply that was interrupted what was spoken", () => {
  assert.equal(
    toText(conversation()),
    "You: Is it raining?\n\nParley: Yes --> <b>all</b>\n\nday.\n\nYou: And now?\n\nParley: It stopped …\n",
  );
});

test("subtitles count on from one session to the next, and no cue ends before it begins", () => {
  const found = lines(conversation());

  assert.deepEqual(found.slice(0, 2).map(({ start }) => start), [1, 3.5]); // the reply's first sound came half a second after the final
  for (const [at, line] of found.entries()) {
    assert.ok(line.end > line.start);
    assert.ok(at === 0 || line.start >= found[at - 1].end - 1e-9);
  }
  assert.match(toSrt(conversation()), /^1\n00:00:01,000 --> 00:00:03,000\nYou: Is it raining\?\n\n2\n00:00:03,500 --> /);
});

test("WebVTT has no markup of the text's own, and no empty line within a cue", () => {
  const vtt = toVtt(conversation());

  assert.match(vtt, /^WEBVTT\n\n00:00:01\.000 --> 00:00:03\.000\n<v You>Is it raining\?\n/);
  assert.match(vtt, /<v Parley>Yes --&gt; &lt;b>all&lt;\/b>\nday\.\n/);
});

test("as JSON the transcript has the turns with times and routes, and no draft", () => {
  const draft = { type: "realtime", text: "hel", stable: "", utterance: 2, turn: 2 };
  const { turns } = JSON.parse(toJson(disconnect(receive(conversation(), parse(JSON.stringify(draft))))));

  assert.deepEqual(turns[0].user[0].end, 3);
  assert.deepEqual(turns[1].reply, { text: "It stopped an hour ago.", ended: "barge_in", spoken: "It stopped …" });
  assert.deepEqual(turns.at(-1).user, []);
});
