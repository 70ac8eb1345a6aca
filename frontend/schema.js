/** The reference of the HTTP API: draws the OpenAPI document of this server. */

import { examples, operationsByTag, pieces, resolve, typeInWords, typeName } from "./reference.js";

const get = (id) => document.getElementById(id);

/** An element with these attributes and children; texts become text, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children.flat());
  return made;
}

function prose(text) {
  return pieces(text).map((piece) => (piece.isCode ? element("code", {}, piece.text) : piece.text));
}

function paragraphs(text) {
  return text.trim().split(/\n\s*\n/).map((each) => element("p", {}, prose(each.replace(/\s*\n\s*/g, " "))));
}

function row(name, schema, { description = "", example, note = "" }) {
  const words = [typeInWords(schema), note, example === undefined ? "" : `for example \`${example}\``];
  const small = element("small", {}, prose(words.filter(Boolean).join("; ")));
  return element("tr", {}, element("th", { scope: "row" }, element("code", {}, name)), element("td", {}, prose(description), small));
}

function parametersOf({ parameters }) {
  if (parameters.length === 0) return [];
  const rows = parameters.map(({ name, in: place, required, schema, ...rest }) =>
    row(name, schema, { ...rest, note: required ? `${place}, required` : place }),
  );
  return [element("h4", {}, "Parameters"), element("table", {}, element("tbody", {}, rows))];
}

function samples(api, content) {
  return examples(api, content).flatMap(({ name, text }) => [element("h5", {}, name.replaceAll("_", " ")), element("pre", {}, text)]);
}

function contentOf(kind, type) {
  return element("p", {}, element("code", {}, kind), type ? [": ", element("a", { href: `#type-${type}` }, type)] : []);
}

function responseOf(api, status, response) {
  const kinds = Object.entries(response.content ?? {}).map(([kind, { schema = {} }]) => contentOf(kind, typeName(schema)));
  const headers = Object.entries(response.headers ?? {}).map(([name, header]) => {
    const { schema, ...rest } = resolve(api, header);
    return row(name, schema, rest);
  });
  const inside = element("div", {}, kinds, samples(api, response.content));
  if (headers.length) inside.append(element("table", {}, element("tbody", {}, headers)));
  const isError = Number(status) >= 400;
  const summary = element("summary", {}, element("span", { class: "status" }, status), element("span", {}, prose(response.description)));
  const details = element("details", { class: "response", "data-is-error": isError }, summary, inside);
  details.open = !isError;
  return details;
}

function operationOf(api, operation) {
  const { operationId, method, path, summary, description, requestBody, responses } = operation;
  const heading = element("h3", {}, element("a", { href: `#${operationId}` }, summary));
  const badge = element("span", { class: "method", "data-method": method }, method.toUpperCase());
  const body = Object.entries(requestBody?.content ?? {}).flatMap(([kind, { schema = {} }]) => [element("h4", {}, "Body"), contentOf(kind, typeName(schema))]);
  return element(
    "article",
    { class: "operation", id: operationId },
    heading,
    element("p", { class: "address" }, badge, element("code", {}, path)),
    paragraphs(description),
    element("h4", {}, "Request"),
    operation["x-codeSamples"].map(({ source }) => element("pre", {}, source)),
    parametersOf(operation),
    body,
    samples(api, requestBody?.content),
    element("h4", {}, "Responses"),
    Object.entries(responses).map(([status, response]) => responseOf(api, status, response)),
  );
}

function typeOf(name, schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([property, of]) =>
    row(property, of, { description: of.description, note: required.has(property) ? "" : "may be absent" }),
  );
  const words = schema.enum ? [element("p", {}, prose(typeInWords(schema)))] : [];
  const table = rows.length ? [element("table", {}, element("tbody", {}, rows))] : [];
  return element("article", { class: "type", id: `type-${name}` }, element("h3", {}, name), paragraphs(schema.description ?? ""), words, table);
}

function draw(api) {
  get("version").textContent = api.info.version;
  get("introduction").append(...paragraphs(api.info.description));
  for (const { tag, operations } of operationsByTag(api)) {
    const links = operations.map(({ operationId, summary }) => element("li", {}, element("a", { href: `#${operationId}` }, summary)));
    get("contents").append(element("h2", {}, tag), element("ul", {}, links));
    get("operations").append(element("section", {}, element("h2", {}, tag), operations.map((each) => operationOf(api, each))));
  }
  get("types").append(...Object.entries(api.components.schemas).map(([name, schema]) => typeOf(name, schema)));
  get("types").hidden = false;
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const response = await fetch("schema/openapi.json");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  draw(await response.json());
} catch (error) {
  get("problem").textContent = `The document cannot be shown: ${error.message}. Reload the page to try again.`;
  get("problem").hidden = false;
}
