// The npm package's front door: the client, and the elements, which importing this registers.

export * from "./chat-client.js";
export * from "./chat-interface.js";
export * from "./chat-history.js";
export * from "./chat-launcher.js";
