// The types of index.js.

export * from "./chat-client.js";
export * from "./chat-interface.js";
