// The element in templates of Vue, of which vue-tsc makes such checks.

import type { GlobalComponents } from "vue";
import { createChatClient } from "chatproxy/client";
import type {} from "chatproxy/vue";

type Chat = InstanceType<GlobalComponents["chat-interface"]>;

const props: Chat["$props"] = {
  class: "chat",
  endpoint: "/chat",
  "session-id": "s",
  theme: "dark",
  client: createChatClient(),
  labels: { send: "Senden" },
};
void props;

export function events(chat: Chat) {
  chat.$emit("chat-done", new CustomEvent("chat-done", { detail: {} as never }));
  chat.focus();
  // @ts-expect-error there is no such event
  chat.$emit("chat-over", new CustomEvent("chat-over"));
}

// @ts-expect-error there is no such theme
export const theme: Chat["$props"] = { theme: "sepia" };
// @ts-expect-error there is no such label
export const labels: Chat["$props"] = { labels: { sned: "Senden" } };
