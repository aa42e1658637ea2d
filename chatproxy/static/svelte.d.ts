// For Svelte with TypeScript: `import type {} from "chatproxy/svelte"` adds the elements to markup.
//
// Svelte sets properties where an element has them, and listens to custom events by `on` and their name:
// `onchat-done={(event) => …}`.

import type { HTMLAttributes } from "svelte/elements";
import type {
  ChatInterface,
  ChatInterfaceAttributes,
  ChatInterfaceEventMap,
  ChatInterfaceProperties,
} from "./chat-interface.js";
import type {
  ChatHistory,
  ChatHistoryAttributes,
  ChatHistoryEventMap,
  ChatHistoryProperties,
} from "./chat-history.js";
import type {
  ChatLauncher,
  ChatLauncherAttributes,
  ChatLauncherEvents,
  ChatLauncherProperties,
} from "./chat-launcher.js";

/** What markup takes for an element: its attributes, `on` and its events, and its other properties. */
type Props<Element extends EventTarget, Attributes, Events, Properties> = Omit<
  HTMLAttributes<Element>,
  keyof Attributes
> &
  Attributes & {
    [Type in keyof Events & string as `on${Type}`]?: ((event: Events[Type]) => void) | null | undefined;
  } & Properties;

declare module "svelte/elements" {
  interface SvelteHTMLElements {
    "chat-interface": Props<
      ChatInterface,
      ChatInterfaceAttributes,
      ChatInterfaceEventMap,
      ChatInterfaceProperties
    >;
    "chat-launcher": Props<
      ChatLauncher,
      ChatLauncherAttributes,
      ChatLauncherEvents,
      ChatLauncherProperties
    >;
    "chat-history": Props<
      ChatHistory,
      ChatHistoryAttributes,
      ChatHistoryEventMap,
      ChatHistoryProperties
    >;
  }
}
