import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { pack } from "../protocol.js";
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
let sockets, events, session;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  sockets = [];
  events = { states: [], messages: [], audio: [], dropped: 0 };
  session = new Session(
    new URL("ws://server/ws/transcribe"),
    {
      onState: (state, code) => events.states.push(code === undefined ? state : `${state} ${code}`),
      onMessage: (message) => events.messages.push(message.type),
      onAudio: (metadata, pcm) => events.audio.push([metadata.turn, pcm.length]),
      onDropped: () => (events.dropped += 1),
    },
    { openSocket: () => sockets[sockets.push(new ScriptedSocket()) - 1], random: () => 1 },
  );
  session.configure({ speak: true });
});
afterEach(() => mock.timers.reset());

const CONFIGURED = '{"type":"configure","speak":true}';

test("the session message, not the open socket, makes a session ready", () => {
  session.open();
  assert.deepEqual(events.states, ["connecting"]);

  sockets[0].serve(GREETING);

  assert.deepEqual(events.states, ["connecting", "ready"]);
  assert.deepEqual(sockets[0].sent, [CONFIGURED]);
});

test("what is sent before the session message is queued and sent in order", () => {
  session.open();
  for (const frame of ["a", "b"]) session.send(frame, 40);

  sockets[0].serve(GREETING);
  session.send("c", 40);

  assert.deepEqual(sockets[0].sent, [CONFIGURED, "a", "b", "c"]);
});

test("a lost session reconnects with the same settings and the queued speech", () => {
  session.open();
  sockets[0].serve(GREETING);

  sockets[0].close(1006);
  session.send("meanwhile", 40);
  mock.timers.tick(400);
  sockets[1].serve(GREETING);

  assert.deepEqual(events.states, ["connecting", "ready", "waiting 1006", "connecting", "ready"]);
  assert.deepEqual(sockets[1].sent, [CONFIGURED, "meanwhile"]);
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
  session.send("stale", 40);

  session.open();
  sockets[1].serve(GREETING);

  assert.deepEqual(sockets[1].sent, [CONFIGURED]);
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
  session.send("speech", 40);
  session.stopReconnecting();

  mock.timers.tick(400);
  sockets[1].close(1006);
  mock.timers.tick(800);
  sockets[2].serve(GREETING);

  assert.deepEqual(sockets[2].sent, [CONFIGURED, "speech"]);
});

test("speech sent into a closing socket is queued for the next one", () => {
  session.open();
  sockets[0].serve(GREETING);
  sockets[0].readyState = 2;
  session.send("speech", 40);

  sockets[0].close(1012);
  mock.timers.tick(400);
  sockets[1].serve(GREETING);

  assert.deepEqual(sockets[0].sent, [CONFIGURED]);
  assert.deepEqual(sockets[1].sent, [CONFIGURED, "speech"]);
});

test("more than thirty seconds of queued speech drop the oldest and call onDropped", () => {
  session.open();
  for (let second = 0; second < 32; second += 1) session.send(`${second}`, 1000);

  sockets[0].serve(GREETING);

  assert.equal(events.dropped, 2);
  assert.deepEqual(sockets[0].sent.slice(1, 3), ["2", "3"]);
});

test("sendNow is dropped without a connection", () => {
  session.open();
  session.sendNow("cancel");

  sockets[0].serve(GREETING);

  assert.deepEqual(sockets[0].sent, [CONFIGURED]);
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
  session.send("speech", 40);

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
  session.send("said meanwhile", 40);
  sockets[0].onclose({ code: 1000 });
  sockets[1].serve(GREETING);

  assert.deepEqual(sockets[0].sent, [CONFIGURED]);
  assert.deepEqual(sockets[1].sent, ['{"type":"configure","archive":false}', "said meanwhile"]);
  assert.deepEqual(events.states.slice(-2), ["connecting", "ready"]);
});

test("a restart without a session only sets what the next one begins with", () => {
  session.restart({ archive: false });
  assert.equal(sockets.length, 0);

  session.open();
  sockets[0].serve(GREETING);

  assert.deepEqual(sockets[0].sent, ['{"type":"configure","archive":false}']);
});
