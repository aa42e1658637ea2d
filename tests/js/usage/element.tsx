// The element from TypeScript and from React.

import { ChatInterface, createChatClient } from "chatproxy";
import type {} from "chatproxy/react";

const element: ChatInterface = document.createElement("chat-interface");
element.client = createChatClient();
element.headers = { Authorization: "Bearer x" };
element.labels = { send: "Senden" };
element.labels = null;
element.renderer = (text, message) => document.createTextNode(message.role + text);
element.sessionId = null;
element.documentId = 7;
element.theme = "dark";
const reflected: [string | null, number | null, boolean] = [element.sessionId, element.documentId, element.showThinking];
void reflected;
class OtherChat extends ChatInterface {}
OtherChat.define("other-chat");
element.addEventListener("chat-send", (event) => {
  if (event.detail.message === "") event.preventDefault();
});
element.addEventListener("chat-done", ({ detail }) => detail.content.length + detail.sources.length);
element.addEventListener("chat-error", ({ detail }) => detail.code.length);
element.addEventListener("click", (event) => event.clientX);
element.send("Hi");
void element.stop();
element.regenerate();
element.clear();
element.focus();
document.querySelector("chat-interface")?.setAttribute("session-id", "s");

// @ts-expect-error the detail has no such field
element.addEventListener("chat-done", ({ detail }) => detail.nothing);
// @ts-expect-error a message is a string
element.send(7);

export const markup = (
  <chat-interface
    className="chat"
    endpoint="/chat"
    session-id="s"
    document-id={7}
    theme="dark"
    show-thinking
    labels={{ send: "Senden" }}
    disabled={false}
    client={createChatClient()}
    onchat-start={(event) => event.detail.messageId.toFixed()}
    onchat-token={(event) => event.detail.content.length}
    ref={(chat: ChatInterface | null) => chat?.focus()}
  >
    <h2 slot="header">Chat</h2>
  </chat-interface>
);

// @ts-expect-error there is no such label
element.labels = { sned: "Senden" };
// @ts-expect-error read-only
element.busy = true;
// @ts-expect-error there is no such theme
export const wrong = <chat-interface theme="sepia" />;
