// A spoken conversation with @openai/agents-realtime in Node, with its own session settings: WebSocket URL, key.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession } = require("@openai/agents-realtime");
const [url, apiKey] = process.argv.slice(2);

const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
const session = new RealtimeSession(new RealtimeAgent({ name: "Voice" }), { transport, model: "gpt-realtime" });
const kinds = [];
const errors = [];
session.on("error", (error) => errors.push(JSON.stringify(error)));
transport.on("*", (event) => kinds.push(event.type));
const once = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));
const first = (kind) =>
  new Promise((resolve) => transport.on("*", (event) => { if (event.type === kind) resolve(event); }));
const tenth = (sample) => new Int16Array(2400).fill(sample).buffer;
const say = (speech, silence) => {
  for (let at = 0; at < speech + silence; at++) session.sendAudio(tenth(at < speech ? 4096 : 0));
};

await session.connect({ apiKey });
const audio = once(session, "audio");
say(6, 20);
const { data } = await audio;
const interrupted = once(session, "audio_interrupted");
const done = first("response.done");
say(12, 0);
const { response } = await done;
await interrupted;
await Promise.race([first("conversation.item.truncated"), new Promise((resolve) => setTimeout(resolve, 500))]);
session.close();
process.stdout.write(JSON.stringify({ kinds, errors, bytes: data.byteLength, response }));
process.exit(0);
