import assert from "node:assert/strict";
import { test } from "node:test";

import { introduction, replyLabel } from "../answering.js";
import { httpAddress } from "../rest.js";
import { choices } from "../devices.js";
import { Hold } from "../hold.js";
import { noticesOf } from "../notices.js";
import { serverProblem } from "../problems.js";
import { routeLines, spending } from "../routes.js";
import { sessionSettings } from "../settings.js";
import { hintFor } from "../view.js";

test("a demonstration is called one, with how to connect a capable model", () => {
  const replies = [{ engine: "embedded", model: "tiny", demonstration: true }];

  assert.match(introduction(replies).text, /demonstration.*tiny.*senseless/);
  assert.equal(introduction(replies).canConnect, true);
  assert.equal(replyLabel(replies), "demonstration model");
});

test("a capable engine is named, and nobody is said to answer where none does", () => {
  const replies = [{ engine: "ollama", model: "llama3.2", demonstration: false }];

  assert.deepEqual(introduction(replies), { text: "llama3.2 (Ollama) answers.", canConnect: false });
  assert.equal(introduction([{ engine: "receiver", model: "", demonstration: false }]).text, "receiver answers.");
  assert.match(introduction([]).text, /transcribed only/);
});

test("routes over HTTP are beside the socket", () => {
  assert.equal(httpAddress(new URL("wss://a.example/voice/ws/transcribe?profile=x"), "engines").href, "https://a.example/voice/engines");
  assert.equal(httpAddress(new URL("ws://localhost:8000/ws/transcribe"), "policy/summary").href, "http://localhost:8000/policy/summary");
});

test("devices are offered with the system's own first, and by number while their names are secret", () => {
  const devices = [
    { kind: "audioinput", deviceId: "default", label: "Default" },
    { kind: "audioinput", deviceId: "a", label: "" },
    { kind: "audiooutput", deviceId: "b", label: "Speakers" },
    { kind: "audioinput", deviceId: "", label: "" },
  ];

  assert.deepEqual(choices(devices, "audioinput"), [
    { value: "", label: "The system’s own" },
    { value: "a", label: "Device 1" },
  ]);
  assert.deepEqual(choices(devices, "audiooutput")[1], { value: "b", label: "Speakers" });
});

test("the server is told what the user decided, and of nothing else", () => {
  assert.deepEqual(sessionSettings({ reply: true, speak: false, theme: "dark", microphone: "a" }), { reply: true, speak: false, pauses: true });
  assert.deepEqual(
    sessionSettings({ reply: true, speak: true, archive: false, language: "detect", place: true, hold: true, words: true, keyTerms: [] }),
    { reply: true, speak: true, archive: false, keyTerms: [], language: null, place: "on_prem_only", turns: "manual", words: true, pauses: true },
  );
  assert.equal(sessionSettings({ reply: true, speak: true, hold: false }).turns, "auto");
});

test("holding begins and ends once, and the last samples still belong to it", () => {
  const said = [];
  const hold = new Hold({ press: () => said.push("press"), release: () => said.push(`release ${hold.isHeld}`), expire: () => said.push("expire") });

  hold.press();
  hold.press();
  hold.release();
  hold.release();
  hold.reset(); // or the timer would keep this test waiting

  assert.deepEqual(said, ["press", "release true"]);
});

test("the hint says what the button does, or what is going on", () => {
  assert.equal(hintFor("closed", "off", "idle", null), "Press to talk");
  assert.equal(hintFor("ready", "on", "speaking", null), "Parley is speaking. Talk over it to interrupt.");
  assert.equal(hintFor("waiting", "on", "listening", null), "Waiting for the connection");
  assert.equal(hintFor("ready", "on", "listening", "held"), "Release to send");
  assert.equal(hintFor("closed", "off", "idle", "released"), "Hold to talk");
});

test("an error of an engine says what to do, and an expected one needs no notice", () => {
  assert.match(serverProblem({ code: "provider_down", message: "ollama: cannot be reached" }), /again/);
  assert.match(serverProblem({ code: "budget_exhausted", message: "" }), /budget/);
  assert.equal(serverProblem({ code: "no_capacity", message: "every one of your 1 places is taken" }), null);
  assert.equal(serverProblem({ code: "else", message: "What the server said." }), "What the server said.");
});

test("what was lost hides that the connection is, and so does the question for a key", () => {
  const shown = (problems, page = {}) =>
    noticesOf({ link: null, microphone: null, server: null, dropped: null, connection: "Gone.", ...problems }, { connection: "waiting", ...page }).map(({ text }) => text);

  assert.deepEqual(shown({}), ["Gone."]);
  assert.deepEqual(shown({ dropped: "Lost." }), ["Lost."]);
  assert.deepEqual(shown({}, { isKeyWanted: true }), []);
  assert.deepEqual(shown({ server: "Failed." }, { isNetworkSlow: true }).length, 3);
});

test("routes are listed as they would be asked, and those that would not be, last, with the reason", () => {
  const explained = {
    choices: [{ name: "local" }],
    rejected: [{ name: "aws", why: "breaker open" }],
    fleet: [{ name: "aws", place: "cloud", health: "open" }, { name: "local", place: "on_prem", health: "closed" }],
  };
  const summary = { routes: [{ name: "local", finals: 3, p50_ms: 310.2, p95_ms: null, usd: 0, asked: 4, failures: 1 }] };
  const [local, aws] = routeLines(explained, summary);

  assert.deepEqual([local.name, local.isFirst, local.note], ["local", true, ""]);
  assert.deepEqual(local.facts.map(([, value]) => value), ["3", "310 ms", "–", "1", "$0.0000"]);
  assert.deepEqual([aws.health, aws.isFirst, aws.note], ["open", false, "Not now: breaker open"]);
  assert.deepEqual(aws.facts, [["Finals", "No finals yet"]]);
});

test("spending is measured against the budget, where there is one", () => {
  assert.deepEqual(spending({ usd: 0.5, budgetUsd: 2 }), { text: "Spent today: $0.5000 of $2.00", share: 0.25 });
  assert.equal(spending({ usd: 3, budgetUsd: 2 }).share, 1);
  assert.equal(spending({ usd: 3, budgetUsd: 0 }).share, 1);
  assert.equal(spending({ usd: 0.5, budgetUsd: null }).share, null);
});
