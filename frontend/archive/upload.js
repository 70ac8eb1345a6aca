/** Sends a file to be transcribed (tus 1.0), goes on after a lost connection, and follows its job to the end. */

import { isOk, readAnswer } from "../rest.js";
import { EventParser } from "./event-parser.js";
import * as state from "./upload-state.js";

/** Bytes of one request: small enough that a slow connection shows how it goes on. */
const PIECE_BYTES = 1 << 20;
const RETRY_MS = 1500;
const TUS = { "tus-resumable": "1.0.0" };

export class FileUpload {
  #rest;
  #file;
  #onChange;
  #stop = new AbortController();
  /** @type {state.Upload} */
  upload;

  /** @param {import("../rest.js").Rest} rest @param {File} file @param {(upload: state.Upload) => void} onChange */
  constructor(rest, file, onChange) {
    this.#rest = rest;
    this.#file = file;
    this.#onChange = onChange;
    this.upload = state.begin(file);
  }

  /** From the first byte to the end of the job. Never rejects. */
  async run() {
    try {
      if (!(await this.#create())) return;
      if (!(await this.#send())) return;
      await this.#follow();
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
    }
  }

  /** Stop it wherever it is; nothing of it is kept. */
  async cancel() {
    if (state.isOver(this.upload)) return;
    const { id, stage } = this.upload;
    this.#stop.abort();
    if (id === null) return this.#become(state.cancel(this.upload));
    const isSent = !["sending", "waiting"].includes(stage);
    const answer = await this.#rest.ask(isSent ? `jobs/${id}` : `recordings/uploads/${id}`, { method: "DELETE", headers: TUS });
    if (isOk(answer) || answer.status === 404) this.#become(state.cancel(this.upload));
    else this.#refuse(answer);
  }

  async #create() {
    const headers = { ...TUS, "upload-length": String(this.#file.size) };
    const answer = await this.#rest.ask("recordings/uploads", { method: "POST", headers, signal: this.#stop.signal });
    if (!isOk(answer)) return this.#refuse(answer);
    this.#become({ ...this.upload, id: answer.body.id });
    return true;
  }

  async #send() {
    let offset = 0;
    while (offset < this.#file.size) {
      const body = this.#file.slice(offset, offset + PIECE_BYTES);
      const headers = { ...TUS, "upload-offset": String(offset), "content-type": "application/offset+octet-stream" };
      const answer = await this.#rest.ask(this.#path, { method: "PATCH", headers, body, signal: this.#stop.signal });
      if (isOk(answer)) offset = Math.min(this.#file.size, offset + body.size);
      else if (!canGoOn(answer)) return this.#refuse(answer);
      else offset = await this.#offset();
      this.#become(state.progress(this.upload, offset));
    }
    return true;
  }

  /** How many bytes are there, once the server can be asked again. */
  async #offset() {
    for (;;) {
      this.#become(state.wait(this.upload));
      await delay(RETRY_MS, this.#stop.signal);
      const { status, headers } = await this.#rest.ask(this.#path, { method: "HEAD", headers: TUS, signal: this.#stop.signal });
      const offset = Number(headers.get("upload-offset"));
      if (status === 200) return headers.has("parley-recording") ? this.#file.size : offset;
      if (status !== 0 && status !== 503) return this.upload.sent;
    }
  }

  /** Until the job is over; a stream of events that breaks off is taken up again. */
  async #follow() {
    this.#become({ ...this.upload, stage: "queued", sent: this.#file.size });
    while (!state.isOver(this.upload)) {
      const response = await this.#rest.fetch(`jobs/${this.upload.id}/events`, { signal: this.#stop.signal }).catch(() => null);
      if (response && !response.ok && ![429, 503].includes(response.status)) return this.#refuse(await readAnswer(response));
      if (response?.ok && response.body) await this.#read(response.body).catch(() => null);
      if (!state.isOver(this.upload)) await delay(RETRY_MS, this.#stop.signal);
    }
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async #read(body) {
    const parser = new EventParser();
    const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const { event, data } of parser.push(value)) {
        if (event === "deleted") this.#become(state.cancel(this.upload));
        if (event === "job") this.#become(state.follow(this.upload, JSON.parse(data)));
      }
    }
  }

  get #path() {
    return `recordings/uploads/${this.upload.id}`;
  }

  /** @returns {false} */
  #refuse(answer) {
    this.#become(state.refuse(this.upload, answer));
    return false;
  }

  #become(upload) {
    this.upload = upload;
    this.#onChange(upload);
  }
}

/** Whether the same bytes may be sent again: nobody was reached, the server is full, or another offset is right. */
const canGoOn = ({ status }) => [0, 408, 409, 503].includes(status);

/** @param {number} ms @param {AbortSignal} signal */
function delay(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
