// The types of index.js.

export * from "./chat-client.js";
export * from "./chat-interface.js";
export * from "./chat-history.js";
export * from "./chat-launcher.js";
