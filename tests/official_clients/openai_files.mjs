// Transcriptions and models with npm's `openai`: base URL, key, audio file.

import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { OpenAI } = require("openai");
const [baseURL, apiKey, file] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const transcribe = (options) =>
  client.audio.transcriptions.create({ file: createReadStream(file), model: "whisper-1", ...options });

const events = [];
for await (const event of await transcribe({ stream: true })) events.push(event);
const refused = await client.models.retrieve("gpt-2").catch((error) => [error.status, error.code, error.param]);
const result = {
  json: (await transcribe({})).text,
  text: await transcribe({ response_format: "text" }),
  srt: await transcribe({ response_format: "srt" }),
  verbose: await transcribe({ response_format: "verbose_json", timestamp_granularities: ["word"] }),
  events,
  models: (await client.models.list()).data.map((model) => model.id),
  refused,
};
process.stdout.write(JSON.stringify(result));
