/**
 * The WebSocket session: connects, reconnects with backoff, and queues what is sent in between.
 *
 * States: `closed` not wanted, `connecting`, `ready` after the server's `session` message, `waiting`
 * for the next attempt, `refused` for good. What is sent before `ready` is queued, up to 30 seconds
 * of speech; then the oldest is dropped and `onDropped` called, so nothing is lost silently.
 */

import { CloseCode, configure, parse, unpack } from "./protocol.js";
import { retryAfterMs } from "./problems.js";

/** WebSocket.OPEN; beyond it the socket is closing or closed. */
const OPEN = 1;
const MAX_QUEUED_MS = 30_000;

export class Session {
  #address;
  #openSocket;
  #random;
  #on;
  #settings = {};
  #socket = null;
  #state = "closed";
  #shouldReconnect = false;
  #attempt = 0;
  #timer = null;
  #queue = [];
  #isRestarting = false;

  /**
   * @param {URL} address
   * @param {{onState: (state: string, closeCode?: number) => void, onMessage: (message: object) => void,
   *          onAudio: (metadata: object, pcm: Uint8Array) => void, onDropped: () => void}} listeners
   * @param {{openSocket?: (address: URL) => WebSocket, random?: () => number}} [given]
   */
  constructor(address, listeners, { openSocket = (url) => new WebSocket(url), random = Math.random } = {}) {
    this.#address = address;
    this.#on = listeners;
    this.#openSocket = openSocket;
    this.#random = random;
  }

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

  /** Send these settings, now and after every reconnect. */
  configure(settings) {
    this.#settings = settings;
    if (this.#canSend) this.#socket.send(configure(settings));
  }

  /**
   * Begin a new session with these settings, for those that hold for a whole session. What is sent
   * meanwhile is queued for it.
   */
  restart(settings) {
    this.#settings = settings;
    if (this.#socket === null) return;
    this.#isRestarting = true;
    this.#setState("connecting");
    this.#socket.close(CloseCode.NORMAL);
  }

  /**
   * Send in order; queue while not `ready`, unless the server refused us for good.
   * @param {Uint8Array | string} frame
   * @param {number} [spokenMs] milliseconds of speech in it
   */
  send(frame, spokenMs = 0) {
    if (this.#canSend) {
      this.#socket.send(frame);
      return;
    }
    if (this.#state === "refused") return;
    this.#queue.push({ frame, spokenMs });
    let queuedMs = this.#queue.reduce((sum, queued) => sum + queued.spokenMs, 0);
    while (queuedMs > MAX_QUEUED_MS) {
      queuedMs -= this.#queue.shift().spokenMs;
      this.#on.onDropped();
    }
  }

  /** Send if `ready`, else drop: for what is about this connection only, such as `cancel`. */
  sendNow(frame) {
    if (this.#canSend) this.#socket.send(frame);
  }

  /** Ready, and not closing: what is sent into a closing socket is lost without an error. */
  get #canSend() {
    return this.#state === "ready" && !(this.#socket.readyState > OPEN);
  }

  /** Close for good and drop the queue. */
  stop() {
    this.#shouldReconnect = false;
    this.#queue = [];
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close(CloseCode.NORMAL);
    else this.#setState("closed");
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#setState("connecting");
    const socket = this.#openSocket(this.#address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#handleClose(code);
    this.#socket = socket;
  }

  #receive(frame) {
    if (typeof frame !== "string") {
      const { metadata, pcm } = unpack(frame);
      if (metadata.type === "replyAudio") this.#on.onAudio(metadata, pcm);
      return;
    }
    const message = parse(frame);
    if (message === null) return;
    if (message.type === "session") this.#start();
    this.#on.onMessage(message);
  }

  /** The `session` message, not the open socket, means that the server has room. */
  #start() {
    this.#attempt = 0;
    this.#socket.send(configure(this.#settings));
    for (const { frame } of this.#queue) this.#socket.send(frame);
    this.#queue = [];
    this.#setState("ready");
  }

  #handleClose(code) {
    this.#socket = null;
    const isNeeded = this.#shouldReconnect || this.#queue.length > 0;
    const isRestarting = this.#isRestarting;
    this.#isRestarting = false;
    if (isRestarting && isNeeded) return this.#connect();
    const delay = retryAfterMs(code, this.#attempt, this.#random());
    if (delay === null) {
      this.#queue = [];
      this.#setState("refused", code);
    } else if (isNeeded) {
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#setState("waiting", code);
    } else {
      this.#setState("closed", code);
    }
  }

  #setState(state, closeCode) {
    this.#state = state;
    this.#on.onState(state, closeCode);
  }
}
