// At $CHATPROXY, every model's runner dies in mid-stream. Ollama's OpenAI API hides that; chatproxy does not.

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
const killed = /an error was encountered while running the model/; // Ollama's words
const cut = /answer stopped before its end/; // chatproxy's

async function read(stream) {
  for await (const _ of await stream);
}

test("ollama", async () => {
  const ollama = new Ollama({ host: base });
  await assert.rejects(read(ollama.chat({ model, messages, stream: true })), killed);
  await assert.rejects(read(ollama.generate({ model, prompt: "Say words.", stream: true })), killed);
});

test("openai", async () => {
  const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused" });
  const failed = (error) => error instanceof OpenAI.APIError && cut.test(error.message);
  await assert.rejects(read(openai.chat.completions.create({ model, messages, stream: true })), failed);
  await assert.rejects(read(openai.completions.create({ model, prompt: "Say words.", stream: true })), failed);
  await assert.rejects(read(openai.responses.create({ model, input: "Say words.", stream: true })), failed);
});

test("the AI SDK over @ai-sdk/openai-compatible", async () => {
  const provider = createOpenAICompatible({ name: "chatproxy", baseURL: `${base}/v1` });
  const errors = [];
  const onError = ({ error }) => errors.push(error.message ?? String(error));
  const result = streamText({ model: provider(model), prompt: "Say words.", onError });
  assert.equal(await result.finishReason, "error");
  assert.ok(errors.some((error) => cut.test(error)), errors.join());
});

test("the AI SDK over ai-sdk-ollama", async () => {
  const provider = createOllama({ baseURL: base });
  const result = streamText({ model: provider(model), prompt: "Say words.", onError() {} });
  await assert.rejects(async () => result.text, killed);
});
