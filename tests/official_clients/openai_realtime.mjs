// A conversation with npm's `openai`, whose Realtime needs TLS: base URL, key. Prints the events.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { OpenAI } = require("openai");
const { OpenAIRealtimeWS } = require("openai/realtime/ws");
const [baseURL, apiKey] = process.argv.slice(2);

const realtime = new OpenAIRealtimeWS({ model: "gpt-realtime" }, new OpenAI({ baseURL, apiKey }));
const seen = [];
const waiting = new Map();
realtime.on("event", (event) => {
  seen.push(event);
  waiting.get(event.type)?.();
});
realtime.on("error", () => {}); // it is among the events
const until = (kind) => new Promise((resolve) => waiting.set(kind, resolve));
const tenth = (sample) => Buffer.from(new Int16Array(2400).fill(sample).buffer).toString("base64");

await until("session.created");
const input = { transcription: { model: "whisper-1" }, turn_detection: { type: "server_vad", silence_duration_ms: 300 } };
realtime.send({ type: "session.update", session: { type: "realtime", audio: { input } } });
await until("session.updated");
for (let at = 0; at < 14; at++) {
  realtime.send({ type: "input_audio_buffer.append", audio: tenth(at < 6 ? 4096 : 0) });
}
await until("response.done");
realtime.send({ type: "response.cancel", event_id: "mine" });
await until("error");
realtime.close();
process.stdout.write(JSON.stringify(seen));
process.exit(0);
