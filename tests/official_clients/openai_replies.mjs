// Speech and chat with npm's `openai`: base URL, key, what of the two.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { OpenAI } = require("openai");
const [baseURL, apiKey, what] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

async function speech() {
  const options = { model: "tts-1", voice: "alloy", input: "One. Two.", response_format: "wav" };
  const answer = await client.audio.speech.create(options);
  return [answer.headers.get("content-type"), (await answer.arrayBuffer()).byteLength];
}

async function chat() {
  const options = { model: "x", messages: [{ role: "user", content: "Hi" }] };
  const whole = await client.chat.completions.create(options);
  const chunks = [];
  const stream = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await client.chat.completions.create({ ...options, ...stream })) chunks.push(chunk);
  return { whole, chunks };
}

process.stdout.write(JSON.stringify(await (what === "speech" ? speech() : chat())));
