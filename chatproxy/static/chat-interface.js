// What a page imports: registers <chat-interface>, once, and only where there are elements to register.

import { ChatInterface } from "./element/chat-element.js";

if (globalThis.customElements && !customElements.get("chat-interface")) {
  customElements.define("chat-interface", ChatInterface);
}

export { ChatInterface };
