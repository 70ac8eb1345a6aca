import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { pack, unpack } from "../protocol.js";
import { Session } from "../session.js";

/** A socket that obeys a script: the test is the server. */
class ScriptedSocket {
  sent = [];
  bufferedAmount = 0;
  send(frame) {
    this.sent.push(frame);
  }
  close(code) {
    this.onclose({ code });
  }
  serve(message) {
    this.onmessage({ data: message instanceof ArrayBuffer ? message : JSON.stringify(message) });
  }
}

const GREETING = { type: "session", id: "s" };
let sockets, events, session, addresses, now;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  sockets = [];
  addresses = [];
  now = 0;
  events = { states: [], messages: [], audio: [], dropped: 0 };
  session = new Session(
    new URL("ws://server/ws/transcribe"),
    {
      onState: (state, code) => events.states.push(code === undefined ? state : `${state} ${code}`),
      onMessage: (message) => events.messages.push(message.type),
      onAudio: (metadata, pcm) => events.audio.push([metadata.turn, pcm.length]),
      onDropped: () => (events.dropped += 1),
    },
    {
      openSocket: (address) => {
        addresses.push(address.search);
        return sockets[sockets.push(new ScriptedSocket()) - 1];
      },
      random: () => 1,
      now: () => now,
    },
  );
  session.configure({ speak: true });
});
afterEach(() => mock.timers.reset());

const words = (text) => JSON.stringify({ type: "text", text });
/** What a socket was sent: the words of messages, the first byte of audio, other messages as they are. */
const texts = ({ sent }) =>
  sent.map((frame) => (typeof frame === "string" ? (JSON.parse(frame).text ?? frame) : `audio ${unpack(frame.buffer).pcm[0]}`));
const places = ({ sent }) =>
  sent.map((frame) => (typeof frame === "string" ? JSON.parse(frame).seq : unpack(frame.buffer).metadata.start));
const offer = (token, samples = 0, messages = 0) => ({ ...GREETING, resume: { token, seconds: 30, samples, messages } });
const AUDIO = new Uint8Array(640);

const CONFIGURED = '{"type":"configure","speak":true}';

test("the session message, not the open socket, makes a session ready", () => {
  session.open();
  assert.deepEqual(events.states, ["connecting"]);

  sockets[0].serve(GREETING);

  assert.deepEqual(events.states, ["connecting", "ready"]);
  assert.deepEqual(texts(sockets[0]), [CONFIGURED]);
});

test("what is sent before the session message is queued and sent in order", () => {
  session.open();
  for (const frame of ["a", "b"]) session.send(words(frame));

  sockets[0].serve(GREETING);
  session.send(words("c"));

  assert.deepEqual(texts(sockets[0]), [CONFIGURED, "a", "b", "c"]);
});

test("a lost session reconnects with the same settings and the queued speech", () => {
  session.open();
  sockets[0].serve(GREETING);

  sockets[0].close(1006);
  session.send(words("meanwhile"));
  mock.timers.tick(400);
  sockets[1].serve(GREETING);

  assert.deepEqual(events.states, ["connecting", "ready", "waiting 1006", "connecting", "ready"]);
  assert.deepEqual(texts(sockets[1]), [CONFIGURED, "meanwhile"]);
});

test("reconnects back off exponentially", () => {
  session.open();
  const waits = [];
  for (let attempt = 0; attempt < 8; attempt += 1) {
    sockets.at(-1).close(1006);
    let waited = 0;
    for (const before = sockets.length; sockets.length === before; waited += 100) mock.timers.tick(100);
    waits.push(waited);
  }

  assert.deepEqual(waits, [400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
});

test("open makes a scheduled attempt at once, and only once", () => {
  session.open();
  sockets[0].close(1013);

  session.open();
  mock.timers.tick(60_000);

  assert.equal(sockets.length, 2);
});

test("a refused client does not reconnect", () => {
  session.open();
  sockets[0].serve(GREETING);

  sockets[0].close(1008);
  mock.timers.tick(60_000);

  assert.deepEqual(events.states.at(-1), "refused 1008");
  assert.equal(sockets.length, 1);
});

test("what is sent after a refusal does not reach the next session", () => {
  session.open();
  sockets[0].close(1008);
  session.send(words("stale"));

  session.open();
  sockets[1].serve(GREETING);

  assert.deepEqual(texts(sockets[1]), [CONFIGURED]);
});

test("after stopReconnecting a lost connection is not reopened", () => {
  session.open();
  sockets[0].serve(GREETING);
  session.stopReconnecting();

  sockets[0].close(1000);
  mock.timers.tick(60_000);

  assert.equal(events.states.at(-1), "closed 1000");
  assert.equal(sockets.length, 1);
});

test("queued speech is delivered even after stopReconnecting", () => {
  session.open();
  sockets[0].close(1006);
  session.send(words("speech"));
  session.stopReconnecting();

  mock.timers.tick(400);
  sockets[1].close(1006);
  mock.timers.tick(800);
  sockets[2].serve(GREETING);

  assert.deepEqual(texts(sockets[2]), [CONFIGURED, "speech"]);
});

test("speech sent into a closing socket is queued for the next one", () => {
  session.open();
  sockets[0].serve(GREETING);
  sockets[0].readyState = 2;
  session.send(words("speech"));

  sockets[0].close(1012);
  mock.timers.tick(400);
  sockets[1].serve(GREETING);

  assert.deepEqual(texts(sockets[0]), [CONFIGURED]);
  assert.deepEqual(texts(sockets[1]), [CONFIGURED, "speech"]);
});

test("more than thirty seconds of queued speech drop the oldest and call onDropped", () => {
  session.open();
  for (let second = 0; second < 32; second += 1) session.sendAudio(new Uint8Array(16_000).fill(second), 8000);

  sockets[0].serve(GREETING);

  assert.equal(events.dropped, 2);
  assert.deepEqual(texts(sockets[0]).slice(1, 3), ["audio 2", "audio 3"]);
});

test("sendNow is dropped without a connection", () => {
  session.open();
  session.sendNow("cancel");

  sockets[0].serve(GREETING);

  assert.deepEqual(texts(sockets[0]), [CONFIGURED]);
});

test("reply audio and messages have their own listeners, and unknown packets are ignored", () => {
  session.open();
  sockets[0].serve(GREETING);
  sockets[0].serve(pack({ type: "replyAudio", turn: 3, sampleRate: 16000 }, new Uint8Array(6)).buffer);
  sockets[0].serve(pack({ type: "perfume" }, new Uint8Array(6)).buffer);
  sockets[0].serve({ type: "perfume" });

  assert.deepEqual(events.audio, [[3, 6]]);
  assert.deepEqual(events.messages, ["session"]);
});

test("after stop nothing reconnects", () => {
  session.open();
  session.send(words("speech"));

  session.stop();
  mock.timers.tick(60_000);

  assert.equal(sockets.length, 1);
  assert.equal(session.state, "closed");
});

test("a restart begins a new session with the new settings, and queues what is said meanwhile for it", () => {
  session.open();
  sockets[0].serve(GREETING);
  sockets[0].close = () => {}; // a closing handshake takes a moment

  session.restart({ archive: false });
  session.send(words("said meanwhile"));
  sockets[0].onclose({ code: 1000 });
  sockets[1].serve(GREETING);

  assert.deepEqual(texts(sockets[0]), [CONFIGURED]);
  assert.deepEqual(texts(sockets[1]), ['{"type":"configure","archive":false}', "said meanwhile"]);
  assert.deepEqual(events.states.slice(-2), ["connecting", "ready"]);
});

test("a restart without a session only sets what the next one begins with", () => {
  session.restart({ archive: false });
  assert.equal(sockets.length, 0);

  session.open();
  sockets[0].serve(GREETING);

  assert.deepEqual(texts(sockets[0]), ['{"type":"configure","archive":false}']);
});

/** A session that can be resumed, lost in the middle of speech: the server has 320 of 640 samples. */
function lose() {
  session.open();
  sockets[0].serve(offer("t1"));
  session.sendAudio(AUDIO, 16_000);
  session.sendAudio(AUDIO, 16_000);
  session.send(words("hello"));
  sockets[0].serve({ type: "received", samples: 320, messages: 0 });
  sockets[0].close(1006);
  mock.timers.tick(400);
}

test("a lost session is resumed behind the last sample that arrived", () => {
  lose();
  sockets[1].onopen();
  sockets[1].serve(offer("t2", 320, 0));

  assert.deepEqual(addresses, ["?resume=new", "?resume=s"]);
  assert.deepEqual(events.states.slice(-3), ["resuming 1006", "resuming", "ready"]);
  assert.equal(sockets[1].sent[0], '{"type":"resume","token":"t1","received":0}');
  assert.deepEqual(places({ sent: sockets[1].sent.slice(1) }), [320, 1]);
});

test("what is said while the session is away follows what was said before", () => {
  lose();
  session.sendAudio(AUDIO, 16_000);
  sockets[1].onopen();
  sockets[1].serve(offer("t2", 640, 1));

  assert.deepEqual(places({ sent: sockets[1].sent.slice(1) }), [640]);
});

test("the newest token resumes, and says which messages are here", () => {
  lose();
  sockets[1].onopen();
  sockets[1].serve(offer("t2", 640, 1));
  for (let seq = 1; seq <= 9; seq += 1) sockets[1].serve({ type: "replyDelta", turn: 1, text: "a", seq });
  sockets[1].close(1006);
  mock.timers.tick(400);
  sockets[2].onopen();

  assert.equal(sockets[1].sent.at(-1), '{"type":"received","message":8}');
  assert.equal(sockets[2].sent[0], '{"type":"resume","token":"t2","received":9}');
});

test("a message that comes again over the next connection is ignored", () => {
  lose();
  sockets[1].serve(offer("t2", 640, 1));
  for (const seq of [1, 2, 2, 1, 3]) sockets[1].serve({ type: "replyDelta", turn: 1, text: "a", seq });

  assert.equal(events.messages.filter((type) => type === "replyDelta").length, 3);
});

test("where the session is over, another one gets what had not arrived, from its own beginning", () => {
  lose();
  sockets[1].onopen();
  sockets[1].serve({ type: "error", code: "resume_refused", message: "over", fatal: true });
  sockets[1].close(1008);
  sockets[2].serve(offer("t9"));

  assert.deepEqual(addresses.at(-1), "?resume=new");
  assert.deepEqual(places(sockets[2]), [undefined, 0, 1]);
});

test("a server that is silent while it is sent speech is left for another connection", () => {
  session.open();
  sockets[0].serve(offer("t1"));
  sockets[0].close = () => {}; // nothing comes through
  session.sendAudio(AUDIO, 16_000);
  now = 6000;
  session.sendAudio(AUDIO, 16_000);
  mock.timers.tick(400);

  assert.deepEqual(addresses, ["?resume=new", "?resume=s"]);
});

test("a session that was closed on purpose is not resumed", () => {
  session.open();
  sockets[0].serve(offer("t1"));
  sockets[0].close(1012);
  mock.timers.tick(400);

  assert.deepEqual(addresses, ["?resume=new", "?resume=new"]);
});

test("where a session cannot be resumed, nothing that was sent is kept", () => {
  session.open();
  sockets[0].serve(GREETING);
  for (let second = 0; second < 40; second += 1) session.sendAudio(new Uint8Array(16_000), 8000);

  sockets[0].close(1006);
  mock.timers.tick(400);
  sockets[1].serve(GREETING);

  assert.equal(events.dropped, 0);
  assert.deepEqual(sockets[1].sent, [CONFIGURED]);
});

test("an attempt to resume that is not answered is followed by another", () => {
  lose();
  sockets[1].close = () => {}; // nothing comes through
  mock.timers.tick(5000);
  mock.timers.tick(800);

  assert.deepEqual(addresses, ["?resume=new", "?resume=s", "?resume=s"]);
});
