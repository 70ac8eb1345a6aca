/** What the reference page shows of an OpenAPI document, without drawing it. */

/** The object itself, or the one in the document that it refers to. */
export function resolve(document, object) {
  if (!object?.$ref) return object;
  const found = object.$ref.replace(/^#\//, "").split("/").reduce((at, name) => at?.[name], document);
  if (found === undefined) throw new Error(`the document has no ${object.$ref}`);
  return found;
}

/** @returns {{tag: string, operations: {method: string, path: string}[]}[]} the operations by tag, in the document's order */
export function operationsByTag(document) {
  const all = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method, path })),
  );
  return document.tags.map(({ name }) => ({ tag: name, operations: all.filter(({ tags }) => tags.includes(name)) }));
}

/** The name of the type that a schema refers to; empty where it refers to none. */
export function typeName({ $ref = "" }) {
  return $ref.split("/").pop();
}

/** A schema in a few words: `integer, 1 to 200, default 50`. */
export function typeInWords(schema) {
  if (schema.$ref) return typeName(schema);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeInWords).join(" or ");
  if (schema.enum) return withDefault(schema.enum.map((each) => `\`${each}\``).join(", "), schema);
  const type = [schema.type ?? "any"].flat().join(" or ");
  const items = type === "array" && schema.items ? ` of ${typeInWords(schema.items)}` : "";
  const format = schema.format ? ` (${schema.format})` : "";
  return withDefault(`${type}${items}${format}${range(schema)}`, schema);
}

function range({ minimum, maximum }) {
  if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
  return minimum !== undefined ? `, at least ${minimum}` : "";
}

function withDefault(words, schema) {
  const isShown = !["undefined", "object"].includes(typeof schema.default) && schema.default !== "";
  return isShown ? `${words}, default \`${schema.default}\`` : words;
}

/** A text as pieces, those in backticks as code. @returns {{text: string, isCode: boolean}[]} */
export function pieces(text) {
  return text.split("`").map((piece, number) => ({ text: piece, isCode: number % 2 === 1 })).filter(({ text }) => text);
}

/** @returns {{name: string, mediaType: string, text: string}[]} every example of a request's or response's content */
export function examples(document, content = {}) {
  return Object.entries(content).flatMap(([mediaType, { examples = {} }]) =>
    Object.entries(examples).map(([name, example]) => {
      const { value } = resolve(document, example);
      return { name, mediaType, text: typeof value === "string" ? value : JSON.stringify(value, null, 2) };
    }),
  );
}
