import assert from "node:assert/strict";
import { test } from "node:test";

import { figuresOf } from "../operate/figures.js";
import { TOKEN_SCOPES, keyRequest, tokenRequest } from "../operate/key-request.js";
import { faultCounts, samplesIn } from "../operate/metrics.js";
import { MemoryKey } from "../pages/memory-key.js";
import english from "../pages/locales/en.js";
import { extend, use } from "../strings.js";

extend(english, {});
await use("en");

const EXPOSITION = `# HELP parley_closed_sessions Sessions refused or ended by the server.
# TYPE parley_closed_sessions counter
parley_closed_sessions_total{code="no_capacity"} 3.0
parley_closed_sessions_total{code="session_idle"} 0.0
parley_defects_total{where="a \\"quoted\\" place"} 7.0
parley_replies_total{outcome="failed"} 1.0
parley_replies_total{outcome="complete"} 90.0
parley_sessions 2.0
`;
const ARCHIVE = { waiting: 0, bytes: 0, oldestSeconds: 0, full: false, error: null };
const HEALTH = { status: "ok", sessions: 1, connections: 1, maxSessions: 4, archive: ARCHIVE, database: "ok", index: null };

test("counters of what went wrong are read from the metrics, the most frequent first", () => {
  assert.deepEqual(samplesIn(EXPOSITION).at(-1), { name: "parley_sessions", labels: {}, value: 2 });
  assert.deepEqual(faultCounts(samplesIn(EXPOSITION)), [
    { key: "errors.defects", what: 'a "quoted" place', count: 7 },
    { key: "errors.closed", what: "no_capacity", count: 3 },
    { key: "errors.replies", what: "failed", count: 1 },
  ]);
});

test("figures say how the service is, and stand out where something is to be done", () => {
  const tones = (health, spend) => Object.fromEntries(figuresOf(health, spend).map(({ label, tone }) => [label, tone]));

  assert.deepEqual(tones(HEALTH, null), { Service: "good", Sessions: "none", "Waiting for the store": "none", Database: "none" });
  assert.deepEqual(
    tones({ ...HEALTH, status: "full", sessions: 4, database: "unavailable", archive: { ...ARCHIVE, full: true } }, { usd: 5, budgetUsd: 5, remainingUsd: 0 }),
    { Service: "warn", Sessions: "warn", "Waiting for the store": "bad", Database: "bad", "Spent today": "bad" },
  );
  assert.equal(figuresOf({ ...HEALTH, status: "strange" }, null)[0].tone, "bad");
  assert.match(figuresOf({ ...HEALTH, archive: { ...ARCHIVE, waiting: 2, bytes: 3_000_000, oldestSeconds: 90 } }, null)[2].note, /3\.0 MB, the oldest for 2 min/);
});

test("a key is asked for with its tenant, its scopes and its end", () => {
  const now = new Date("2026-01-31T12:00:00Z");

  assert.deepEqual(keyRequest({ name: " kiosk ", tenant: "", scopes: ["speak"], days: "" }, now), { name: "kiosk", tenant: "default", scopes: ["speak"] });
  assert.equal(keyRequest({ name: "k", tenant: "acme", scopes: [], days: "7" }, now).expires, "2026-02-07T12:00:00.000Z");
});

test("a session token lives between a minute and an hour, and never has admin", () => {
  const form = { name: "", person: " v-17 ", scopes: ["speak"] };

  assert.deepEqual(tokenRequest({ ...form, minutes: "5" }), { scopes: ["speak"], ttl_s: 300, name: "", person: "v-17" });
  assert.deepEqual(["0.2", "90", "x"].map((minutes) => tokenRequest({ ...form, minutes }).ttl_s), [60, 3600, 600]);
  assert.ok(!TOKEN_SCOPES.includes("admin"));
});

test("an administrator's key stays in memory, and is forgotten where the server does not know it", async () => {
  const key = new MemoryKey(async () => ({ status: key.typedKey === "right" ? 200 : 401 }));

  assert.match(await key.signIn("wrong"), /not a key/);
  assert.equal(key.current, "");
  assert.equal(await key.signIn("right"), null);
  assert.equal(key.current, "right");
  assert.match(await new MemoryKey(async () => ({ status: 0 })).signIn("right"), /cannot be reached/);
});
