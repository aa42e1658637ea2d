// For Vue with TypeScript: `import type {} from "chatproxy/vue"` adds the elements to templates.
//
// Vue takes an element for a component unless `compilerOptions.isCustomElement` says otherwise. It sets properties
// where an element has them, and listens to custom events as to any other: `@chat-done="…"`.

import type { EmitFn, HTMLAttributes, PublicProps } from "vue";
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

/** What a template takes for an element: its attributes, its events, and its other properties. */
type Component<Element, Attributes, Events, Properties> = new () => Element & {
  $props: Omit<HTMLAttributes, keyof Attributes> & PublicProps & Attributes & Properties;
  $emit: EmitFn<{ [Type in keyof Events]: (event: Events[Type]) => void }>;
};

declare module "vue" {
  interface GlobalComponents {
    "chat-interface": Component<
      ChatInterface,
      ChatInterfaceAttributes,
      ChatInterfaceEventMap,
      ChatInterfaceProperties
    >;
    "chat-launcher": Component<
      ChatLauncher,
      ChatLauncherAttributes,
      ChatLauncherEvents,
      ChatLauncherProperties
    >;
    "chat-history": Component<
      ChatHistory,
      ChatHistoryAttributes,
      ChatHistoryEventMap,
      ChatHistoryProperties
    >;
  }
}
