import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "../protocol.js";
import { EMPTY, disconnect, dropRecording, isInProgress, receive } from "../transcript.js";

const after = (...messages) => messages.reduce((state, raw) => receive(state, parse(JSON.stringify(raw))), EMPTY);
const session = { type: "session", id: "s" };
const draft = (text, stable = "", utterance = 1, turn = 1) => ({ type: "realtime", text, stable, utterance, turn });
const final = (text, utterance = 1, turn = 1) => ({ type: "fullSentence", text, utterance, turn, route: { name: "local" } });
const delta = (text, turn = 1) => ({ type: "replyDelta", turn, text });
const start = { type: "replyStart", turn: 1, text: "hi" };
const response = { type: "server_response", turn: 1, message: "Hello.", audio: "AAAA" };
const cancelled = (reason) => ({ type: "replyCancelled", turn: 1, reason });

const words = ({ turns }) => turns.map(({ utterances }) => utterances.map(({ certainty, text }) => [certainty, text]));
const reply = ({ turns: [turn] }) => turn.reply;

test("a draft replaces the draft before it", () => {
  const state = after(session, draft("hel"), draft("hello the", "hello"));

  assert.deepEqual(words(state), [[["draft", "hello the"]]]);
  assert.equal(state.turns[0].utterances[0].stable, "hello");
});

test("a final replaces its draft and brings its route", () => {
  const state = after(session, draft("hello"), final("Hello."));

  assert.deepEqual(words(state), [[["final", "Hello."]]]);
  assert.deepEqual(state.turns[0].utterances[0].route, { name: "local" });
});

test("a final has its speaker with it or from a later message", () => {
  const speakers = ({ turns: [turn] }) => turn.utterances.map(({ speaker }) => speaker);
  const state = after(session, { ...final("One."), speaker: 1 }, final("Two.", 2));

  assert.deepEqual(speakers(state), [1, null]);
  const label = { type: "speaker", turn: 1, utterance: 2, speaker: 2 };
  assert.deepEqual(speakers(receive(state, parse(JSON.stringify(label)))), [1, 2]);
});

test("the speaker of a final that is gone changes nothing", () => {
  const label = { type: "speaker", turn: 7, utterance: 9, speaker: 2 };

  assert.deepEqual(after(session, label).turns, []);
});

test("a draft that comes after its final changes nothing", () => {
  const before = after(session, final("Hello."));

  assert.deepEqual(words(receive(before, draft("hel"))), words(before));
});

test("an empty final takes its draft away, and a turn of nothing with it", () => {
  assert.deepEqual(after(session, draft("hm"), final("")).turns, []);
  assert.deepEqual(words(after(session, final("One."), draft("hm", "", 2), final("", 2))), [[["final", "One."]]]);
});

test("utterances stay in the order they began, whichever final comes first", () => {
  const state = after(session, draft("one", "", 1), draft("two", "", 2), final("Two.", 2), final("One.", 1));

  assert.deepEqual(words(state), [[["final", "One."], ["final", "Two."]]]);
});

test("a reply streams, and server_response completes it", () => {
  const waiting = after(session, final("hi"), start);
  const streaming = after(session, final("hi"), start, delta("Hel"), delta("lo"));
  const complete = after(session, final("hi"), start, delta("Hel"), response);

  assert.deepEqual(reply(waiting), { text: "", progress: "waiting", hasRecording: false });
  assert.deepEqual(reply(streaming), { text: "Hello", progress: "streaming", hasRecording: false });
  assert.deepEqual(reply(complete), { text: "Hello.", progress: "complete", hasRecording: true });
  assert.deepEqual([waiting, streaming, complete].map((state) => isInProgress(reply(state))), [true, true, false]);
});

test("a cancelled reply keeps its text and ignores later deltas", () => {
  for (const reason of ["barge_in", "cancelled", "failed"]) {
    const state = after(session, start, delta("Hel"), cancelled(reason), delta("lo"), response);

    assert.deepEqual(reply(state), { text: "Hel", progress: reason, hasRecording: false });
  }
});

test("a delta that comes after the whole reply changes nothing", () => {
  assert.deepEqual(reply(after(session, start, response, delta("lo"))), reply(after(session, start, response)));
});

test("a reply may be cancelled before it began", () => {
  assert.deepEqual(after(session, cancelled("failed")).turns, []);
});

test("a reason this page does not know is shown as a plain stop", () => {
  assert.equal(reply(after(session, start, cancelled("solar_flare"))).progress, "cancelled");
});

test("disconnect marks open drafts lost and open replies failed", () => {
  const state = disconnect(after(session, final("Hi."), start, delta("Hel"), draft("an", "", 2, 2)));

  assert.deepEqual(words(state), [[["final", "Hi."]], [["lost", "an"]]]);
  assert.equal(reply(state).progress, "failed");
});

test("turn 1 of the next session is another turn", () => {
  const state = after(session, final("Before."), session, draft("after"));

  assert.deepEqual(words(state), [[["final", "Before."]], [["draft", "after"]]]);
  assert.notEqual(state.turns[0].key, state.turns[1].key);
});

test("objects a message does not change keep their identity", () => {
  const before = after(session, final("One."), final("Two.", 2, 2));
  const now = receive(before, parse(JSON.stringify(draft("three", "", 3, 2))));

  assert.equal(now.turns[0], before.turns[0]);
  assert.equal(now.turns[1].utterances[0], before.turns[1].utterances[0]);
});

test("an error does not change the transcript", () => {
  const before = after(session, final("One."));

  assert.equal(receive(before, { type: "error", code: "x", message: "y", fatal: false }), before);
});

test("the transcript holds no audio, and a dropped recording cannot be played again", () => {
  const state = after(session, start, response);

  const dropped = dropRecording(state, state.turns[0].key);

  assert.equal(JSON.stringify(state).includes("AAAA"), false);
  assert.deepEqual(reply(dropped), { text: "Hello.", progress: "complete", hasRecording: false });
});

test("a reply is quieter or paused while the user speaks over it, and then goes on", () => {
  const sounds = (...types) => reply(after(session, start, ...types.map((type) => ({ type, turn: 1 })))).sound;

  assert.equal(sounds("replyDucked"), "ducked");
  assert.equal(sounds("replyDucked", "replyRestored"), undefined);
  assert.equal(sounds("replyDucked", "replyPaused"), "paused");
  assert.equal(sounds("replyDucked", "replyPaused", "replyResumed"), undefined);
});

test("a paused reply that is cancelled, or interrupted for good, is paused no longer", () => {
  const paused = after(session, start, { type: "replyPaused", turn: 1 });

  assert.equal(reply(receive(paused, parse(JSON.stringify(cancelled("barge_in"))))).sound, undefined);
  assert.equal(reply(receive(paused, { type: "replyInterrupted", turn: 1, reason: "barge_in" })).sound, undefined);
});

test("a reply that is complete while the user speaks over it stays quiet", () => {
  assert.equal(reply(after(session, start, { type: "replyDucked", turn: 1 }, response)).sound, "ducked");
});

test("utterances stand in the order in which they were said, not in that in which they come", () => {
  const state = after(session, draft("My fellow", "", 1), draft("what your country", "", 3), final("ask not", 2));

  assert.deepEqual(state.turns[0].utterances.map(({ utterance }) => utterance), [1, 2, 3]);
});
