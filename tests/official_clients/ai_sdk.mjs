// A transcription with `@ai-sdk/openai`, whose schema refuses an answer that lacks a field: base URL, key, audio file.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { createOpenAI } = require("@ai-sdk/openai");
const { experimental_transcribe: transcribe } = require("ai");
const [baseURL, apiKey, file] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey });
const found = await transcribe({
  model: openai.transcription("whisper-1"),
  audio: readFileSync(file),
  maxRetries: 0,
  providerOptions: { openai: { timestampGranularities: ["segment"] } },
});
process.stdout.write(JSON.stringify({ text: found.text, segments: found.segments, language: found.language }));
