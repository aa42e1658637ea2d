// What a page imports: registers <chat-history>, unless it is registered already or there is no DOM.

import { ChatHistory as Element } from "./element/history-element.js";

/** @type {typeof import("./chat-history.js").ChatHistory} */
export const ChatHistory = Element.define();
