// For React with TypeScript: `import type {} from "chatproxy/react"` adds the elements to JSX.
//
// React 19 sets properties where an element has them, and listens to custom events by `on` and their name:
// `onchat-done={(event) => …}`.

import type { DetailedHTMLProps, HTMLAttributes } from "react";
import type {
  ChatHistory,
  ChatHistoryAttributes,
  ChatHistoryEventMap,
  ChatHistoryProperties,
} from "./chat-history.js";
import type {
  ChatInterface,
  ChatInterfaceAttributes,
  ChatInterfaceEventMap,
  ChatInterfaceProperties,
} from "./chat-interface.js";
import type {
  ChatLauncher,
  ChatLauncherAttributes,
  ChatLauncherEvents,
  ChatLauncherProperties,
} from "./chat-launcher.js";

type Listeners<Events> = {
  [Type in keyof Events & string as `on${Type}`]?: ((event: Events[Type]) => void) | undefined;
};

type Props<Element, Attributes, Events, Properties> = DetailedHTMLProps<
  Omit<HTMLAttributes<Element>, keyof Attributes> & Attributes & Listeners<Events> & Properties,
  Element
>;

export type ChatInterfaceProps = Props<
  ChatInterface,
  ChatInterfaceAttributes,
  ChatInterfaceEventMap,
  ChatInterfaceProperties
>;

export type ChatLauncherProps = Props<
  ChatLauncher,
  ChatLauncherAttributes,
  ChatLauncherEvents,
  ChatLauncherProperties
>;

export type ChatHistoryProps = Props<
  ChatHistory,
  ChatHistoryAttributes,
  ChatHistoryEventMap,
  ChatHistoryProperties
>;

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "chat-interface": ChatInterfaceProps;
      "chat-launcher": ChatLauncherProps;
      "chat-history": ChatHistoryProps;
    }
  }
}
