/** How a turn was made: the facts of each final, and its timeline as a drawing. */

import { formatDuration, routeBadge } from "./labels.js";
import { t } from "./strings.js";
import { timelineOf } from "./timeline.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 640;
const HEIGHT = 58;
const BAR = { y: 26, height: 8 };

/** One line: the routes of the finals, and how long the newest took; empty where nothing is known. @param {import("./transcript.js").Turn} turn */
export function summaryOf({ utterances, times }) {
  const finals = utterances.filter(({ route }) => route !== null);
  const timeline = timelineOf({ utterances, times, key: "", turn: 0, reply: null });
  if (finals.length === 0 && timeline === null) return "";
  const names = [...new Set(finals.map(({ route }) => route.name))];
  const first = timeline?.marks.findLast(({ kind }) => kind !== "final") ?? timeline?.marks[0];
  const wait = first && timeline?.wait ? formatDuration(first.at - timeline.wait.from) : null;
  return [t("how.open"), ...names, ...(wait ? [wait] : [])].join(" · ");
}

/** @param {HTMLElement} place @param {import("./transcript.js").Turn} turn */
export function drawDetails(place, turn) {
  const timeline = timelineOf(turn);
  const finals = turn.utterances.filter(({ certainty }) => certainty === "final").map(finalFacts);
  place.replaceChildren(...(timeline ? [drawTimeline(timeline)] : []), ...finals);
}

function finalFacts(utterance) {
  const facts = document.createElement("dl");
  const said = facts.appendChild(document.createElement("dt"));
  said.textContent = utterance.text;
  said.dir = "auto";
  for (const line of utterance.isTyped ? [t("how.typed")] : (routeBadge(utterance)?.details ?? [])) {
    facts.appendChild(document.createElement("dd")).textContent = line;
  }
  return facts;
}

/** @param {import("./timeline.js").Timeline} timeline */
function drawTimeline({ speech, wait, marks, length }) {
  const x = (ms) => (length > 0 ? (ms / length) * (WIDTH - 2) + 1 : 1);
  const names = [
    ...(speech.length > 0 ? [`${t("timeline.speech")} ${formatDuration(speech.at(-1).to)}`] : []),
    ...marks.map(({ kind, at }) => `${t(`timeline.${kind}`)} +${formatDuration(at - (wait?.from ?? 0))}`),
  ];
  const drawing = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "timeline", preserveAspectRatio: "none", role: "img", "aria-label": t("timeline.label", { marks: names.join(", ") }) });
  drawing.append(element("rect", { class: "wait", x: x(wait?.from ?? 0), width: Math.max(0, x(length) - x(wait?.from ?? 0)), rx: 2, ...BAR }));
  for (const { from, to } of speech) drawing.append(element("rect", { class: "speech", x: x(from), width: Math.max(2, x(to) - x(from)), rx: 2, ...BAR }));
  for (const { kind, at } of marks) drawing.append(element("line", { class: kind, x1: x(at), x2: x(at), y1: BAR.y - 7, y2: BAR.y + BAR.height + 7 }));
  const figure = document.createElement("figure");
  const legend = document.createElement("figcaption");
  legend.ariaHidden = "true"; // because the drawing's label says the same
  const kinds = [...(speech.length > 0 ? ["speech"] : []), ...marks.map(({ kind }) => kind)];
  legend.append(...names.map((name, at) => Object.assign(document.createElement("span"), { className: kinds[at], textContent: name })));
  figure.append(drawing, legend);
  return figure;
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  return made;
}
