/** Labels for routes, durations and the ends of replies. Pure. */

const PLACES = { on_prem: "On your own machine", cloud: "In the cloud" };
const ENDINGS = { barge_in: "You spoke over it", cancelled: "Stopped", failed: "The reply broke off" };

const SOUNDS = { ducked: "Quieter while you speak", paused: "Paused while you speak" };

/** Why a reply ended before its end; empty where it did not. @param {string} progress */
export const endLabel = (progress) => ENDINGS[progress] ?? "";

/** What the reply does while the user speaks over it; empty where nothing. @param {string | undefined} sound */
export const soundLabel = (sound) => SOUNDS[sound] ?? "";

/** Who said it; empty where that is not known. @param {?number} speaker from 1 */
export const speakerLabel = (speaker) => (speaker === null ? "" : `Speaker ${speaker}`);

/**
 * Milliseconds for people: "412 ms" or "1.5 s".
 * @param {number} ms
 */
export const formatDuration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * The badge of a final: its label, and the lines of its tooltip. Null without a route.
 * @param {{route: ?object, ttfsMs: ?number, start: ?number, end: ?number}} utterance
 * @returns {?{label: string, place: string, details: string[]}}
 */
export function routeBadge({ route, ttfsMs, start, end }) {
  if (typeof route?.name !== "string") return null;
  const details = [
    PLACES[route.place] ?? route.place,
    ttfsMs !== null && `Final ${formatDuration(ttfsMs)} after you paused`,
    start !== null && end !== null && `Said from ${start.toFixed(1)} to ${end.toFixed(1)} s`,
    typeof route.latencyMs === "number" && `The engine took ${formatDuration(route.latencyMs)}`,
    typeof route.costUsd === "number" && route.costUsd > 0 && `Cost $${route.costUsd.toFixed(5)}`,
    route.hedged === true && "Asked two routes; this one was first",
    route.why && `Why: ${[route.why].flat().join("; ")}`,
  ];
  return { label: route.name, place: route.place ?? "", details: details.filter(Boolean) };
}
