// The types of chat-client.js.

import type { ChatClient, ChatClientOptions } from "./types.js";

export { ChatError } from "./types.js";
export type * from "./types.js";

export function createChatClient(options?: ChatClientOptions): ChatClient;

/** A client for the server of this module; in an application's bundle, for that of the page. */
export const chatService: ChatClient;
