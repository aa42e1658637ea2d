// The types of chat-history.js: the element <chat-history>, its properties, methods and events.

import type { ChatInterface } from "./chat-interface.js";

export interface ChatSelectDetail {
  /** null: a new conversation. */
  sessionId: string | null;
}

/** The element's own events. All bubble, and cross the boundaries of shadow trees. */
export interface ChatHistoryEventMap {
  /** The user chose a session, or a new one. */
  "chat-select": CustomEvent<ChatSelectDetail>;
}

/** The attributes in markup. */
export interface ChatHistoryAttributes {
  /** The id of the `<chat-interface>` whose sessions are listed. Default: the first one of the document. */
  for?: string | undefined;
  /** Default: as the system. */
  theme?: "light" | "dark" | undefined;
  /** The language of its texts: de, en, es, fr, ja or zh. Default: that of the elements around it, or the browser's. */
  lang?: string | undefined;
}

/** The properties that are no attributes, for frameworks that set properties. */
export interface ChatHistoryProperties {
  chat?: ChatInterface | null | undefined;
  labels?: Partial<HistoryLabels> | null | undefined;
}

/** The element's texts, to translate or replace. */
export interface HistoryLabels {
  list: string;
  newChat: string;
  untitled: string;
  title: string;
  none: string;
  noMatches: string;
  more: string;
  rename: (title: string) => string;
  delete: (title: string) => string;
  deleteQuestion: (title: string) => string;
  deleteConfirm: string;
  cancel: string;
}

export class ChatHistory extends HTMLElement {
  static readonly observedAttributes: string[];
  /**
   * Registers the element, unless the tag is taken or there is no registry (on a server). Returns the class.
   */
  static define(tag?: string): typeof ChatHistory;

  /** `for`: the id of the `<chat-interface>` whose sessions are listed. */
  get htmlFor(): string | null;
  set htmlFor(id: string | null | undefined);
  /** `theme`: null follows the system. */
  get theme(): "light" | "dark" | null;
  set theme(theme: "light" | "dark" | null | undefined);
  /** The element that shows the sessions. Default: what `for` names, or else the first one of the document. */
  get chat(): ChatInterface | null;
  set chat(chat: ChatInterface | null | undefined);
  /** The element's texts. Those that are set replace the ones in its language. */
  get labels(): HistoryLabels;
  set labels(labels: Partial<HistoryLabels> | null | undefined);

  /** Reads the list from the server again. */
  refresh(): Promise<void>;

  addEventListener<K extends keyof ChatHistoryEventMap>(
    type: K,
    listener: (this: ChatHistory, event: ChatHistoryEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatHistory, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ChatHistoryEventMap>(
    type: K,
    listener: (this: ChatHistory, event: ChatHistoryEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatHistory, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | EventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "chat-history": ChatHistory;
  }
}
