import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

import shared from "../locales/en.js";
import english from "../pages/locales/en.js";
import { LANGUAGES } from "../strings.js";

const root = new URL("../", import.meta.url);
const files = [
  ...["pages", "archive", "operate"].flatMap((folder) => (existsSync(new URL(folder, root)) ? readdirSync(new URL(folder, root)).filter((name) => name.endsWith(".js")).map((name) => `${folder}/${name}`) : [])),
  ...["recordings.html", "operate.html"].filter((name) => existsSync(new URL(name, root))),
];
const sources = files.map((name) => readFileSync(new URL(name, root), "utf8")).join("\n");
const placeholders = (sentence) => [...sentence.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test("every language has the keys of English, each with the same values in it, and none of those that all pages share", async () => {
  for (const code of Object.keys(LANGUAGES)) {
    const { default: strings } = await import(`../pages/locales/${code}.js`);

    assert.deepEqual(Object.keys(strings), Object.keys(english), code);
    for (const key of Object.keys(english)) assert.deepEqual(placeholders(strings[key]), placeholders(english[key]), `${code} ${key}`);
  }
  assert.deepEqual(Object.keys(english).filter((key) => Object.hasOwn(shared, key)), []);
});

test("every sentence is used somewhere in the pages", () => {
  const named = new Set([...sources.matchAll(/["'`]([a-z]+(?:[.-][a-zA-Z0-9_-]+)*)["'`]/g)].map(([, key]) => key));
  const beginnings = [...sources.matchAll(/`([a-z]+\.(?:[a-z]+-)?)\$\{/g)].map(([, beginning]) => beginning);

  assert.deepEqual(Object.keys(english).filter((key) => !named.has(key) && !beginnings.some((each) => key.startsWith(each))), []);
});

test("every key that the pages name has a sentence", () => {
  const asked = [...sources.matchAll(/\bt\("([^"]+)"/g), ...sources.matchAll(/data-t(?:-label|-placeholder)?="([^"]+)"/g)].map(([, key]) => key);

  assert.ok(asked.length > 80);
  assert.deepEqual(asked.filter((key) => !Object.hasOwn(english, key) && !Object.hasOwn(shared, key)), []);
});
