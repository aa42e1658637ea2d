// What JavaScript programs use today works unchanged: each client is pointed at $CHATPROXY, and that is all.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai-7";
import { createOllama } from "ai-sdk-ollama";
import { Ollama } from "ollama";
import OpenAI from "openai";

const base = process.env.CHATPROXY;
const model = "gemma3:270m";
const messages = [{ role: "user", content: "Say words." }];
const words = Array.from({ length: 20 }, (_, number) => `w${number} `).join("");
const greeting = "Hello from a fake.";

async function joined(stream, text) {
  let all = "";
  for await (const part of stream) all += text(part) ?? "";
  return all;
}

test("ollama", async () => {
  const ollama = new Ollama({ host: base });
  const chat = await ollama.chat({ model, messages, stream: true });
  assert.equal(await joined(chat, (part) => part.message.content), greeting);
  assert.equal((await ollama.chat({ model, messages })).message.content, greeting);
  const generated = await ollama.generate({ model, prompt: "Say words.", stream: true });
  assert.equal(await joined(generated, (part) => part.response), words);
  assert.equal((await ollama.embed({ model, input: ["a", "b"] })).embeddings.length, 2);
  assert.ok((await ollama.list()).models.some(({ name }) => name === model));
  assert.ok((await ollama.ps()).models.some(({ name }) => name === model));
  assert.ok((await ollama.show({ model })).capabilities.includes("completion"));
  for (const manage of [() => ollama.pull({ model }), () => ollama.delete({ model })])
    await assert.rejects(manage, { name: "ResponseError", status_code: 403, message: /Models are managed where Ollama/ });
});

test("ollama, which stops an answer", async () => {
  const ollama = new Ollama({ host: base });
  const chat = await ollama.chat({ model: "slow:latest", messages, stream: true });
  await assert.rejects(async () => {
    for await (const _ of chat) ollama.abort();
  }, { name: "AbortError" });
});

test("openai", async () => {
  const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused" });
  const chat = await openai.chat.completions.create({ model, messages, stream: true });
  assert.equal(await joined(chat, (chunk) => chunk.choices[0]?.delta.content), words);
  const whole = await openai.chat.completions.create({ model, messages });
  assert.equal(whole.choices[0].message.content, words);
  const completion = await openai.completions.create({ model, prompt: "Say words.", stream: true });
  assert.equal(await joined(completion, (chunk) => chunk.choices[0].text), words);
  const response = await openai.responses.create({ model, input: "Say words.", stream: true });
  const deltas = (event) => (event.type === "response.output_text.delta" ? event.delta : "");
  assert.equal(await joined(response, deltas), words);
  assert.equal((await openai.responses.create({ model, input: "Say words." })).output_text, words);
  assert.deepEqual((await openai.embeddings.create({ model, input: "x" })).data[0].embedding, [0.5, -0.25, 0.125]);
  assert.ok((await openai.models.list()).data.some(({ id }) => id === "words:latest"));
});

test("the AI SDK over @ai-sdk/openai-compatible", async () => {
  const provider = createOpenAICompatible({ name: "chatproxy", baseURL: `${base}/v1` });
  const result = streamText({ model: provider(model), prompt: "Say words." });
  assert.equal(await result.text, words);
  assert.equal(await result.finishReason, "stop");
});

test("the AI SDK over ai-sdk-ollama", async () => {
  const provider = createOllama({ baseURL: base });
  const result = streamText({ model: provider(model), prompt: "Say words." });
  assert.equal(await result.text, greeting);
  assert.equal(await result.finishReason, "stop");
});
