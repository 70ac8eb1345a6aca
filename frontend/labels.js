/** Labels for routes, durations and the ends of replies. Pure. */

import { t } from "./strings.js";

const ENDINGS = { barge_in: "reply.barge-in", cancelled: "reply.cancelled", failed: "reply.failed" };
const SOUNDS = { ducked: "reply.ducked", paused: "reply.paused" };
const PLACES = { on_prem: "how.on_prem", cloud: "how.cloud" };

/** Why a reply ended before its end; empty where it did not. @param {string} progress */
export const endLabel = (progress) => (ENDINGS[progress] ? t(ENDINGS[progress]) : "");

/** What the reply does while the user speaks over it; empty where nothing. @param {string | undefined} sound */
export const soundLabel = (sound) => (SOUNDS[sound] ? t(SOUNDS[sound]) : "");

/** Who said it; empty where that is not known. @param {?number} speaker from 1 */
export const speakerLabel = (speaker) => (speaker === null ? "" : t("who.speaker", { number: speaker }));

/**
 * Milliseconds for people: "412 ms" or "1.5 s".
 * @param {number} ms
 */
export const formatDuration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/**
 * The badge of a final: its label, and the lines of its tooltip. Null without a route.
 * @param {{route: ?object, ttfsMs: ?number, start: ?number, end: ?number, confidence?: ?number}} utterance
 * @returns {?{label: string, place: string, details: string[]}}
 */
export function routeBadge({ route, ttfsMs, start, end, confidence }) {
  if (typeof route?.name !== "string") return null;
  const why = [route.why ?? []].flat();
  const details = [
    PLACES[route.place] ? t(PLACES[route.place]) : route.place,
    ttfsMs !== null && t("how.final", { duration: formatDuration(ttfsMs) }),
    start !== null && end !== null && t("how.said", { start: start.toFixed(1), end: end.toFixed(1) }),
    typeof route.latencyMs === "number" && t("how.engine", { duration: formatDuration(route.latencyMs) }),
    typeof route.costUsd === "number" && route.costUsd > 0 && t("how.cost", { usd: route.costUsd.toFixed(5) }),
    typeof confidence === "number" && t("how.confidence", { percent: Math.round(confidence * 100) }),
    route.hedged === true && t("how.hedged"),
    why.length > 0 && !isOnlyRoute(why) && t("how.why", { why: why.join("; ") }),
  ];
  return { label: route.name, place: route.place ?? "", details: details.filter(Boolean) };
}

/** Whether a final's route is news: not that of the final before it, or in the cloud. @param {?object} route @param {?object} previous */
export const isRouteNews = (route, previous) => route !== null && (route.place === "cloud" || route.name !== previous?.name);

/** A choice among one is no reason. */
const isOnlyRoute = (why) => why.length === 1 && why[0] === "the only route left";
