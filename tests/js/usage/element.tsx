// The element from TypeScript and from React.

import { ChatHistory, ChatInterface, ChatLauncher, createChatClient } from "chatproxy";
import type { HistoryLabels } from "chatproxy/history";
import type { ChatLauncherEvents } from "chatproxy/launcher";
import type {} from "chatproxy/react";

const element: ChatInterface = document.createElement("chat-interface");
element.client = createChatClient();
element.headers = { Authorization: "Bearer x" };
element.labels = { send: "Senden" };
element.labels = null;
element.renderer = (text, message) => document.createTextNode(message.role + text);
element.sessionId = null;
element.documentId = 7;
element.documentIds = [7, 8];
element.theme = "dark";
element.suggestions = ["What is new?"];
element.remember = false;
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
element.open("s");
element.clear();
element.focus();
document.querySelector("chat-interface")?.setAttribute("session-id", "s");

const launcher: ChatLauncher = document.createElement("chat-launcher");
launcher.addEventListener("chat-toggle", ({ detail }) => detail.open === launcher.open);
launcher.addEventListener("chat-done", ({ detail }: ChatLauncherEvents["chat-done"]) => detail.content.length);
void launcher.show().then(() => launcher.chat?.focus());
const list: ChatHistory = document.createElement("chat-history");
list.chat = launcher.chat;
list.labels = { rename: (title) => `${title} umbenennen` } satisfies Partial<HistoryLabels>;
list.addEventListener("chat-select", ({ detail }) => detail.sessionId?.length);

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

export const more = (
  <>
    <chat-history for="chat" labels={{ none: "Nichts" }} onchat-select={(event) => event.detail.sessionId} />
    <chat-launcher label="Help" placement="bottom-start" open onchat-toggle={(event) => event.detail.open}>
      <chat-interface id="chat" welcome="Hi" suggestions={["What is new?"]} storage-key="help" remember="false" />
    </chat-launcher>
  </>
);

// @ts-expect-error there is no such corner
export const corner = <chat-launcher placement="middle" />;
// @ts-expect-error there is no such label
element.labels = { sned: "Senden" };
// @ts-expect-error read-only
element.busy = true;
// @ts-expect-error there is no such theme
export const wrong = <chat-interface theme="sepia" />;
