// For React with TypeScript: `import type {} from "chatproxy/react"` adds <chat-interface> to JSX.
//
// React 19 sets properties where an element has them, and listens to custom events by `on` and their name:
// `onchat-done={(event) => …}`.

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type {
  ChatInterface,
  ChatInterfaceAttributes,
  ChatInterfaceEventMap,
  Labels,
  Renderer,
} from "./chat-interface.js";
import type { ChatClient } from "./types.js";

type Listeners = {
  [Type in keyof ChatInterfaceEventMap as `on${Type}`]?:
    ((event: ChatInterfaceEventMap[Type]) => void) | undefined;
};

interface Properties {
  client?: ChatClient | null | undefined;
  headers?: Record<string, string> | null | undefined;
  renderer?: Renderer | null | undefined;
  labels?: Partial<Labels> | null | undefined;
}

export type ChatInterfaceProps = DetailedHTMLProps<
  Omit<HTMLAttributes<ChatInterface>, keyof ChatInterfaceAttributes> &
    ChatInterfaceAttributes &
    Listeners &
    Properties,
  ChatInterface
>;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "chat-interface": ChatInterfaceProps;
    }
  }
}
