// What TypeScript must accept, and with @ts-expect-error what it must reject.

import { ChatError, createChatClient, type AnswerStream, type ChatClient, type ChatEvent, type DoneEvent, type Source } from "chatproxy/client";
import { createParser } from "chatproxy/sse";

createChatClient();
createChatClient({ baseUrl: new URL("http://x.test"), headers: { Authorization: "Bearer x" }, fetch });
createChatClient({ headers: () => new Headers() });
const client: ChatClient = createChatClient({ baseUrl: "http://x.test", headers: async () => ({ a: "b" }) });

export async function send(signal: AbortSignal) {
  const answer: AnswerStream = client.sendMessageStream(
    "s",
    { message: "Hi", documentId: null, documentIds: [], model: "auto", think: "low", images: ["aGk="], options: { seed: 1 }, signal },
    (chunk) => chunk.toUpperCase(),
    (fullResponse: string, messageId: number | null, sources: Source[]) => void [fullResponse, messageId, sources],
    (error) => void [error.code, error.fullResponse, error.retryable, error instanceof Error],
  );
  for await (const event of answer) seen(event);
  const done: DoneEvent | undefined = await answer;
  await answer.cancel();
  await answer.finally(() => {}).catch((error: unknown) => error instanceof ChatError && error.status);
  return done?.finishReason === "cancelled";
}

export function seen(event: ChatEvent): string {
  switch (event.type) {
    case "start":
      return event.sessionId;
    case "status":
      return event.state === "queued" ? `${event.position}` : event.state;
    case "thinking":
    case "chunk":
      return event.content + event.cursor;
    case "warning":
      return event.code + event.message;
    case "done":
      return event.fullResponse + event.usage?.totalMs;
    case "error":
      return event.error + event.code;
    default:
      return event satisfies never;
  }
}

export async function calls() {
  const { sessions, next } = await client.sessions.list({ q: "x", limit: 5 });
  await client.sessions.list({ before: next });
  const session = await client.sessions.create({ title: "T" });
  await client.sessions.update(session.id, { title: null, model: "m" });
  const { messages } = await client.messages.list(sessions[0]?.id ?? session.id);
  await client.resume(session.id, messages[0]?.id ?? 1, messages[0]?.cursor, { onChunk: (text) => text.length });
  const blob: Blob = await client.sessions.export(session.id, "markdown");
  const document = await client.documents.create(new File([blob], "a.md"), { onProgress: ({ loaded, total }) => loaded / total });
  await client.documents.create({ title: "T", text: "x" });
  (await client.documents.search(document.id, "q")).sources.map(({ snippet }) => snippet.length);
  return [(await client.models()).selected?.model, (await client.sendMessage("s", { message: "x" })).thinking.length];
}

createParser(({ data, id }) => void [data.length, id?.length]).feed(new Uint8Array());
createParser(() => {}, { maxBufferSize: 1024, onError: ({ type }) => type === "max-buffer-size-exceeded" });

// @ts-expect-error a message is required
client.sendMessageStream("s", { model: "m" });
// @ts-expect-error so is a session
client.sendMessageStream({ message: "x" });
client.sendMessage("s", { message: "x", document_ids: [7, 8] });
// @ts-expect-error document ids are numbers
client.sendMessage("s", { message: "x", documentId: "7" });
// @ts-expect-error there is no such code
new ChatError("No.", "no_such_code");
// @ts-expect-error there is no such format
client.sessions.export("s", "pdf");
// @ts-expect-error the text is a string
client.sendMessageStream("s", { message: "x" }, (chunk: number) => chunk);
