// The types of chat-launcher.js: the element <chat-launcher>, its properties, methods and events.

import type { ChatInterface, ChatInterfaceAttributes, ChatInterfaceEventMap } from "./chat-interface.js";

export interface ChatToggleDetail {
  open: boolean;
}

/** The element's own events. All bubble, and cross the boundaries of shadow trees. */
export interface ChatLauncherEventMap {
  /** The panel was opened or closed. */
  "chat-toggle": CustomEvent<ChatToggleDetail>;
}

/** The attributes in markup. Those of `<chat-interface>` are passed on to the chat that the launcher makes. */
export interface ChatLauncherAttributes extends ChatInterfaceAttributes {
  /** Whether the panel is shown. What the user did in this tab comes first. */
  open?: boolean | undefined;
  /** Whether an answer has ended since the panel was closed. */
  unread?: boolean | undefined;
  /** The title of the panel. */
  label?: string | undefined;
  /** The corner of the page. Default: `bottom-end`. */
  placement?: "bottom-end" | "bottom-start" | undefined;
}

/** The properties that are no attributes, for frameworks that set properties. */
export interface ChatLauncherProperties {
  labels?: Partial<LauncherLabels> | null | undefined;
}

/** The element's texts, to translate or replace. */
export interface LauncherLabels {
  title: string;
  open: string;
  close: string;
  unread: string;
}

export class ChatLauncher extends HTMLElement {
  static readonly observedAttributes: string[];
  /**
   * Registers the element, unless the tag is taken or there is no registry (on a server). Returns the class.
   */
  static define(tag?: string): typeof ChatLauncher;

  /** `open`: whether the panel is shown. */
  get open(): boolean;
  set open(open: boolean | null | undefined);
  /** `unread`: whether an answer has ended since the panel was closed. */
  get unread(): boolean;
  set unread(unread: boolean | null | undefined);
  /** `label`: the title of the panel. */
  get label(): string | null;
  set label(label: string | null | undefined);
  /** `placement`: the corner of the page. */
  get placement(): "bottom-end" | "bottom-start";
  set placement(placement: "bottom-end" | "bottom-start" | null | undefined);
  /** The chat inside, or else the one that the launcher makes when the panel is opened first. */
  get chat(): ChatInterface | null;
  /** The element's texts. Those that are set replace the ones in its language. */
  get labels(): LauncherLabels;
  set labels(labels: Partial<LauncherLabels> | null | undefined);

  /** Opens the panel, and focuses the field to write in. */
  show(): Promise<void>;
  /** Closes the panel, and focuses the button. */
  close(): void;

  addEventListener<K extends keyof ChatLauncherEvents>(
    type: K,
    listener: (this: ChatLauncher, event: ChatLauncherEvents[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatLauncher, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ChatLauncherEvents>(
    type: K,
    listener: (this: ChatLauncher, event: ChatLauncherEvents[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatLauncher, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** The launcher's own events, and those of the chat inside it. */
export type ChatLauncherEvents = ChatLauncherEventMap & ChatInterfaceEventMap;

declare global {
  interface HTMLElementTagNameMap {
    "chat-launcher": ChatLauncher;
  }
}
