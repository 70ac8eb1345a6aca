import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { afterEach, test } from "node:test";

import english from "../locales/en.js";
import { LANGUAGES, choose, current, directionOf, t, use } from "../strings.js";

const folder = new URL("../", import.meta.url);
const files = readdirSync(folder).filter((name) => /\.(js|html)$/.test(name) && !name.startsWith("schema") && !["reference.js", "recordings.html", "operate.html"].includes(name));
const sources = files.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
const placeholders = (sentence) => [...sentence.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

/** Keys that the page names: whole ones, and the beginnings of those that end in a value. */
const named = new Set([...sources.matchAll(/["'`]([a-z]+(?:[.-][a-z0-9_-]+)*)["'`]/g)].map(([, key]) => key));
const beginnings = [...sources.matchAll(/`([a-z]+\.(?:[a-z]+-)?)\$\{/g)].map(([, beginning]) => beginning);

afterEach(() => use("en"));

test("every language has the keys of English, each with the same values in it", async () => {
  for (const code of Object.keys(LANGUAGES)) {
    const { default: strings } = await import(`../locales/${code}.js`);

    assert.deepEqual(Object.keys(strings), Object.keys(english), code);
    for (const key of Object.keys(english)) assert.deepEqual(placeholders(strings[key]), placeholders(english[key]), `${code} ${key}`);
  }
});

test("every file of a language is offered", () => {
  const there = readdirSync(new URL("locales", folder)).map((name) => name.replace(".js", ""));

  assert.deepEqual(there.sort(), Object.keys(LANGUAGES).sort());
});

test("every sentence is used somewhere in the page", () => {
  const unused = Object.keys(english).filter((key) => !named.has(key) && !beginnings.some((each) => key.startsWith(each)));

  assert.deepEqual(unused, []);
});

test("every key that the page names has a sentence", () => {
  const asked = [...sources.matchAll(/\bt\("([^"]+)"/g), ...sources.matchAll(/data-t(?:-label|-placeholder)?="([^"]+)"/g)].map(([, key]) => key);

  assert.ok(asked.length > 100);
  assert.deepEqual(asked.filter((key) => !Object.hasOwn(english, key)), []);
});

test("values stand where the sentence has their names", () => {
  assert.equal(t("recording.kept-days", { days: 30 }), "kept 30 days");
  assert.equal(t("recording.kept-days", { days: "$&" }), "kept $& days");
});

test("the page speaks another language once that is chosen, and English where its file is missing", async () => {
  await use("de");
  assert.deepEqual([current(), t("connection.closed")], ["de", "Bereit"]);

  await use("tlh");
  assert.deepEqual([current(), t("connection.closed")], ["en", "Ready"]);
});

test("the language is the chosen one, else the first of the browser's that there is, else English", () => {
  assert.equal(choose("de", ["en-US"]), "de");
  assert.equal(choose(undefined, ["tlh", "de-AT", "en"]), "de");
  assert.equal(choose("tlh", ["tlh"]), "en");
});

test("Arabic and Hebrew are written from right to left", () => {
  assert.deepEqual(["ar", "he", "en"].map(directionOf), ["rtl", "rtl", "ltr"]);
});
