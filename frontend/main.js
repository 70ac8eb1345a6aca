/** The page: wires microphone, session, playback and views together. */

import { isOtherServer, socketAddress } from "./address.js";
import { recordingState, retention } from "./consent.js";
import { ConversationView } from "./conversation-view.js";
import { Credentials, subprotocols } from "./credentials.js";
import { bindShortcuts } from "./keyboard.js";
import { Microphone } from "./microphone.js";
import { decode, encode, level } from "./pcm.js";
import { Playback } from "./playback.js";
import { closeProblem, droppedSpeechNotice, foreignServerProblem, isSlow, keyProblem, resumingNotice } from "./problems.js";
import { cancel, end, played } from "./protocol.js";
import { ReplyRecordings } from "./recordings.js";
import { Session } from "./session.js";
import { keyTermsIn, load, save } from "./settings.js";
import { bindTooltips } from "./tooltip.js";
import { EMPTY, disconnect, dropRecording, isInProgress, receive } from "./transcript.js";
import { View } from "./view.js";

const REPLY_SAMPLE_RATE = 16_000; // the server's usual rate; each packet names its own

const { address, refused } = socketAddress(location.href, document.querySelector("meta[name=parley-ws]")?.content);
const view = new View(document);
const conversation = new ConversationView(document, toggleReplay);
const playback = new Playback(onPlaying, onPlayed);
const recordings = new ReplyRecordings();
const credentials = new Credentials(address, { storage: browserStorage(), fetch: (...request) => fetch(...request) });
const session = new Session(
  address,
  { onState, onMessage, onAudio, onDropped },
  { openSocket: (url) => new WebSocket(url, subprotocols(credentials.current)) },
);
const microphone = new Microphone({
  onState: onMicrophoneState,
  onFrame,
  onProblem: (sentence) => report("microphone", sentence),
});

let settings = load(localStorage);
let keyLabel = null; // the label of the key field, while the server requires a key
let transcript = EMPTY;
/** Codes that need no notice: a session without audio ends, and Talk begins the next. */
const EXPECTED_ERRORS = new Set(["session_idle", "resume_refused"]);
let isNetworkSlow = false;
let playingKey = null; // the turn whose reply is playing, or is about to
let isPlaying = false;
const silenced = new Set(); // turns whose further audio is dropped
const problems = { link: refused && foreignServerProblem(refused), microphone: null, server: null, connection: null, dropped: null };
let greeting = null; // the server's `session` message, while connected

// The user's speech

function toggleMicrophone() {
  if (microphone.state !== "off") return microphone.stop();
  for (const kind of Object.keys(problems)) if (kind !== "link") problems[kind] = null;
  playback.open(REPLY_SAMPLE_RATE);
  session.configure(wanted());
  microphone.start();
}

function endTurn() {
  microphone.flush();
  session.send(end());
}

function onMicrophoneState(state, before) {
  if (state === "asking") session.open(); // at the same time, because both take a moment
  if (state === "off") {
    // The server measures time in audio, so switching the microphone off ends the turn.
    if (before === "on") session.send(end());
    if (before === "on") session.stopReconnecting();
    else session.stop();
    isNetworkSlow = false;
    view.resetMeter();
  }
  draw();
}

function onFrame(samples, sampleRate) {
  session.sendAudio(encode(samples), sampleRate);
  view.updateMeter(level(samples));
  const isSlowNow = isSlow(session.bufferedBytes, sampleRate * 2, isNetworkSlow);
  if (isSlowNow === isNetworkSlow) return;
  isNetworkSlow = isSlowNow;
  draw();
}

// The connection

function onState(state, closeCode) {
  if (state === "ready") problems.connection = keyLabel = null;
  if (state === "waiting" || state === "refused") problems.connection = closeProblem(closeCode);
  if (state === "resuming") problems.connection = resumingNotice();
  if (["waiting", "refused", "closed"].includes(state)) transcript = disconnect(transcript);
  if (state !== "ready" && state !== "resuming") greeting = null;
  if (state === "refused") microphone.stop();
  draw();
}

function onMessage(message) {
  transcript = receive(transcript, message);
  if (message.type === "session") greet(message);
  if (message.type === "fullSentence") view.announce(message.text);
  if (message.type === "server_response") {
    view.announce(message.message);
    keepRecording(keyOf(message.turn), message.audio);
  }
  if (message.type === "replyStart") silenced.delete(keyOf(message.turn));
  if (["replyCancelled", "replyInterrupted", "replyPaused"].includes(message.type)) silence(keyOf(message.turn));
  if (["replyDucked", "replyRestored"].includes(message.type)) playback.duck(message.turn, message.type === "replyDucked");
  if (message.type === "replyResumed") goOn(message);
  if (message.type === "error" && message.code === "unauthorized") askForKey();
  else if (message.type === "error" && !EXPECTED_ERRORS.has(message.code)) problems.server = message.message;
  draw();
}

function greet(message) {
  greeting = message;
  if (!message.isResumed) silenced.clear();
  drawArchiveSwitch(message);
}

/** The server accepts neither what was kept nor what was typed, or there was nothing yet. */
function askForKey() {
  keyLabel = keyProblem(credentials.typedKey);
  credentials.forget();
}

/** Exchange the key that was typed for a token, and switch the microphone on. */
async function submitKey(event) {
  event.preventDefault();
  const field = view.get("key");
  keyLabel = await credentials.signIn(field.value.trim());
  if (keyLabel === null) {
    field.value = ""; // it is in memory alone from here on
    toggleMicrophone();
  }
  draw();
}

/** Undefined where the browser forbids it. */
function browserStorage() {
  try {
    return sessionStorage;
  } catch {
    return undefined;
  }
}

function onDropped() {
  report("dropped", droppedSpeechNotice());
}

// The reply

function onAudio({ turn, sampleRate }, pcm) {
  const key = keyOf(turn);
  if (silenced.has(key)) return;
  playingKey = key;
  playback.play(decode(pcm), sampleRate, turn);
}

/** The server keeps an interrupted reply up to the word that was heard. */
function onPlayed(turn, samples) {
  session.sendNow(played(turn, samples));
}

function onPlaying(playing) {
  isPlaying = playing;
  draw();
}

function silence(key) {
  silenced.add(key);
  if (playingKey === key) playback.flush();
}

/** Nothing came of the interruption: the server sends again what was not played. */
function goOn({ turn, samples }) {
  silenced.delete(keyOf(turn));
  playback.moveTo(turn, samples);
}

function stopReply() {
  session.sendNow(cancel());
  for (const turn of transcript.turns) if (isInProgress(turn.reply)) silence(turn.key);
  if (playingKey !== null) silence(playingKey);
}

function keepRecording(key, mp3) {
  if (!transcript.turns.find((turn) => turn.key === key)?.reply?.hasRecording) return; // none, or cancelled before
  for (const dropped of recordings.add(key, mp3)) transcript = dropRecording(transcript, dropped);
}

function toggleReplay(key) {
  const wasPlaying = isPlaying && playingKey === key;
  playback.flush();
  if (wasPlaying) return;
  playingKey = key;
  playback.replay(recordings.get(key));
}

/** What the server is told of every session: this page can go on with a reply that was paused. */
const wanted = () => ({ ...settings, pauses: true });

/** The transcript's key for a turn of the current session. */
const keyOf = (turn) => `${transcript.sessions}.${turn}`;

// The views

let isDrawing = false;

/** Draw before the next frame; many changes in one frame are drawn once. */
function draw() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    view.draw({
      connection: session.state,
      recording: recordingState(greeting, settings.archive),
      otherServer: isOtherServer(address, location.href) ? address.host : null,
      microphone: microphone.state,
      canStopReply: isPlaying || transcript.turns.some((turn) => isInProgress(turn.reply)),
      keyLabel,
      notices: notices(),
    });
    conversation.draw(transcript, isPlaying ? playingKey : null);
  });
}

function report(kind, sentence) {
  problems[kind] = sentence;
  draw();
}

function notices() {
  const dismissible = ["link", "microphone", "server", "dropped"]
    .filter((kind) => problems[kind])
    .map((kind) => ({ text: problems[kind], action: "Dismiss", onAction: () => report(kind, null) }));
  const retry = ["waiting", "resuming"].includes(session.state) ? { action: "Try now", onAction: () => session.open() } : {};
  return [
    ...dismissible,
    ...(problems.connection && !problems.server && !keyLabel ? [{ text: problems.connection, ...retry }] : []),
    ...(isNetworkSlow ? [{ text: "The network is slow. Everything you say is kept and sent, only later." }] : []),
  ];
}

function changeSetting(name, value) {
  settings = { ...settings, [name]: value };
  save(localStorage, settings);
  session.configure(wanted());
  if (name === "speak" && !value) playback.flush();
}

/** Consent holds for a whole session: what is said from now on belongs to a new one. */
function changeConsent(archive) {
  settings = { ...settings, archive };
  save(localStorage, settings);
  transcript = disconnect(transcript);
  playback.flush();
  session.restart(wanted());
  draw();
}

/** @param {?{archive: ?boolean, keepDays: ?number}} message what the server does, where it has said so */
function drawArchiveSwitch(message) {
  view.get("archive").checked = settings.archive ?? message?.archive ?? true;
  const kept = message ? `What is recorded is ${retention(message.keepDays)}. ` : "";
  view.get("archive-note").textContent = `${kept}Off: nothing is kept from then on. A change begins a new session.`;
}

const drawer = view.get("settings");
const talkButton = view.get("talk");
talkButton.onclick = toggleMicrophone;
view.get("key-form").onsubmit = submitKey;
view.get("end-turn").onclick = endTurn;
view.get("stop-reply").onclick = stopReply;
view.get("open-settings").onclick = () => drawer.showModal();
drawer.addEventListener("click", ({ target }) => {
  if (target === drawer) drawer.close(); // a click on the backdrop
});
for (const name of ["reply", "speak"]) {
  view.get(name).checked = settings[name];
  view.get(name).onchange = ({ target }) => changeSetting(name, target.checked);
}
view.get("key-terms").value = (settings.keyTerms ?? []).join(", ");
view.get("key-terms").onchange = ({ target }) => changeSetting("keyTerms", keyTermsIn(target.value));
drawArchiveSwitch(null);
view.get("archive").onchange = ({ target }) => changeConsent(target.checked);
bindShortcuts(document, { talkButton, isBusy: () => drawer.open, toggleMicrophone, endTurn, stopReply });
bindTooltips(view.get("scroll"), view.get("tooltip"));
window.addEventListener("pagehide", () => {
  microphone.stop();
  playback.stop();
  session.stop();
});
draw();
