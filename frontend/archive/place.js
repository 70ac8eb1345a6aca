/** Where in the archive the page is, as the part of the address behind `#`, so that back, reload and links work. Pure. */

import { withQuery } from "../rest.js";

export const FILTERS = Object.freeze(["text", "since", "until", "route", "person"]);
/** What conversations are narrowed to. */
const OF_CONVERSATIONS = new Set(["text", "person"]);

/**
 * @typedef {"recordings" | "conversations"} Kind
 * @typedef {{kind: Kind, id: ?string, at: ?number, filters: Record<string, string>}} Place
 *   `at`: where to listen from, in seconds
 */

/** @param {string} hash as `location.hash` @returns {Place} */
export function placeOf(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [kind, id = ""] = path.split("/");
  const values = new URLSearchParams(query);
  const filters = Object.fromEntries(FILTERS.map((name) => [name, values.get(name) ?? ""]));
  const at = Number.parseFloat(values.get("at") ?? "");
  return {
    kind: kind === "conversations" ? "conversations" : "recordings",
    id: /^[0-9a-f]{32}$/.test(id) ? id : null,
    at: Number.isFinite(at) && at >= 0 ? at : null,
    filters,
  };
}

/** @param {Partial<Place> & {kind: Kind}} place */
export function hashOf({ kind, id = null, at = null, filters = {} }) {
  return `#${withQuery(id ? `${kind}/${id}` : kind, { ...filters, at: at === null ? null : Math.round(at * 10) / 10 })}`;
}

/**
 * The request for a page of the list.
 * @param {Place} place @param {?string} before the `next` of the page before @param {number} limit
 */
export function listPath({ kind, filters }, before, limit) {
  const known = kind === "conversations" ? Object.entries(filters).filter(([name]) => OF_CONVERSATIONS.has(name)) : Object.entries(filters);
  return withQuery(kind, { ...Object.fromEntries(known), limit, before });
}

/** Whether the list is narrowed at all. @param {Place} place */
export const isNarrowed = ({ filters }) => Object.values(filters).some(Boolean);

/** Whether two places have the same list. @param {?Place} one @param {Place} other */
export const isSameList = (one, other) => one !== null && hashOf({ kind: one.kind, filters: one.filters }) === hashOf({ kind: other.kind, filters: other.filters });
