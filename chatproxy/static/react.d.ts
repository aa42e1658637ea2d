// For React with TypeScript: `import type {} from "chatproxy/react"` makes <chat-interface> known to JSX.
// React 19 listens to an element's own events by `on` and their name: `onchat-done={(event) => …}`.

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type { ChatInterface, ChatInterfaceAttributes, ChatInterfaceEventMap } from "./chat-interface.js";

type Listeners = { [K in keyof ChatInterfaceEventMap as `on${K}`]?: ((event: ChatInterfaceEventMap[K]) => void) | undefined };
type Properties = { [K in "client" | "headers" | "renderer" | "labels"]?: ChatInterface[K] | undefined };

export type ChatInterfaceProps = DetailedHTMLProps<
  Omit<HTMLAttributes<ChatInterface>, keyof ChatInterfaceAttributes> & ChatInterfaceAttributes & Listeners & Properties,
  ChatInterface
>;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "chat-interface": ChatInterfaceProps;
    }
  }
}
