// The element from TypeScript and from React.

import { ChatInterface, createChatClient } from "chatproxy";
import type {} from "chatproxy/react";

const element: ChatInterface = document.createElement("chat-interface");
element.client = createChatClient();
element.headers = { Authorization: "Bearer x" };
element.labels = { send: "Senden" };
element.renderer = (text) => document.createTextNode(text);
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

// @ts-expect-error there is no such detail
element.addEventListener("chat-done", ({ detail }) => detail.nothing);
// @ts-expect-error a message is text
element.send(7);

export const markup = (
  <chat-interface
    className="chat"
    endpoint="/chat"
    session-id="s"
    document-id={7}
    theme="dark"
    show-thinking
    disabled={false}
    client={createChatClient()}
    onchat-start={(event) => event.detail.messageId.toFixed()}
    onchat-token={(event) => event.detail.content.length}
    ref={(chat: ChatInterface | null) => chat?.focus()}
  >
    <h2 slot="header">Chat</h2>
  </chat-interface>
);

// @ts-expect-error an unknown theme
export const wrong = <chat-interface theme="sepia" />;
