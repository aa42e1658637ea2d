// What a page imports: registers <chat-interface>, unless it is registered already or there is no DOM.

import { ChatInterface as Element } from "./element/chat-element.js";

/** @type {typeof import("./chat-interface.js").ChatInterface} */
export const ChatInterface = Element.define();
