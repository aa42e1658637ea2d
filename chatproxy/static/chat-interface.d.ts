// The types of chat-interface.js: the element <chat-interface>, its properties, methods and events.

import type {
  ChatClient,
  ErrorCode,
  Failure,
  FinishReason,
  HeadersReason,
  Message,
  Session,
  Source,
  Usage,
} from "./types.js";

/** Headers, or a function that returns them, perhaps with a token that it has got from the page's own server. */
export type ChatHeaders =
  | Record<string, string>
  | ((reason: HeadersReason) => Record<string, string> | Promise<Record<string, string>>);

/** A message as the element holds it. One that is not stored on the server (yet) has no id. */
export interface ConversationMessage extends Partial<Omit<Message, "id" | "error">> {
  id: number | null;
  role: Message["role"];
  content: string;
  thinking: string;
  status: Message["status"];
  sources: Source[];
  warnings: Message["warnings"];
  error: Failure<ErrorCode> | null;
  imageCount: number;
  /** The images that were attached on this page; others are fetched to be shown. */
  images?: ImageAttachment[] | undefined;
  /** How long the model thought before it wrote, as measured on this page. */
  thinkingMs?: number | undefined;
  /** The id of the user message that this one replaces, until it is stored. */
  replaces?: number | undefined;
}

export interface ImageAttachment {
  name: string;
  /** In base64. */
  data: string;
  /** The image's URL on this page. */
  url: string;
}

/** `preventDefault()` keeps the message from being sent. */
export interface ChatSendDetail {
  message: string;
  images: ImageAttachment[];
}

export interface ChatStartDetail {
  messageId: number;
  /** null if the element resumes an answer. */
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

export interface ChatErrorDetail extends Failure<ErrorCode> {
  /** null if the error belongs to no answer. */
  messageId: number | null;
  /** The text so far. */
  content: string;
}

export interface ChatSessionDetail {
  session: Session;
}

/** The element's own events. All bubble, and cross the boundaries of shadow trees. */
export interface ChatInterfaceEventMap {
  /** A message is about to be sent; cancelable. */
  "chat-send": CustomEvent<ChatSendDetail>;
  /** The first message created a session. */
  "chat-session": CustomEvent<ChatSessionDetail>;
  /** An answer began, or the element resumes one. */
  "chat-start": CustomEvent<ChatStartDetail>;
  /** The answer names its sources. */
  "chat-sources": CustomEvent<ChatSourcesDetail>;
  /** A piece of text arrived. */
  "chat-token": CustomEvent<ChatTokenDetail>;
  /** The answer is complete, or was stopped. */
  "chat-done": CustomEvent<ChatDoneDetail>;
  /** The answer failed, or the server could not be reached. */
  "chat-error": CustomEvent<ChatErrorDetail>;
  /** `endpoint`, `headers` or `client` was set: what else shows sessions reads them again. */
  "chat-client": CustomEvent<null>;
}

/** The attributes in markup. */
export interface ChatInterfaceAttributes {
  /** Where chatproxy is mounted. Default: the server that the module came from. */
  endpoint?: string | undefined;
  /** The session to show. Absent until the first message, which creates one. */
  "session-id"?: string | undefined;
  /** "false" begins a new conversation at each load of the page, unless `session-id` names one. */
  remember?: true | "" | "true" | "false" | undefined;
  /** Tells apart what several elements of one site remember, or several users of one browser. */
  "storage-key"?: string | undefined;
  /**
   * The documents to answer from, separated by spaces; they follow the session's. Changed ones apply from the next
   * message on, "" to none.
   */
  "document-id"?: string | number | undefined;
  /** The model for the next messages: a name, or "auto". */
  model?: string | undefined;
  /** The greeting of an empty session. */
  welcome?: string | undefined;
  placeholder?: string | undefined;
  enter?: "send" | "newline" | undefined;
  /** Default: as the system. */
  theme?: "light" | "dark" | undefined;
  /** "false" hides the thinking of models. */
  "show-thinking"?: true | "" | "true" | "false" | undefined;
  disabled?: boolean | undefined;
  /** The language of its texts: de, en, es, fr, ja or zh. Default: that of the elements around it, or the browser's. */
  lang?: string | undefined;
}

/** The properties that are no attributes, for frameworks that set properties. */
export interface ChatInterfaceProperties {
  client?: ChatClient | null | undefined;
  headers?: ChatHeaders | null | undefined;
  renderer?: Renderer | null | undefined;
  suggestions?: readonly string[] | null | undefined;
  labels?: Partial<Labels> | null | undefined;
}

/** The element's texts, to translate or replace. */
export interface Labels {
  placeholder: string;
  empty: string;
  suggestions: string;
  log: string;
  you: string;
  assistant: string;
  send: string;
  stop: string;
  attach: string;
  drop: string;
  removeImage: string;
  image: string;
  imageFailed: string;
  imagesTooLarge: string;
  tooManyImages: string;
  unreadablePicture: (name: string) => string;
  /** null: none of the models that are installed. */
  cannotSee: (model: string | null) => string;
  folders: string;
  uploading: (name: string) => string;
  reading: (name: string) => string;
  cancelUpload: (name: string) => string;
  tooManyDocuments: string;
  /** What screen readers call a note about a document, such as that some of it could not be read. */
  documentWarning: (title: string) => string;
  removeDocument: (title: string) => string;
  deletedDocument: string;
  nothingToSend: string;
  sentWhenReady: string;
  waitOrStop: string;
  messageTooLong: string;
  disabled: string;
  copy: string;
  copied: string;
  cannotCopy: string;
  copyCode: string;
  code: string;
  table: string;
  formula: string;
  footnote: (label: string) => string;
  footnoteBack: string;
  retry: string;
  regenerate: string;
  edit: string;
  editField: string;
  resend: string;
  cancel: string;
  latest: string;
  earlier: string;
  notPrinted: string;
  thinking: string;
  thought: (seconds: number) => string;
  /** What a button says of the model, its speed and the time. */
  facts: string;
  chosen: (model: string, reason: string) => string;
  tokens: (read: number | null, written: number) => string;
  /** Until the first words and until the end, in seconds. */
  took: (first: number | null, whole: number) => string;
  /** A time of today is only a time. */
  written: (time: Date) => string;
  /** Always with the day. */
  moment: (time: Date) => string;
  versions: string;
  version: (number: number, total: number) => string;
  previousVersion: string;
  nextVersion: string;
  earlierVersion: string;
  deleteMessage: string;
  confirmDelete: string;
  delete: string;
  continue: string;
  /** What is sent to have a model go on that reached a limit of length. */
  continueMessage: string;
  sources: string;
  source: (number: number, title: string) => string;
  page: (page: number) => string;
  cited: string;
  uncited: string;
  stopped: string;
  interrupted: string;
  truncated: string;
  starting: string;
  /** `seconds` is an estimate of how long it takes until it is this answer's turn, if there is one. */
  queued: (position: number, seconds?: number) => string;
  loading: (seconds: number) => string;
  waiting: (seconds: number) => string;
  generating: (tokensPerSecond: number) => string;
  writing: string;
  reconnecting: string;
  answerStarted: string;
  answerDone: string;
  answerEmpty: string;
  /** For developers: the element is in a bundle, and has neither an endpoint nor a client. */
  noEndpoint: string;
  failed: string;
  reload: string;
  /** What hides the `X-Request-Id` of an error, for the server's log. */
  errorDetails: string;
  /**
   * What is shown in place of an error's own sentence, by its `code`, or by code and field, as in `invalid images`.
   * Codes that are missing here keep their sentence.
   */
  errors: Readonly<Record<string, string>>;
}

/** Renders an answer's text in place of the built-in Markdown. */
export type Renderer = (text: string, message: ConversationMessage) => Node;

export class ChatInterface extends HTMLElement {
  static readonly observedAttributes: string[];
  /**
   * Registers the element, unless the tag is taken or there is no registry (on a server). Returns the class.
   */
  static define(tag?: string): typeof ChatInterface;

  // Properties that reflect attributes. null or undefined removes the attribute.

  /** `endpoint`: where chatproxy is mounted. */
  get endpoint(): string | null;
  set endpoint(endpoint: string | null | undefined);
  /** `session-id`: the session to show. */
  get sessionId(): string | null;
  set sessionId(sessionId: string | null | undefined);
  /** `remember`: whether the conversation is there after a reload, in all tabs of the page's origin. */
  get remember(): boolean;
  set remember(remember: boolean | null | undefined);
  /** `storage-key`: tells apart what several elements remember. */
  get storageKey(): string | null;
  set storageKey(storageKey: string | null | undefined);
  /** The first of `documentIds`. Setting it leaves no other one. */
  get documentId(): number | null;
  set documentId(documentId: number | null | undefined);
  /** `document-id`: the documents to answer from. null is none; undefined follows the session again. */
  get documentIds(): number[];
  set documentIds(documentIds: readonly number[] | null | undefined);
  /** `model`: for the next messages. */
  get model(): string | null;
  set model(model: string | null | undefined);
  /** `welcome`: the greeting of an empty session. */
  get welcome(): string | null;
  set welcome(welcome: string | null | undefined);
  /** `enter`: what Enter does in fields of several lines; null: it sends, except on touch screens. */
  get enter(): "send" | "newline" | null;
  set enter(enter: "send" | "newline" | null | undefined);
  /** `placeholder`: of the field to write in. */
  get placeholder(): string | null;
  set placeholder(placeholder: string | null | undefined);
  /** `theme`: null follows the system. */
  get theme(): "light" | "dark" | null;
  set theme(theme: "light" | "dark" | null | undefined);
  /** `show-thinking`: whether the thinking of models is shown. */
  get showThinking(): boolean;
  set showThinking(showThinking: boolean | null | undefined);
  /** `disabled`: whether nothing can be sent. */
  get disabled(): boolean;
  set disabled(disabled: boolean | null | undefined);

  // Other properties.

  /** The client that talks to the server. Default: one for `endpoint` with `headers`. */
  get client(): ChatClient;
  set client(client: ChatClient | null | undefined);
  /** The headers of the default client's requests, or a function that returns them, also as a promise. */
  get headers(): ChatHeaders;
  set headers(headers: ChatHeaders | null | undefined);
  /** Renders an answer's text in place of the built-in Markdown. */
  get renderer(): Renderer | null;
  set renderer(renderer: Renderer | null | undefined);
  /** Messages that an empty session offers to send. */
  get suggestions(): readonly string[];
  set suggestions(suggestions: readonly string[] | null | undefined);
  /** The element's texts. Those that are set replace the ones in its language. */
  get labels(): Labels;
  set labels(labels: Partial<Labels> | null | undefined);
  /** Whether an answer is in progress. */
  get busy(): boolean;
  get messages(): ConversationMessage[];

  /**
   * Sends a message, which has a text or images. Returns false if it is not accepted: empty, longer than 256
   * KiB, disabled, prevented, or an answer is in progress.
   */
  send(message: string, options?: { images?: ImageAttachment[] | undefined }): boolean;
  /**
   * Attaches files to the next message, as if they were dropped: pictures for the model to see, and documents to
   * answer from, which are uploaded. Resolves when all are ready or refused, which the element shows.
   */
  attach(files: Iterable<File>): Promise<void>;
  /** Stops the answer in progress. */
  stop(): Promise<void>;
  /** Replaces the last answer by a new one. */
  regenerate(): void;
  /** Leaves the session, and forgets it. The next message creates a new one. */
  clear(): void;
  /** Shows a session that the user has chosen, and remembers it. */
  open(sessionId: string): void;
  /** Loads all earlier messages, as for printing. */
  loadAll(): Promise<void>;
  /**
   * Scrolls to a message of the session, marks it for a moment, and focuses it. Earlier messages are loaded up to it.
   * Returns whether the session has it.
   */
  show(messageId: number): Promise<boolean>;
  /** Reads the messages from the server again. */
  refresh(): Promise<void>;
  /** Focuses the field to write in, as soon as there is one. */
  focus(): void;

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
