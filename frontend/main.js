/** The page: wires microphone, connection, loudspeaker and view together. */

import { isElsewhere, socketAddress } from "./address.js";
import { ConversationView } from "./conversation-view.js";
import { closeProblem, isSlow, keyProblem, notHeard } from "./explain.js";
import { isPossible, loadKey, saveKey, subprotocols } from "./key.js";
import { listenToKeys } from "./keyboard.js";
import { decode, encode, loudness } from "./pcm.js";
import { Playback } from "./playback.js";
import { cancel, end, pack } from "./protocol.js";
import { Session } from "./session.js";
import { load, save } from "./settings.js";
import { Talk } from "./talk.js";
import { showDetails } from "./tooltip.js";
import { EMPTY, disconnect, isInProgress, receive } from "./transcript.js";
import { View } from "./view.js";

const REPLY_SAMPLE_RATE = 16_000; // what the server usually speaks at; packets say so themselves

const address = socketAddress(location.href, document.querySelector("meta[name=parley-ws]")?.content);
const view = new View(document);
const conversation = new ConversationView(document, toggleReplay);
const playback = new Playback(onSound);
const session = new Session(
  address,
  { onState, onMessage, onAudio, onLoss },
  { openSocket: (url) => new WebSocket(url, subprotocols(key)) },
);
const talk = new Talk({ onState: onTalk, onPiece, onProblem: (sentence) => report("microphone", sentence) });

let settings = load(localStorage);
let key = loadKey(sessionStorage, address.host);
let keyAsked = null; // in a sentence, while the server waits for a key
let transcript = EMPTY;
let isNetworkSlow = false;
let soundKey = null; // the turn whose reply is, or is about to be, heard
let isSounding = false;
const silenced = new Set(); // turns whose sound is not wanted any more
const problems = { microphone: null, server: null, connection: null, loss: null };

// What is said

function toggleTalking() {
  if (talk.state !== "off") return talk.stop();
  for (const kind of Object.keys(problems)) problems[kind] = null;
  playback.open(REPLY_SAMPLE_RATE);
  session.configure(settings);
  talk.start();
}

function finishTurn() {
  talk.flush();
  session.send(end());
}

function onTalk(state, before) {
  if (state === "asking") session.open(); // both take a moment
  if (state === "off") {
    // Without sound no time passes for the server, so leaving the microphone ends the turn.
    if (before === "on") session.send(end());
    if (before === "on") session.rest();
    else session.stop();
    isNetworkSlow = false;
    view.hush();
  }
  draw();
}

function onPiece(samples, sampleRate) {
  session.send(pack({ sampleRate }, encode(samples)), (samples.length / sampleRate) * 1000);
  view.hear(loudness(samples));
  const isSlowNow = isSlow(session.waitingBytes, sampleRate * 2, isNetworkSlow);
  if (isSlowNow === isNetworkSlow) return;
  isNetworkSlow = isSlowNow;
  draw();
}

// The connection

function onState(state, closeCode) {
  if (state === "ready") problems.connection = keyAsked = null;
  if (state === "waiting" || state === "refused") problems.connection = closeProblem(closeCode);
  if (["waiting", "refused", "closed"].includes(state)) transcript = disconnect(transcript);
  if (state === "refused") talk.stop();
  draw();
}

function onMessage(message) {
  transcript = receive(transcript, message);
  if (message.type === "session") silenced.clear();
  if (message.type === "fullSentence") view.announce(message.text);
  if (message.type === "server_response") view.announce(message.message);
  if (message.type === "replyStart") silenced.delete(keyOf(message.turn));
  if (["replyCancelled", "replyInterrupted"].includes(message.type)) silence(keyOf(message.turn));
  if (message.type === "error" && message.code === "unauthorized") keyAsked = keyProblem(key);
  else if (message.type === "error") problems.server = message.message;
  draw();
}

/** Someone typed a key: try it, and talk. */
function showKey(event) {
  event.preventDefault();
  const typed = view.get("key").value.trim();
  if (isPossible(typed)) {
    key = typed;
    saveKey(sessionStorage, address.host, key);
    keyAsked = null;
    toggleTalking();
  } else {
    keyAsked = keyProblem(typed);
  }
  draw();
}

function onLoss() {
  report("loss", notHeard());
}

// The reply

function onAudio({ turn, sampleRate }, pcm) {
  const key = keyOf(turn);
  if (silenced.has(key)) return;
  soundKey = key;
  playback.play(decode(pcm), sampleRate);
}

function onSound(sounds) {
  isSounding = sounds;
  draw();
}

function silence(key) {
  silenced.add(key);
  if (soundKey === key) playback.flush();
}

function stopReply() {
  session.sendNow(cancel());
  for (const turn of transcript.turns) if (isInProgress(turn.reply)) silence(turn.key);
  if (soundKey !== null) silence(soundKey);
}

function toggleReplay(key) {
  const wasHeard = isSounding && soundKey === key;
  playback.flush();
  if (wasHeard) return;
  soundKey = key;
  const { audio } = transcript.turns.find((turn) => turn.key === key).reply;
  playback.replay(Uint8Array.from(atob(audio), (character) => character.charCodeAt(0)));
}

/** The transcript's name for a turn of the session that runs now. */
const keyOf = (turn) => `${transcript.sessions}.${turn}`;

// What is seen

let isDrawing = false;

/** Draw before the next frame; many changes in one frame are drawn once. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    view.draw({
      connection: session.state,
      elsewhere: isElsewhere(address, location.href) ? address.host : null,
      microphone: talk.state,
      canStopReply: isSounding || transcript.turns.some((turn) => isInProgress(turn.reply)),
      keyAsked,
      notices: notices(),
    });
    conversation.draw(transcript, isSounding ? soundKey : null);
  });
}

function report(kind, sentence) {
  problems[kind] = sentence;
  draw();
}

function notices() {
  const dismissible = ["microphone", "server", "loss"]
    .filter((kind) => problems[kind])
    .map((kind) => ({ text: problems[kind], action: "Dismiss", onAction: () => report(kind, null) }));
  const retry = session.state === "waiting" ? { action: "Try now", onAction: () => session.open() } : {};
  return [
    ...dismissible,
    ...(problems.connection && !problems.server && !keyAsked ? [{ text: problems.connection, ...retry }] : []),
    ...(isNetworkSlow ? [{ text: "The network is slow. Everything you say is kept and sent, only later." }] : []),
  ];
}

function choose(name, chosen) {
  settings = { ...settings, [name]: chosen };
  save(localStorage, settings);
  session.configure(settings);
  if (name === "speak" && !chosen) playback.flush();
}

const drawer = view.get("settings");
view.get("talk").onclick = toggleTalking;
view.get("ask-key").onsubmit = showKey;
view.get("done").onclick = finishTurn;
view.get("stop-reply").onclick = stopReply;
view.get("open-settings").onclick = () => drawer.showModal();
drawer.addEventListener("click", ({ target }) => {
  if (target === drawer) drawer.close(); // a click beside it
});
for (const name of ["reply", "speak"]) {
  view.get(name).checked = settings[name];
  view.get(name).onchange = ({ target }) => choose(name, target.checked);
}
const talkButton = view.get("talk");
listenToKeys(document, { talkButton, isBusy: () => drawer.open, toggleTalking, finishTurn, stopReply });
showDetails(view.get("scroll"), view.get("tooltip"));
window.addEventListener("pagehide", () => {
  talk.stop();
  playback.stop();
  session.stop();
});
draw();
