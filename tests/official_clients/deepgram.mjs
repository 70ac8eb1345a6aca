// `/v1/listen`, live and with a file, Flux and `/v1/speak` with npm's `@deepgram/sdk`: host, key, audio file. Prints what came.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { DeepgramClient } = require("@deepgram/sdk");
const [host, apiKey, file] = process.argv.slice(2);

const clientWith = (key) =>
  new DeepgramClient({
    apiKey: key,
    environment: { base: `http://${host}`, production: `ws://${host}`, agent: `ws://${host}`, agentRest: `http://${host}` },
  });
const client = clientWith(apiKey);
const piece = (sample) => new Int16Array(480).fill(sample); // 30 ms at 16 kHz

/** An open socket: what came over it, and waiting for a message. */
async function open(connection) {
  const talk = { messages: [], errors: [], connection };
  const waiting = [];
  connection.on("message", (message) => {
    talk.messages.push(message);
    for (const waiter of waiting) if (waiter.isThere(message)) waiter.resolve();
  });
  connection.on("error", (error) => talk.errors.push(String(error)));
  const closed = new Promise((resolve) => connection.on("close", (event) => resolve(event.code)));
  talk.until = (isThere) => new Promise((resolve) => waiting.push({ isThere, resolve }));
  talk.send = async (sample, times, paceMs = 0) => {
    for (let n = 0; n < times; n += 1) {
      connection.sendMedia(piece(sample));
      if (paceMs) await setTimeout(paceMs);
    }
  };
  talk.end = async () => {
    connection.sendCloseStream({ type: "CloseStream" });
    const code = await closed;
    connection.close();
    return { messages: talk.messages, errors: talk.errors, code };
  };
  connection.connect();
  await connection.waitForOpen();
  return talk;
}

/** Speech, a pause, speech that is finalized, and speech that the end of the stream finalizes. */
async function listen() {
  const query = { encoding: "linear16", sample_rate: "16000", interim_results: "true", vad_events: "true" };
  const terms = { keyterm: ["Siobhan", "Parley"], language: "en-US", utterance_end_ms: "1000" };
  const talk = await open(await client.listen.v1.connect({ model: "nova-3", ...query, ...terms }));
  talk.connection.sendKeepAlive({ type: "KeepAlive" });
  const ended = talk.until((message) => message.type === "UtteranceEnd");
  await talk.send(1, 30);
  await talk.send(0, 60);
  await ended;
  const finalized = talk.until((message) => message.from_finalize);
  await talk.send(1, 30);
  talk.connection.sendFinalize({ type: "Finalize" });
  await finalized;
  await talk.send(1, 30);
  return await talk.end();
}

/** A turn that ends by itself, another configuration, and a turn that the client ends. */
async function flux() {
  const query = { encoding: "linear16", sample_rate: 16000, eager_eot_threshold: 0.4, eot_threshold: 0.7 };
  const talk = await open(await client.listen.v2.connect({ model: "flux-general-en", ...query }));
  const ended = talk.until((message) => message.event === "EndOfTurn");
  await talk.send(1, 30);
  await talk.send(0, 120, 30); // in real time, so that the final comes before the silence is over
  await ended;
  const configured = talk.until((message) => message.type === "ConfigureSuccess");
  talk.connection.sendConfigure({ type: "Configure", thresholds: { eot_threshold: 0.8 }, keyterms: ["Siobhan"] });
  await configured;
  const forced = talk.until((message) => message.trigger === "manual");
  await talk.send(1, 30);
  talk.connection.sendForceEndTurn({ type: "ForceEndTurn" });
  await forced;
  return await talk.end();
}

/** A file, with the transcript of each utterance. */
async function transcribe() {
  const answer = await client.listen.v1.media.transcribeFile(readFileSync(file), { model: "nova-3", utterances: true });
  return { results: answer.results, metadata: answer.metadata };
}

/** What a wrong key gets over HTTP. */
async function refusal() {
  try {
    await clientWith("wrong").listen.v1.media.transcribeFile(readFileSync(file), { model: "nova-3", maxRetries: 0 });
    return null;
  } catch (error) {
    return { status: error.statusCode, body: error.body };
  }
}

/** A text as audio. */
async function speak() {
  const answer = await client.speak.v1.audio.generate({ text: "Hello there.", encoding: "linear16", container: "none" });
  return { bytes: (await answer.arrayBuffer()).byteLength };
}

const streams = { listen: await listen(), flux: await flux() };
const requests = { file: await transcribe(), refusal: await refusal(), speak: await speak() };
process.stdout.write(JSON.stringify({ ...streams, ...requests }));
process.exit(0);
