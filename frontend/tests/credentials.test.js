import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Credentials } from "../credentials.js";

const ADDRESS = new URL("wss://voice.example.org/ws/transcribe?x=1");
const NOW = Date.parse("2026-01-01T10:00:00Z");
let stored, storage, requests, answers, now;

const answer = (status, body = {}) => ({ status, json: async () => body });
const token = (name) => answer(201, { token: name, expiresAt: new Date(now + 3_600_000).toISOString() });
const credentials = (address = ADDRESS) => new Credentials(address, { storage, fetch: ask, now: () => now });

async function ask(url, options) {
  requests.push({ url: url.href, ...options });
  const next = answers.shift();
  if (next instanceof Error) throw next;
  return next;
}

/** Lets the page run until it waits for a timer. */
const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout"] });
  stored = new Map();
  storage = {
    getItem: (name) => stored.get(name) ?? null,
    setItem: (name, value) => stored.set(name, value),
    removeItem: (name) => stored.delete(name),
  };
  [requests, answers, now] = [[], [], NOW];
});
afterEach(() => mock.timers.reset());

test("a key is exchanged for a token that may only speak, and the storage has the token alone", async () => {
  const own = credentials();
  answers = [token("first-token")];

  assert.equal(await own.signIn("parley_key"), null);

  assert.equal(own.current, "first-token");
  assert.equal(requests[0].url, "https://voice.example.org/auth/session-tokens");
  assert.equal(requests[0].headers.authorization, "Bearer parley_key");
  assert.deepEqual(JSON.parse(requests[0].body).scopes, ["speak"]);
  assert.match([...stored.values()].join(), /first-token/);
  assert.doesNotMatch([...stored.values()].join(), /parley_key/);
});

test("the token is there after a reload, for its own server, until it expires", async () => {
  answers = [token("first-token")];
  await credentials().signIn("parley_key");

  assert.equal(credentials().current, "first-token");
  assert.equal(credentials().typedKey, "");
  assert.equal(credentials(new URL("wss://evil.example/ws")).current, "");
  now += 3_600_001;
  assert.equal(credentials().current, "");
});

test("the token is renewed while the page is open, before it expires", async () => {
  const own = credentials();
  answers = [token("first-token")];
  await own.signIn("parley_key");

  now += 3_480_000;
  answers = [token("second-token")];
  mock.timers.tick(3_480_000);
  await settle();

  assert.equal(own.current, "second-token");
});

test("where the server cannot be reached for a renewal, the page has the key, and asks again", async () => {
  const own = credentials();
  answers = [token("first-token")];
  await own.signIn("parley_key");

  answers = [new Error("offline"), token("second-token")];
  mock.timers.tick(3_480_000);
  await settle();
  assert.equal(own.current, "parley_key");

  mock.timers.tick(30_000);
  await settle();
  assert.equal(own.current, "second-token");
});

test("a key that was revoked is not presented again", async () => {
  const own = credentials();
  answers = [token("first-token")];
  await own.signIn("parley_key");

  answers = [answer(401)];
  mock.timers.tick(3_480_000);
  await settle();
  mock.timers.tick(3_600_000);
  await settle();

  assert.equal(requests.length, 2);
  assert.deepEqual([own.current, stored.size], ["", 0]);
});

test("a wrong key, a server that is away and too many attempts are sentences, and nothing is kept", async () => {
  const own = credentials();
  answers = [answer(401), new Error("offline"), answer(429, { message: "too many wrong keys; wait" })];

  const problems = [];
  for (const typed of ["parley_wrong", "parley_any", "parley_other", "two words"]) problems.push(await own.signIn(typed));

  assert.match(problems[0], /not a key/);
  assert.match(problems[1], /cannot be reached/);
  assert.match(problems[2], /too many/);
  assert.match(problems[3], /not a key/);
  assert.equal(requests.length, 3); // what can be no key is never sent
  assert.equal(own.current, "");
  assert.equal(stored.size, 0);
});

test("a server that makes no tokens is given the key, which is in memory alone", async () => {
  const own = credentials();
  answers = [answer(404)];

  assert.equal(await own.signIn("parley_key"), null);

  assert.equal(own.current, "parley_key");
  assert.equal(stored.size, 0);
  assert.equal(credentials().current, "");
});

test("what the server does not accept any more is forgotten", async () => {
  const own = credentials();
  answers = [token("first-token")];
  await own.signIn("parley_key");

  own.forget();

  assert.deepEqual([own.current, own.typedKey, stored.size], ["", "", 0]);
});

test("a browser that forbids storage does no harm", async () => {
  const own = new Credentials(ADDRESS, { storage: undefined, fetch: ask, now: () => now });
  answers = [token("first-token")];

  assert.equal(await own.signIn("parley_key"), null);

  assert.equal(own.current, "first-token");
  own.forget();
});
