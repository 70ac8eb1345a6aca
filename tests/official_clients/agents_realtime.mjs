// A conversation with @openai/agents-realtime in Node: WebSocket URL, key. Prints what its events became.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.CLIENT_MODULES, "x.js"));
const { OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession, tool } = require("@openai/agents-realtime");
const { z } = require("zod");
const [url, apiKey] = process.argv.slice(2);

const called = [];
const dial = tool({
  name: "dial",
  description: "Dials.",
  parameters: z.object({ who: z.string() }),
  execute: async ({ who }) => {
    called.push(who);
    return `${who} is there`;
  },
});
const agent = new RealtimeAgent({ name: "Voice", instructions: "Be brief.", tools: [dial] });
const transport = new OpenAIRealtimeWebSocket({ url, useInsecureApiKey: true });
const config = { outputModalities: ["text"], audio: { input: { turnDetection: null } } };
const session = new RealtimeSession(agent, { transport, model: "gpt-realtime", config });

const kinds = [];
const errors = [];
session.on("error", (error) => errors.push(JSON.stringify(error)));
transport.on("*", (event) => kinds.push(event.type));
const ended = (count) =>
  new Promise((resolve) => transport.on("*", (event) => {
    if (event.type === "response.done" && kinds.filter((kind) => kind === "response.done").length >= count) resolve();
  }));

await session.connect({ apiKey });
const both = ended(2);
session.sendMessage("call Bob");
await both;
await new Promise((resolve) => setTimeout(resolve, 200));
const history = session.history.map((item) => [item.type, item.role ?? item.name, item.content ?? item.output]);
session.close();
process.stdout.write(JSON.stringify({ called, kinds, errors, history }));
process.exit(0);
