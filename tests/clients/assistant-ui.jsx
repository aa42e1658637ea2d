// The smallest page of assistant-ui, with nothing but its own parts. `window.runtime` is for the test.

import { AssistantRuntimeProvider, MessagePrimitive, ThreadPrimitive } from "@assistant-ui/react";
import { AssistantChatTransport, createResumableSessionStorage, useChatRuntime } from "@assistant-ui/react-ai-sdk";
import { createRoot } from "react-dom/client";

const api = "http://127.0.0.1:11435/api/chat/ui";
const id = "assistant"; // where assistant-ui itself has another one for each time that the page is loaded
const storage = createResumableSessionStorage();
const transport = new AssistantChatTransport({
  api,
  resumable: { storage, resumeApi: (stream) => `${api}/${stream}/stream` },
  prepareSendMessagesRequest: ({ body, messages, trigger, messageId }) => ({
    body: { ...body, id, messages, trigger, messageId },
  }),
});

const Message = () => (
  <article>
    <MessagePrimitive.Parts />
  </article>
);

function Chat({ messages }) {
  const toCreateMessage = (message) => ({ id: message.sourceId ?? undefined, parts: message.content });
  const runtime = useChatRuntime({ messages, transport, toCreateMessage });
  window.runtime = runtime;
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages components={{ Message }} />
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

const messages = await (await fetch(`${api}/${id}`)).json();
createRoot(document.getElementById("chat")).render(<Chat messages={messages} />);
