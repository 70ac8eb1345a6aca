/**
 * The connection: opens, reconnects, and keeps what is said in between.
 *
 * States: `closed` nobody wants it, `connecting`, `ready` the server greeted us, `waiting`
 * before the next attempt, `refused` for good. What is sent before `ready` is held for up to
 * 30 seconds of speech; then the oldest is dropped and `onLoss` told, so nothing is lost silently.
 */

import { CloseCode, configure, parse, unpack } from "./protocol.js";
import { retryAfterMs } from "./explain.js";

/** WebSocket.OPEN; beyond it the socket is closing or closed. */
const OPEN = 1;
const HOLD_MS = 30_000;

export class Session {
  #address;
  #openSocket;
  #random;
  #on;
  #settings = {};
  #socket = null;
  #state = "closed";
  #wanted = false;
  #attempt = 0;
  #timer = null;
  #held = [];

  /**
   * @param {URL} address
   * @param {{onState: (state: string, closeCode?: number) => void, onMessage: (message: object) => void,
   *          onAudio: (metadata: object, pcm: Uint8Array) => void, onLoss: () => void}} listeners
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
  get waitingBytes() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /** Connect and stay connected; an attempt that waits is made now. */
  open() {
    this.#wanted = true;
    if (this.#socket === null) this.#connect();
  }

  /** Nothing more will be said for now: keep the connection, but do not win it back. */
  rest() {
    this.#wanted = false;
  }

  /** Tell the server how to behave, now and after every reconnect. */
  configure(settings) {
    this.#settings = settings;
    if (this.#canSend) this.#socket.send(configure(settings));
  }

  /**
   * Send in order; hold while there is no server, unless it refused us for good.
   * @param {Uint8Array | string} frame
   * @param {number} [spokenMs] milliseconds of speech in it
   */
  send(frame, spokenMs = 0) {
    if (this.#canSend) {
      this.#socket.send(frame);
      return;
    }
    if (this.#state === "refused") return;
    this.#held.push({ frame, spokenMs });
    let heldMs = this.#held.reduce((sum, held) => sum + held.spokenMs, 0);
    while (heldMs > HOLD_MS) {
      heldMs -= this.#held.shift().spokenMs;
      this.#on.onLoss();
    }
  }

  /** Send where it makes sense only now: an order about a connection that is gone has no meaning. */
  sendNow(frame) {
    if (this.#canSend) this.#socket.send(frame);
  }

  /** Greeted, and not closing: what is sent into a closing socket is lost without a word. */
  get #canSend() {
    return this.#state === "ready" && !(this.#socket.readyState > OPEN);
  }

  /** Close for good and forget what was held. */
  stop() {
    this.#wanted = false;
    this.#held = [];
    clearTimeout(this.#timer);
    if (this.#socket) this.#socket.close(CloseCode.NORMAL);
    else this.#become("closed");
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#become("connecting");
    const socket = this.#openSocket(this.#address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code }) => this.#lose(code);
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
    if (message.type === "session") this.#greet();
    this.#on.onMessage(message);
  }

  /** The greeting, not the open socket, means that there is room for us. */
  #greet() {
    this.#attempt = 0;
    this.#socket.send(configure(this.#settings));
    for (const { frame } of this.#held) this.#socket.send(frame);
    this.#held = [];
    this.#become("ready");
  }

  #lose(code) {
    this.#socket = null;
    const isNeeded = this.#wanted || this.#held.length > 0;
    const delay = retryAfterMs(code, this.#attempt, this.#random());
    if (delay === null) {
      this.#held = [];
      this.#become("refused", code);
    } else if (isNeeded) {
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#become("waiting", code);
    } else {
      this.#become("closed", code);
    }
  }

  #become(state, closeCode) {
    this.#state = state;
    this.#on.onState(state, closeCode);
  }
}
