/** Routes and ends of replies, in a few words. Pure. */

const PLACES = { on_prem: "On your own machine", cloud: "In the cloud" };
const ENDINGS = { barge_in: "You spoke over it", cancelled: "Stopped", failed: "The reply broke off" };

/** Why a reply ended before its end; empty where it did not. @param {string} progress */
export const ending = (progress) => ENDINGS[progress] ?? "";

/**
 * Milliseconds as a person says them.
 * @param {number} ms
 */
export const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * The badge of a final: what it says, and the lines behind it. Null without a route.
 * @param {{route: ?object, ttfsMs: ?number, start: ?number, end: ?number}} utterance
 * @returns {?{label: string, place: string, details: string[]}}
 */
export function badge({ route, ttfsMs, start, end }) {
  if (typeof route?.name !== "string") return null;
  const details = [
    PLACES[route.place] ?? route.place,
    ttfsMs !== null && `Final ${duration(ttfsMs)} after you paused`,
    start !== null && end !== null && `Said from ${start.toFixed(1)} to ${end.toFixed(1)} s`,
    typeof route.latencyMs === "number" && `The engine took ${duration(route.latencyMs)}`,
    typeof route.costUsd === "number" && route.costUsd > 0 && `Cost $${route.costUsd.toFixed(5)}`,
    route.hedged === true && "Asked two routes; this one was first",
    route.why && `Why: ${[route.why].flat().join("; ")}`,
  ];
  return { label: route.name, place: route.place ?? "", details: details.filter(Boolean) };
}
