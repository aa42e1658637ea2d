// The element in markup of Svelte, of which svelte-check makes such checks.

import type { SvelteHTMLElements } from "svelte/elements";
import { createChatClient } from "chatproxy/client";
import type {} from "chatproxy/svelte";

type Props = SvelteHTMLElements["chat-interface"];

export const props: Props = {
  class: "chat",
  endpoint: "/chat",
  "document-id": 7,
  "show-thinking": "false",
  client: createChatClient(),
  "onchat-done": (event) => event.detail.content.length,
  "onchat-error": ({ detail }) => detail.code.length,
};

// @ts-expect-error there is no such theme
export const theme: Props = { theme: "sepia" };
// @ts-expect-error the detail has no such field
export const listener: Props = { "onchat-done": ({ detail }) => detail.nothing };
// @ts-expect-error a client is no address
export const client: Props = { client: "http://127.0.0.1:11435" };
