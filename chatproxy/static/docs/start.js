// The start of the page at `/docs`: send, stream, resume and cancel, in order, with what a server answered.

import { h } from "../dom/dom.js";
import { BASE_URL, nameOf, shown } from "./openapi.js";
import { code, codeBox, example, prose } from "./reference.js";

/**
 * @typedef {import("./openapi.js").Api} Api
 * @typedef {{title: string, about: string, curl: string, js: string, operation: string}} Step
 */

const QUESTION = "Why are there rainbows?";
const FIRST_ID = "grep -o '\"assistantMessageId\":[0-9]*' answer.txt | head -n 1 | cut -d : -f 2";

/** @param {boolean} withToken whether requests need a token @returns {Step[]} */
function steps(withToken) {
  const token = withToken ? ' -H "Authorization: Bearer $TOKEN"' : "";
  const sessions = `${BASE_URL}/api/chat/sessions`;
  const messages = `${sessions}/$SESSION/messages`;
  /** @param {string} message */
  const post = (message) =>
    `-X POST${token} -H "Content-Type: application/json" -d '${JSON.stringify({ message })}'`;
  const options = withToken ? '{ headers: { "x-api-key": "the token" } }' : "";
  return [
    {
      title: "Send",
      about: "A session is a conversation. Make one, send it a message, and wait for the whole answer.",
      curl: `SESSION=$(curl -s -X POST${token} "${sessions}" | cut -d '"' -f 4)
curl ${post(QUESTION)} "${messages}"`,
      js: `const { createChatClient } = await import("${BASE_URL}/static/chat-client.js");
const chat = createChatClient(${options});
const session = await chat.sessions.create();
console.log(await chat.sendMessage(session.id, { message: "${QUESTION}" }));`,
      operation: "sendMessage",
    },
    {
      title: "Stream",
      about: "Read the answer while it is written: each line that begins with `data:` is an event.",
      curl: `curl -sN ${post(QUESTION)} "${messages}/stream" | tee answer.txt`,
      js: `const seen = [];
for await (const event of chat.sendMessageStream(session.id, { message: "${QUESTION}" })) {
  seen.push(event);
  console.log(event);
}`,
      operation: "sendMessageStream",
    },
    {
      title: "Resume",
      about:
        "An answer goes on when a connection breaks. Ask for the rest with the last `cursor` that arrived; here, as " +
        "if only the first piece had arrived. The JavaScript client does this by itself when it loses a connection, and " +
        "`resume` does it after a reload. Without a cursor, all of the answer is sent.",
      curl: `MESSAGE=$(${FIRST_ID})
CURSOR=$(grep -o '"cursor":"[^"]*"' answer.txt | head -n 1 | cut -d '"' -f 4)
curl -N${token} "${messages}/$MESSAGE/stream?after=$CURSOR"`,
      js: `const { assistantMessageId } = seen.find(({ type }) => type === "start");
const { cursor } = seen.find(({ cursor }) => cursor);
for await (const event of chat.resume(session.id, assistantMessageId, cursor)) console.log(event);`,
      operation: "resumeMessageStream",
    },
    {
      title: "Cancel",
      about: "Stop an answer for all who read it, and keep its text so far. A connection that ends stops nothing.",
      curl: `curl -sN ${post("Count to a thousand.")} "${messages}/stream" > answer.txt &
until grep -q assistantMessageId answer.txt; do sleep 1; done
MESSAGE=$(${FIRST_ID})
curl -X POST${token} "${messages}/$MESSAGE/cancel"`,
      js: `for await (const event of chat.sendMessageStream(session.id, { message: "Count to a thousand." })) {
  if (event.type !== "start") continue;
  console.log(await chat.messages.cancel(session.id, event.assistantMessageId));
}`,
      operation: "cancelMessage",
    },
  ];
}

/** @param {Api} api */
export function startSection(api) {
  return h(
    "section",
    { id: "start", "aria-labelledby": "start-title" },
    h("h2", { id: "start-title" }, "Start"),
    h("p", {}, ...prose("Four steps in a shell, or in the console of a page of this server, one after the other.")),
    ...steps(api.security.length > 0).map((step, index) => stepSection(step, index + 1, api)),
  );
}

/** @param {Step} step @param {number} number @param {Api} api */
function stepSection({ title, about, curl, js, operation }, number, api) {
  const id = `start-${title.toLowerCase()}`;
  return h(
    "section",
    { id, class: "step", "aria-labelledby": `${id}-title` },
    h("h3", { id: `${id}-title` }, `${number}. ${title}`),
    h("p", {}, ...prose(about), " ", h("a", { href: `#${operation}` }, "All about it")),
    codeBox("curl", curl, `Copy the curl commands of step ${number}`),
    codeBox("JavaScript", js, `Copy the JavaScript of step ${number}`),
    example("What it prints", shown(answerOf(operation, api)), true),
    ...(operation === "sendMessageStream" ? eventList(api) : []),
  );
}

/** @param {string} id @param {Api} api */
function answerOf(id, api) {
  const operations = Object.values(api.paths).flatMap((methods) => Object.values(methods));
  const content = operations.find(({ operationId }) => operationId === id)?.responses[200]?.content ?? {};
  return Object.values(content).find(({ examples }) => examples)?.examples?.answer?.value;
}

/** Say in a line each what the events mean. @param {Api} api */
function eventList({ components: { schemas } }) {
  const kinds = Object.entries(schemas.Event?.discriminator?.mapping ?? {});
  const rows = kinds.flatMap(([kind, ref]) => [
    h("dt", {}, h("a", { href: `#type-${nameOf(ref)}` }, code(kind))),
    h("dd", {}, ...prose(schemas[nameOf(ref)]?.description ?? "")),
  ]);
  return [h("h4", {}, "The events"), h("dl", { class: "events" }, ...rows)];
}
