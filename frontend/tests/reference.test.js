import assert from "node:assert/strict";
import { test } from "node:test";

import { examples, operationsByTag, pieces, resolve, typeInWords } from "../reference.js";

const API = {
  tags: [{ name: "recordings" }, { name: "service" }],
  paths: {
    "/health": { get: { tags: ["service"], operationId: "getHealth" } },
    "/recordings": { get: { tags: ["recordings"], operationId: "list" }, post: { tags: ["recordings"], operationId: "create" } },
  },
  components: { examples: { not_found: { value: { code: "not_found" } } } },
};

test("operations are grouped by tag, in the order of the tags", () => {
  const groups = operationsByTag(API).map(({ tag, operations }) => [tag, operations.map(({ method, path }) => `${method} ${path}`)]);

  assert.deepEqual(groups, [["recordings", ["get /recordings", "post /recordings"]], ["service", ["get /health"]]]);
});

test("a reference is followed, and one that leads nowhere is an error that names it", () => {
  assert.deepEqual(resolve(API, { $ref: "#/components/examples/not_found" }), { value: { code: "not_found" } });
  assert.deepEqual(resolve(API, { value: 1 }), { value: 1 });
  assert.throws(() => resolve(API, { $ref: "#/components/examples/gone" }), /components\/examples\/gone/);
});

test("a schema is told in a few words", () => {
  assert.equal(typeInWords({ type: "integer", minimum: 1, maximum: 200, default: 50 }), "integer, 1 to 200, default `50`");
  assert.equal(typeInWords({ type: "number", minimum: 0 }), "number, at least 0");
  assert.equal(typeInWords({ type: "string", format: "date" }), "string (date)");
  assert.equal(typeInWords({ type: "boolean", default: false }), "boolean, default `false`");
  assert.equal(typeInWords({ enum: ["wav", "mp3"], default: "wav" }), "`wav`, `mp3`, default `wav`");
  assert.equal(typeInWords({ type: "array", items: { $ref: "#/components/schemas/Scope" }, default: [] }), "array of Scope");
  assert.equal(typeInWords({ anyOf: [{ type: "string" }, { type: "null" }], default: null }), "string or null");
  assert.equal(typeInWords({}), "any");
});

test("text in backticks is code, all else is text", () => {
  assert.deepEqual(pieces("with `wait=false` at once"), [
    { text: "with ", isCode: false },
    { text: "wait=false", isCode: true },
    { text: " at once", isCode: false },
  ]);
  assert.deepEqual(pieces("`a`"), [{ text: "a", isCode: true }]);
});

test("examples are shown as JSON, texts as they are", () => {
  const content = {
    "application/json": { examples: { not_found: { $ref: "#/components/examples/not_found" } } },
    "text/plain": { examples: { metrics: { value: "up 1\n" } } },
    "audio/wav": { schema: {} },
  };

  assert.deepEqual(examples(API, content).map(({ name, text }) => [name, text]), [
    ["not_found", '{\n  "code": "not_found"\n}'],
    ["metrics", "up 1\n"],
  ]);
  assert.deepEqual(examples(API, undefined), []);
});
