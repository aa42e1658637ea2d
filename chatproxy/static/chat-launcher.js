// What a page imports: registers <chat-launcher>, unless it is registered already or there is no DOM.

import { ChatLauncher as Element } from "./element/launcher-element.js";

/** @type {typeof import("./chat-launcher.js").ChatLauncher} */
export const ChatLauncher = Element.define();
