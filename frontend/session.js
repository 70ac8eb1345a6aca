/**
 * The WebSocket session: connects, comes back with backoff, and keeps what has not arrived.
 *
 * States: `closed` not wanted, `connecting`, `ready` after the server's `session` message, `waiting`
 * for the next attempt to begin another session, `resuming` this one after its connection was lost,
 * `refused` for good. What has not arrived is kept, up to 30 seconds of speech, and sent over the
 * next connection; then the oldest is dropped and `onDropped` called, so nothing is lost silently.
 */

import { CloseCode, configure, parse, received, resume, unpack } from "./protocol.js";
import { retryAfterMs } from "./problems.js";
import { SentInput } from "./sent-input.js";

/** @typedef {"closed" | "connecting" | "ready" | "waiting" | "resuming" | "refused"} State */
/**
 * What a session calls. `onState`: the new state, and the close code where a connection has ended. `onMessage`: each
 * message of the server that MESSAGES of protocol.js names, with all its fields; `session` has `isResumed` besides.
 * `onAudio`: a piece of a reply, mono PCM16, with `turn`, `sampleRate` and perhaps `start`. `onDropped`: a piece of speech
 * was dropped, because the server could not be reached for too long.
 * @typedef {{onState: (state: State, closeCode?: number) => void, onMessage: (message: object) => void,
 *            onAudio: (metadata: {turn: number, sampleRate: number, start?: number}, pcm: Uint8Array) => void,
 *            onDropped: () => void}} Listeners
 */

/** WebSocket.OPEN; beyond it the socket is closing or closed. */
const OPEN = 1;
/** Messages of the server between two confirmations. */
const CONFIRM_EVERY = 8;
/** A server that says nothing for so long, while it is sent speech or is to resume, is not there any more. */
const SILENCE_MS = 5000;
/** Close codes of a connection that was closed on purpose; any other was lost. */
const LEFT = new Set([1000, 1001, 1008, 1009, 1011, 1012, 1013]);

export class Session {
  #address;
  #openSocket;
  #random;
  #now;
  #on;
  #settings = {};
  #socket = null;
  /** @type {State} */
  #state = "closed";
  #shouldReconnect = false;
  #attempt = 0;
  #timer = null;
  #sent = new SentInput();
  #isRestarting = false;
  #offer = null; // the session that can be resumed: its id and token
  #isResuming = false;
  #mustConfigure = false;
  #received = 0; // number of the server's newest message
  #confirmed = 0;
  #heardAt = 0;

  /**
   * Nothing is connected yet.
   * @param {URL} address ws: or wss:, with the path `/ws/transcribe`
   * @param {Listeners} listeners
   * @param {{openSocket?: (address: URL) => WebSocket, random?: () => number, now?: () => number}} [given]
   */
  constructor(
    address,
    listeners,
    { openSocket = (url) => new WebSocket(url), random = Math.random, now = () => performance.now() } = {},
  ) {
    this.#address = address;
    this.#on = listeners;
    this.#openSocket = openSocket;
    this.#random = random;
    this.#now = now;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** Bytes the network has not taken yet. */
  get bufferedBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Connect and stay connected; an attempt that is scheduled is made now. */
  open() {
    this.#shouldReconnect = true;
    if (this.#socket === null) this.#connect();
  }

  /** Keep the connection while it lasts, but do not reconnect. */
  stopReconnecting() {
    this.#shouldReconnect = false;
  }

  /**
   * Send these settings, now and at the beginning of every session.
   * @param {object} settings the fields of `configure`
   */
  configure(settings) {
    this.#settings = settings;
    if (this.#canSend) this.#socket.send(configure(settings));
    else this.#mustConfigure = true;
  }

  /**
   * Begin a new session with these settings, for those that hold for a whole session. What is sent
   * meanwhile is kept for it.
   * @param {object} settings the fields of `configure`
   */
  restart(settings) {
    this.#settings = settings;
    this.#offer = null;
    if (this.#socket === null) return;
    this.#isRestarting = true;
    this.#setState("connecting");
    this.#socket.close(CloseCode.NORMAL);
  }

  /** Send a message in its order; later while not `ready`, unless the server refused us for good. @param {string} text */
  send(text) {
    if (this.#state === "refused") return;
    this.#sent.addMessage(text);
    this.#flush();
  }

  /** The same with audio. @param {Uint8Array} pcm @param {number} sampleRate */
  sendAudio(pcm, sampleRate) {
    if (this.#state === "refused") return;
    for (let dropped = this.#sent.addAudio(pcm, sampleRate); dropped > 0; dropped -= 1) this.#on.onDropped();
    this.#flush();
    const isSilent = this.#canSend && this.#sent.isAwaited && this.#now() - this.#heardAt > SILENCE_MS;
    if (isSilent && this.#offer) this.#abandon();
  }

  /** Send if `ready`, else drop: for what is about this connection only, such as `cancel`. @param {string} frame */
  sendNow(frame) {
    if (this.#canSend) this.#socket.send(frame);
  }

  /** Ready, and not closing: what is sent into a closing socket is lost without an error. */
  get #canSend() {
    return this.#state === "ready" && !(this.#socket.readyState > OPEN);
  }

  /** Close for good, and drop what has not arrived. */
  stop() {
    this.#shouldReconnect = false;
    this.#offer = null;
    this.#sent.clear();
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close(CloseCode.NORMAL);
    else this.#setState("closed");
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#isResuming = this.#offer !== null;
    this.#setState(this.#isResuming ? "resuming" : "connecting");
    const address = new URL(this.#address);
    address.searchParams.set("resume", this.#offer?.id ?? "new");
    const socket = this.#openSocket(address);
    socket.binaryType = "arraybuffer";
    if (this.#isResuming) {
      socket.onopen = () => socket.send(resume(this.#offer.token, this.#received));
      this.#timer = setTimeout(() => this.#abandon(), SILENCE_MS);
    }
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#handleClose(code);
    this.#socket = socket;
  }

  /** The connection is dead, and does not know it: closing it would take as long. */
  #abandon() {
    const socket = this.#socket;
    socket.onmessage = socket.onclose = null;
    socket.close();
    this.#handleClose(CloseCode.LOST);
  }

  #receive(frame) {
    this.#heardAt = this.#now();
    if (typeof frame !== "string") {
      const { metadata, pcm } = unpack(frame);
      if (metadata.type === "replyAudio" && this.#isNew(metadata.seq)) this.#on.onAudio(metadata, pcm);
      return;
    }
    const message = parse(frame);
    if (message === null) return;
    if (message.type === "session") return this.#start(message);
    if (message.type === "received") return this.#sent.confirm(message.samples, message.messages);
    if (!this.#isNew(message.seq)) return;
    if (message.type === "error" && message.code === "resume_refused") this.#offer = null;
    this.#on.onMessage(message);
  }

  /** False for what came before, over another connection. */
  #isNew(seq) {
    if (!Number.isInteger(seq)) return true;
    if (seq <= this.#received) return false;
    this.#received = seq;
    if (seq >= this.#confirmed + CONFIRM_EVERY) {
      this.#confirmed = seq;
      this.#socket.send(received(seq));
    }
    return true;
  }

  /** The `session` message, not the open socket, means that the server has room. */
  #start(message) {
    clearTimeout(this.#timer);
    this.#attempt = 0;
    const { resume: offer } = message;
    this.#offer = offer && { id: message.id, token: offer.token };
    if (this.#isResuming) {
      this.#sent.confirm(offer.samples, offer.messages);
    } else {
      this.#received = this.#confirmed = 0;
      this.#sent.renumber();
    }
    if (!this.#isResuming || this.#mustConfigure) this.#socket.send(configure(this.#settings));
    this.#mustConfigure = false;
    this.#setState("ready");
    this.#flush();
    this.#on.onMessage({ ...message, isResumed: this.#isResuming });
  }

  #flush() {
    if (!this.#canSend) return;
    for (const frame of this.#sent.takeUnsent()) this.#socket.send(frame);
    if (this.#offer === null) this.#sent.forgetSent(); // because nothing confirms it
  }

  #handleClose(code) {
    clearTimeout(this.#timer);
    this.#socket = null;
    const isRefused = this.#isResuming && this.#offer === null; // the session is over, and another begins
    const isLost = this.#offer !== null && !LEFT.has(code);
    if (!isLost) this.#offer = null;
    if (isLost || isRefused) this.#sent.unsend();
    else this.#sent.forgetSent();
    const isNeeded = this.#shouldReconnect || !this.#sent.isEmpty;
    const isRestarting = this.#isRestarting;
    this.#isRestarting = false;
    if ((isRestarting || isRefused) && isNeeded) return this.#connect();
    const delay = retryAfterMs(code, this.#attempt, this.#random());
    if (delay === null) {
      this.#sent.clear();
      this.#setState("refused", code);
    } else if (isNeeded) {
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#setState(isLost ? "resuming" : "waiting", code);
    } else {
      this.#setState("closed", code);
    }
  }

  #setState(state, closeCode) {
    this.#state = state;
    this.#on.onState(state, closeCode);
  }
}
