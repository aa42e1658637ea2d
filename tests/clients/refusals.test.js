// What $REFUSALS lists is refused, and each client raises its own typed error with chatproxy's sentence.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { streamText } from "ai-7";
import { Ollama } from "ollama";
import OpenAI from "openai";

const model = "gemma3:270m";
const types = {
  401: OpenAI.AuthenticationError,
  403: OpenAI.PermissionDeniedError,
  404: OpenAI.NotFoundError,
  503: OpenAI.InternalServerError,
  504: OpenAI.InternalServerError,
};

for (const { status, sentence, base, method, headers, size, key } of JSON.parse(process.env.REFUSALS)) {
  const messages = [{ role: "user", content: "x".repeat(size) }];
  // A client has no setting for what it would never send.
  const changed = (url, init) => {
    const sent = new Headers(init.headers);
    for (const [name, value] of Object.entries(headers)) sent.set(name, value);
    return fetch(url, { ...init, method, headers: sent });
  };

  test(`ollama: ${status}`, async () => {
    const ollama = new Ollama({ host: base, fetch: changed, headers: { Authorization: `Bearer ${key}` } });
    const refused = (error) =>
      error.name === "ResponseError" && error.status_code === status && error.message.includes(sentence);
    await assert.rejects(ollama.chat({ model, messages, stream: true }), refused);
  });

  test(`openai: ${status}`, async () => {
    const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: key, maxRetries: 0, fetch: changed });
    const refused = (error) =>
      error instanceof (types[status] ?? OpenAI.APIError) &&
      error.status === status &&
      error.message.includes(sentence);
    await assert.rejects(openai.chat.completions.create({ model, messages, stream: true }), refused);
  });

  test(`the AI SDK: ${status}`, async () => {
    const provider = createOpenAICompatible({ name: "chatproxy", baseURL: `${base}/v1`, apiKey: key, fetch: changed });
    let error;
    await streamText({
      model: provider(model),
      messages,
      maxRetries: 0,
      onError: (event) => (error = event.error),
    }).consumeStream();
    assert.deepEqual([error.name, error.statusCode], ["AI_APICallError", status]);
    assert.ok(error.message.includes(sentence), error.message);
  });
}
