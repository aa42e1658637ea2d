// The types of chat-client.js.

import type { ChatClient, ChatClientOptions } from "./types.js";

export { ChatError } from "./types.js";
export type * from "./types.js";

export function createChatClient(options?: ChatClientOptions): ChatClient;
