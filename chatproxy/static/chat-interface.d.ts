// The types of chat-interface.js: the element <chat-interface>, its properties, methods and events.

import type { ChatClient, FinishReason, Message, Session, Source, Usage } from "./types.js";

/** A message as the element holds it: one that has not reached the server has no id. */
export type ShownMessage = Omit<Partial<Message>, "id"> &
  Pick<Message, "role" | "content" | "thinking" | "status" | "sources" | "warnings" | "error" | "imageCount"> & {
    id: number | null;
  };

export interface Picture {
  name: string;
  /** In base64. */
  data: string;
  /** That shows it on this page. */
  url: string;
}

/** `preventDefault()` keeps the message from being sent. */
export interface ChatSendDetail {
  message: string;
  images: Picture[];
}

export interface ChatStartDetail {
  messageId: number;
  /** null where an answer is come back to. */
  userMessageId: number | null;
  model: string | null;
  modelReason: string | null;
}

export interface ChatTokenDetail {
  content: string;
  thinking: string;
  messageId: number;
}

export interface ChatSourcesDetail {
  sources: Source[];
  messageId: number;
}

export interface ChatDoneDetail {
  messageId: number | null;
  content: string;
  sources: Source[];
  finishReason: FinishReason;
  usage: Usage | null;
}

export interface ChatErrorDetail {
  error: string;
  code: string;
  retryable?: boolean | undefined;
  messageId: number | null;
  /** The text so far. */
  content: string;
}

export interface ChatSessionDetail {
  session: Session;
}

/** All bubble, out of shadow trees too. */
export interface ChatInterfaceEventMap {
  "chat-send": CustomEvent<ChatSendDetail>;
  "chat-start": CustomEvent<ChatStartDetail>;
  "chat-token": CustomEvent<ChatTokenDetail>;
  "chat-sources": CustomEvent<ChatSourcesDetail>;
  "chat-done": CustomEvent<ChatDoneDetail>;
  "chat-error": CustomEvent<ChatErrorDetail>;
  "chat-session": CustomEvent<ChatSessionDetail>;
}

/** Of markup; the truth about the element's state. */
export interface ChatInterfaceAttributes {
  /** Where chatproxy is mounted. Default: where the module came from. */
  endpoint?: string | undefined;
  "session-id"?: string | undefined;
  /** Follows the session's document; one that is set, or "" for none, goes along with the next message. */
  "document-id"?: string | number | undefined;
  model?: string | undefined;
  placeholder?: string | undefined;
  theme?: "light" | "dark" | undefined;
  "show-thinking"?: boolean | "" | "true" | "false" | undefined;
  disabled?: boolean | undefined;
}

export class ChatInterface extends HTMLElement {
  /** What talks to the server; by default one for `endpoint` with `headers`. */
  client: ChatClient;
  headers: Record<string, string>;
  /** Draws a text in place of the built-in Markdown. */
  renderer: ((text: string, message: ShownMessage) => Node) | null;
  /** The element's words: those that are set replace its own. */
  get labels(): Record<string, unknown>;
  set labels(labels: Record<string, unknown>);
  /** An answer is being written. */
  readonly busy: boolean;
  readonly messages: ShownMessage[];

  /** Whether it was taken: not while an answer is being written. */
  send(message: string, more?: { images?: Picture[] | undefined }): boolean;
  stop(): Promise<void> | undefined;
  /** The last answer once more. */
  regenerate(): void;
  /** Leaves the session; the next message begins a new one. */
  clear(): void;
  /** Reads again what the server has. */
  refresh(): Promise<void> | undefined;

  addEventListener<K extends keyof ChatInterfaceEventMap>(
    type: K,
    listener: (this: ChatInterface, event: ChatInterfaceEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatInterface, event: HTMLElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ChatInterfaceEventMap>(
    type: K,
    listener: (this: ChatInterface, event: ChatInterfaceEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener<K extends keyof HTMLElementEventMap>(
    type: K,
    listener: (this: ChatInterface, event: HTMLElementEventMap[K]) => unknown,
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
    "chat-interface": ChatInterface;
  }
}
