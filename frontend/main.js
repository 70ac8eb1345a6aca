/** The page: wires microphone, session, playback and views together. */

import { isOtherServer, socketAddress } from "./address.js";
import { dress, show } from "./appearance.js";
import { bindComposer } from "./composer.js";
import { recordingState } from "./consent.js";
import { ConversationView } from "./conversation-view.js";
import { Credentials, subprotocols } from "./credentials.js";
import { Hold } from "./hold.js";
import { bindShortcuts, bindTalkButton } from "./keyboard.js";
import { Microphone } from "./microphone.js";
import { noticesOf } from "./notices.js";
import { encode, level } from "./pcm.js";
import { closeProblem, droppedSpeechNotice, foreignServerProblem, isSlow, keyProblem, resumingNotice, serverProblem } from "./problems.js";
import { cancel, end, text as textMessage } from "./protocol.js";
import { ReplyPlayer } from "./reply-player.js";
import { Rest } from "./rest.js";
import { describeServer } from "./server-description.js";
import { Session } from "./session.js";
import { SettingsView } from "./settings-view.js";
import { CONFIGURED, OF_SESSION, load, save, sessionSettings } from "./settings.js";
import { t } from "./strings.js";
import { bindTooltips } from "./tooltip.js";
import { bindTranscriptPanel } from "./transcript-panel.js";
import { EMPTY, disconnect, dropRecording, isInProgress, noteSound, noteSpoken, receive, type } from "./transcript.js";
import { View } from "./view.js";

/** How long the page says that it is connected again. */
const RESUMED_NOTICE_MS = 4000;

let settings = load(localStorage);
await dress(settings);

const { address, refused } = socketAddress(location.href, document.querySelector("meta[name=parley-ws]")?.getAttribute("content"));
const view = new View(document);
const get = (id) => view.get(id);
const conversation = new ConversationView(document, (key) => player.toggle(key));
const player = new ReplyPlayer({ keyOf, send: (message) => session.sendNow(message), onPlaying });
const hold = new Hold({ press, release, expire: () => microphone.stop() });
const credentials = new Credentials(address, { storage: browserStorage(), fetch: (...request) => fetch(...request) });
const rest = new Rest(address, () => credentials.typedKey || credentials.current);
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

let keyLabel = null; // the label of the key field, while the server requires a key
let afterKey = toggleMicrophone; // what the key was needed for
let transcript = EMPTY;
let isNetworkSlow = false;
const problems = { link: refused && foreignServerProblem(refused), microphone: null, server: null, connection: null, dropped: null };
let greeting = null; // the server's `session` message, while connected
let resumedAt = -Infinity;

// The user's speech and text

function toggleMicrophone() {
  if (microphone.state !== "off") return microphone.stop();
  begin();
  microphone.start(settings.microphone);
}

/** Before the first word; within a click or key press. */
function begin() {
  for (const kind of Object.keys(problems)) if (kind !== "link") problems[kind] = null;
  player.open();
  session.configure(sessionSettings(settings));
}

function press() {
  if (microphone.state === "off") toggleMicrophone();
  draw();
}

function release() {
  if (microphone.state === "on") endTurn();
  view.resetMeter();
  draw();
}

function endTurn() {
  microphone.flush();
  session.send(end());
}

function sendText(text) {
  afterKey = () => session.open();
  if (session.state !== "ready") begin();
  session.open();
  session.send(textMessage(text));
  transcript = type(transcript, text);
  draw();
}

function onMicrophoneState(state, before) {
  if (state === "asking") {
    afterKey = toggleMicrophone;
    session.open(); // at the same time, because both take a moment
  }
  if (state === "off") {
    // The server measures time in audio, so switching the microphone off ends the turn.
    if (before === "on") session.send(end());
    if (before === "on") session.stopReconnecting();
    else if (transcript.typed.length === 0) session.stop();
    isNetworkSlow = false;
    hold.reset();
    view.resetMeter();
  }
  draw();
}

function onFrame(samples, sampleRate) {
  if (settings.hold && !hold.isHeld) return;
  session.sendAudio(encode(samples), sampleRate);
  view.updateMeter(level(samples));
  const isSlowNow = isSlow(session.bufferedBytes, sampleRate * 2, isNetworkSlow);
  if (isSlowNow === isNetworkSlow) return;
  isNetworkSlow = isSlowNow;
  draw();
}

/** What is on the page goes, and what is said next belongs to a new session. */
function startAnew() {
  player.silence(null);
  transcript = { ...EMPTY, sessions: transcript.sessions };
  session.restart(sessionSettings(settings));
  get("talk").focus();
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
  const now = performance.now();
  transcript = receive(transcript, message, now);
  const key = keyOf(message.turn);
  switch (message.type) {
    case "session":
      greet(message);
      break;
    case "fullSentence":
      view.announce(`${t("who.user")}: ${message.text}`);
      break;
    case "server_response":
      if (!settings.speak || message.audio === "") view.announce(`${t("who.parley")}: ${message.message}`); // else it is spoken
      keepRecording(key, message.audio);
      break;
    case "replyStart":
      player.begin(key);
      break;
    case "replyCancelled":
    case "replyInterrupted":
      noteInterruption(key, now);
      player.silence(key);
      break;
    case "replyPaused":
      player.silence(key);
      break;
    case "replyDucked":
    case "replyRestored":
      player.duck(message.turn, message.type === "replyDucked");
      break;
    case "replyResumed":
      player.resume(message.turn, message.samples);
      break;
    case "error":
      if (message.code === "unauthorized") askForKey();
      else if (message.code === "unknown_profile") changeSetting("profile", undefined);
      else problems.server = serverProblem(message) ?? problems.server;
      break;
  }
  draw();
}

function greet(message) {
  greeting = message;
  if (!message.isResumed) player.forget();
  else {
    resumedAt = performance.now();
    setTimeout(draw, RESUMED_NOTICE_MS);
  }
  settingsView.draw(settings, message);
}

/** The server accepts neither what was kept nor what was typed, or there was nothing yet. */
function askForKey() {
  keyLabel = keyProblem(credentials.typedKey);
  credentials.forget();
}

/** Exchange the key that was typed for a token, and do what it was needed for. */
async function submitKey(event) {
  event.preventDefault();
  const field = get("key");
  keyLabel = await credentials.signIn(field.value.trim());
  if (keyLabel === null) {
    field.value = ""; // it is in memory alone from here on
    describe();
    afterKey();
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
  player.play(turn, sampleRate, pcm);
}

function onPlaying(isPlaying) {
  if (isPlaying) transcript = noteSound(transcript, player.playingKey, performance.now());
  if (isPlaying) lightWords();
  draw();
}

/** While a reply is playing, light its words as they are spoken. */
function lightWords() {
  const key = player.playingKey;
  if (key === null) return;
  const reply = replyOf(key);
  if (reply) conversation.light(key, player.spokenCharacters(reply, performance.now()));
  requestAnimationFrame(lightWords);
}

function noteInterruption(key, now) {
  const reply = replyOf(key);
  const characters = reply && player.interruptedAt(key, reply, now);
  if (typeof characters === "number") transcript = noteSpoken(transcript, key, characters);
}

function stopReply() {
  session.sendNow(cancel());
  for (const turn of transcript.turns) if (isInProgress(turn.reply)) player.silence(turn.key);
  player.silence(null);
}

function keepRecording(key, mp3) {
  if (!replyOf(key)?.hasRecording) return; // none, or cancelled before
  for (const dropped of player.keep(key, mp3)) transcript = dropRecording(transcript, dropped);
}

const replyOf = (key) => transcript.turns.find((turn) => turn.key === key)?.reply;

/** The transcript's key for a turn of the current session. */
function keyOf(turn) {
  return `${transcript.sessions}.${turn}`;
}

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
      isResumed: performance.now() - resumedAt < RESUMED_NOTICE_MS,
      recording: recordingState(greeting, settings.archive),
      otherServer: isOtherServer(address, location.href) ? address.host : null,
      microphone: microphone.state,
      activity: activity(),
      hold: settings.hold ? (hold.isHeld ? "held" : "released") : null,
      canStopReply: player.playingKey !== null || transcript.turns.some((turn) => isInProgress(turn.reply)),
      canAnswer: settings.reply,
      keyLabel,
      hasTurns: transcript.turns.length > 0,
      notices: noticesOf(problems, {
        connection: session.state,
        isKeyWanted: keyLabel !== null,
        isNetworkSlow,
        dismiss: (kind) => report(kind, null),
        retry: () => session.open(),
      }),
    });
    get("recording-note").textContent = t(settings.archive === false ? "welcome.not-recorded" : "welcome.recorded");
    conversation.draw(transcript, player.playingKey);
  });
}

function activity() {
  if (player.playingKey !== null) return "speaking";
  const isWaiting = transcript.turns.at(-1)?.reply?.progress === "waiting" || transcript.typed.length > 0;
  if (isWaiting && session.state === "ready") return "thinking";
  return microphone.state === "on" ? "listening" : "idle";
}

function report(kind, sentence) {
  problems[kind] = sentence;
  draw();
}

/** @param {string} name @param {any} value undefined: as it is where nobody decides */
function changeSetting(name, value) {
  const isForgotten = value === undefined && settings[name] !== undefined;
  settings = { ...settings, [name]: value };
  save(localStorage, settings);
  if (name === "interface") return location.reload(); // which loses nothing but this page's own transcript
  if (name === "speak" && !value) player.flush();
  if (name === "loudspeaker") player.useDevice(value ?? "");
  if (name === "hold") microphone.stop();
  useProfile();
  show(settings);
  // The server keeps what it was told; what it is told no more, and consent, hold from the next session on.
  if (OF_SESSION.includes(name) || (isForgotten && name === "language")) beginSession();
  else if (CONFIGURED.includes(name)) session.configure(sessionSettings(settings));
  settingsView.draw(settings, greeting);
  draw();
}

/** What is said from now on belongs to a new session. */
function beginSession() {
  transcript = disconnect(transcript);
  player.flush();
  session.restart(sessionSettings(settings));
}

function describe() {
  describeServer(rest, { get, settingsView, conversation });
}

function useProfile() {
  if (settings.profile) address.searchParams.set("profile", settings.profile);
  else address.searchParams.delete("profile");
}

async function openRoutes() {
  get("routes").showModal();
  const { drawRoutes } = await import("./routes-panel.js");
  await drawRoutes(get("routes-content"), rest);
}

const talkButton = get("talk");
const settingsView = new SettingsView(get, settings, changeSetting);
const holding = { isHolding: () => settings.hold === true, isHeld: () => hold.isHeld, press: () => hold.press(), release: () => hold.release(), toggleMicrophone };
useProfile();
player.useDevice(settings.loudspeaker ?? "");
bindTalkButton(talkButton, holding);
bindShortcuts(document, { ...holding, talkButton, isBusy: () => document.querySelector("dialog[open]") !== null, endTurn, stopReply });
bindComposer(get, sendText);
bindTranscriptPanel(get, () => transcript);
bindTooltips(get("scroll"), get("tooltip"));
get("key-form").onsubmit = submitKey;
get("end-turn").onclick = endTurn;
get("stop-reply").onclick = stopReply;
get("new-conversation").onclick = startAnew;
get("open-routes").onclick = openRoutes;
get("captions").onclick = () => {
  changeSetting("captions", !settings.captions);
  conversation.follow();
};
for (const drawer of document.querySelectorAll("dialog")) {
  drawer.addEventListener("click", ({ target }) => {
    if (target === drawer) drawer.close(); // a click on the backdrop
  });
}
window.addEventListener("pagehide", () => {
  microphone.stop();
  player.stop();
  session.stop();
});
describe();
draw();
