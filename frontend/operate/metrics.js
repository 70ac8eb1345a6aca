/** Counters in Prometheus's text format. Pure. */

const SAMPLE = /^([a-z_:][\w:]*?)(?:_total)?(?:\{(.*)\})? ([-+\d.eE]+|NaN|\+Inf)$/i;

/**
 * @typedef {{name: string, labels: Record<string, string>, value: number}} Sample
 * @param {string} text as `GET /metrics`
 * @returns {Sample[]}
 */
export function samplesIn(text) {
  const found = text.split("\n").filter((line) => line && !line.startsWith("#")).map((line) => SAMPLE.exec(line));
  return found.filter((match) => match !== null).map(([, name, labels = "", value]) => ({ name, labels: labelsIn(labels), value: Number(value) }));
}

function labelsIn(text) {
  return Object.fromEntries([...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value.replace(/\\(.)/g, (_, sign) => (sign === "n" ? "\n" : sign))]));
}

/** Counters of what went wrong, and the label that says what. */
const OF_FAULTS = Object.freeze({
  parley_defects: { label: "where", key: "errors.defects" },
  parley_closed_sessions: { label: "code", key: "errors.closed" },
  parley_refused_authentications: { label: "reason", key: "errors.refused" },
  parley_replies: { label: "outcome", key: "errors.replies", only: "failed" },
});

/**
 * What went wrong since the process began, the most frequent first.
 * @param {readonly Sample[]} samples
 * @returns {{key: string, what: string, count: number}[]} `key` of the sentence
 */
export function faultCounts(samples) {
  return samples
    .filter(({ name, labels, value }) => value > 0 && Object.hasOwn(OF_FAULTS, name) && [undefined, labels[OF_FAULTS[name].label]].includes(OF_FAULTS[name].only))
    .map(({ name, labels, value }) => ({ key: OF_FAULTS[name].key, what: labels[OF_FAULTS[name].label] ?? "", count: value }))
    .sort((one, two) => two.count - one.count);
}
