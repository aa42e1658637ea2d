// Kept Responses as OpenAI's client for JavaScript uses them: node kept-responses.js BASE_URL EXPECTED.

import assert from "node:assert/strict";
import OpenAI, { BadRequestError, NotFoundError } from "openai";

const [baseURL, expected] = process.argv.slice(2);
const { text, thinking } = JSON.parse(expected);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = { model: "gemma3:270m", input: "Hello", background: true };

const delta = (events, kind = "output_text") =>
  events.filter((event) => event.type.endsWith(`${kind}.delta`)).map((event) => event.delta).join("");

async function read(stream, most = Infinity) {
  const events = [];
  for await (const event of stream) {
    events.push(event);
    if (events.length >= most) break;
  }
  return events;
}

const replay = async (id, query = {}) => read(await client.responses.retrieve(id, { stream: true, ...query }));

// c1: a stream that broke after any event is read on.
for (let most = 1, done = false; !done; most += 1) {
  const had = await read(await client.responses.create({ ...asked, stream: true }), most);
  const id = had[0].response.id;
  const rest = await replay(id, { starting_after: had.at(-1).sequence_number });
  const all = [...had, ...rest];
  assert.equal(delta(all), text);
  assert.equal(delta(all, "reasoning_summary_text"), thinking);
  const numbers = all.map((event) => event.sequence_number);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b));
  assert.equal(all.at(-1).type, "response.completed");
  assert.deepEqual(await replay(id), await replay(id));
  done = rest.length === 0;
}

// c2: the helper.
const response = await client.responses.create({ ...asked, background: false, store: true });
assert.equal(response.output_text, text);
const after = (await replay(response.id)).at(-5).sequence_number;
const stream = client.responses.stream({ response_id: response.id, starting_after: after });
const seen = await read(stream);
assert.ok(seen.length > 0 && seen.every((event) => event.sequence_number > after));
assert.equal((await stream.finalResponse()).output_text, text);

// c3: poll, cancel, continue, refusals.
let polled = await client.responses.create({ ...asked, metadata: { job: "7" } });
while (["queued", "in_progress"].includes(polled.status)) polled = await client.responses.retrieve(polled.id);
assert.deepEqual([polled.status, polled.output_text, polled.metadata], ["completed", text, { job: "7" }]);
const running = await client.responses.create({ ...asked, stream: true });
const [created] = await read(running, 1);
assert.equal((await client.responses.cancel(created.response.id)).status, "cancelled");
assert.equal((await client.responses.cancel(created.response.id)).status, "cancelled");
const second = await client.responses.create({ ...asked, background: false, previous_response_id: response.id });
assert.equal(second.previous_response_id, response.id);
await assert.rejects(client.responses.retrieve("resp_x_1"), NotFoundError);
const tools = [{ type: "function", name: "f", parameters: { type: "object" }, strict: false }];
await assert.rejects(client.responses.create({ ...asked, tools }), (error) => {
  assert.ok(error instanceof BadRequestError);
  return error.param === "tools";
});
await client.responses.delete(polled.id);
await assert.rejects(client.responses.retrieve(polled.id), NotFoundError);
assert.equal((await client.responses.inputItems.list(response.id)).data[0].content[0].text, "Hello");

console.log("as expected");
