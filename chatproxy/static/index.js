// The npm package's front door: the client, and the element, which importing this registers.

export * from "./chat-client.js";
export * from "./chat-interface.js";
