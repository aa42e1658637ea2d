// What the server says and takes: the types of its HTTP contract, and of the client on top of it.

// -- what is stored

export interface Session {
  id: string;
  title: string | null;
  model: string | null;
  system: string | null;
  documentId: number | null;
  createdAt: string;
  updatedAt: string;
  messageCount: number;
  /** The answer being produced now. */
  activeMessageId: number | null;
}

export interface Message {
  id: number;
  sessionId: string;
  role: "user" | "assistant";
  content: string;
  thinking: string;
  status: MessageStatus;
  /** Where `content` stands: `resume` goes on from here. */
  cursor: string | null;
  model: string | null;
  modelReason: string | null;
  documentId: number | null;
  sources: Source[];
  warnings: Notice[];
  finishReason: FinishReason | null;
  usage: Usage | null;
  error: Failure | null;
  imageCount: number;
  clientMessageId: string | null;
  createdAt: string;
  updatedAt: string;
}

export type MessageStatus = "complete" | "streaming" | "cancelled" | "failed" | "interrupted";
export type FinishReason = "stop" | "length" | "cancelled";

export interface Notice {
  code: string;
  message: string;
}

export interface Failure {
  error: string;
  code: string;
  retryable: boolean;
}

export interface Usage {
  promptTokens: number | null;
  completionTokens: number | null;
  tokensPerSecond: number | null;
  timeToFirstTokenMs: number | null;
  loadMs: number | null;
  totalMs: number | null;
}

export interface Source {
  documentId: number;
  title: string;
  /** The chunk's number in its document, from 0. */
  chunk: number;
  snippet: string;
  score: number;
}

export interface DocumentInfo {
  id: number;
  title: string;
  mediaType: string;
  bytes: number;
  chunks: number;
  createdAt: string;
}

export interface ModelInfo {
  name: string;
  parameterSize: string | null;
  quantization: string | null;
  sizeBytes: number | null;
  contextLength: number | null;
  capabilities: string[];
  loaded: boolean;
  tokensPerSecond: number | null;
  loadMs: number | null;
}

export interface Models {
  models: ModelInfo[];
  /** What `auto` would choose. */
  selected: { model: string; reason: string } | null;
}

// -- sending

export interface SendRequest {
  message: string;
  /** Sticks to the session; absent keeps what it has, null takes it off. */
  documentId?: number | null | undefined;
  document_id?: number | null | undefined;
  /** A name, or "auto". */
  model?: string | null | undefined;
  system?: string | null | undefined;
  /** In base64, without a `data:` prefix. */
  images?: string[] | undefined;
  options?: Record<string, unknown> | undefined;
  think?: boolean | "low" | "medium" | "high" | "max" | null | undefined;
  format?: string | Record<string, unknown> | null | undefined;
  keep_alive?: string | number | null | undefined;
  /** The client makes one where none is given. */
  clientMessageId?: string | undefined;
  /** The user message whose place this one takes. */
  replaces?: number | undefined;
  /** Ends the watching; the answer itself goes on at the server. To stop that: `cancel()`. */
  signal?: AbortSignal | null | undefined;
}

export interface AnswerJSON {
  userMessageId: number;
  assistantMessageId: number;
  fullResponse: string;
  thinking: string;
  sources: Source[];
  warnings: Notice[];
  model: string | null;
  modelReason: string | null;
  finishReason: FinishReason;
  usage: Usage | null;
}

// -- the stream

export type ChatEvent = StartEvent | StatusEvent | ThinkingEvent | ChunkEvent | WarningEvent | DoneEvent | ErrorEvent;

export interface StartEvent {
  type: "start";
  userMessageId: number;
  assistantMessageId: number;
  sources: Source[];
  model: string | null;
  modelReason: string | null;
  sessionId: string;
  /** The cursor that `resume` was given is not in the text: what follows is all of it. */
  reset?: boolean | undefined;
}

export interface StatusEvent {
  type: "status";
  /** "reconnecting" is never the server's: the client says so when it finds the connection lost, before `start` too. */
  state: "queued" | "loading" | "waiting" | "generating" | "reconnecting";
  position?: number | undefined;
  elapsedMs: number;
  etaMs?: number | undefined;
  tokens?: number | undefined;
  tokensPerSecond?: number | undefined;
}

export interface ThinkingEvent {
  type: "thinking";
  content: string;
  cursor: string;
}

export interface ChunkEvent {
  type: "chunk";
  content: string;
  cursor: string;
}

export interface WarningEvent extends Notice {
  type: "warning";
}

export interface DoneEvent {
  type: "done";
  /** null only where it was cancelled before the server began. */
  assistantMessageId: number | null;
  fullResponse: string;
  sources: Source[];
  finishReason: FinishReason;
  model: string | null;
  usage: Usage | null;
  cursor: string;
}

export interface ErrorEvent extends Failure {
  type: "error";
  /** null where there is no answer: the message was refused, or never arrived. */
  assistantMessageId: number | null;
  /** The text so far. */
  fullResponse: string;
  cursor: string;
}

// -- the client

export interface ChatClientOptions {
  /** Where chatproxy is mounted. Default: the folder above that of this module, as chatproxy serves it. */
  baseUrl?: string | URL | undefined;
  /** Sent with every request, e.g. `Authorization`; a function is asked each time. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined;
  fetch?: typeof globalThis.fetch | undefined;
}

export type OnChunk = (chunk: string) => void;
export type OnComplete = (fullResponse: string, messageId: number | null, sources: Source[]) => void;
export type OnError = (error: ChatError) => void;

export interface AnswerCallbacks {
  /** Of `resume` with a cursor: the text given until now, and what belongs to the cursor, is to be thrown away; all follows. */
  onReset?: (() => void) | null | undefined;
  onChunk?: OnChunk | null | undefined;
  onComplete?: OnComplete | null | undefined;
  onError?: OnError | null | undefined;
}

/**
 * An answer on its way. As a promise it settles after `onComplete` or `onError`, with the `done` event
 * or, after `onError`, with undefined; it rejects, with a ChatError, only where no `onError` was given.
 * Iterated, at any time and any number of times, it gives all events from the first, of which the last
 * is `done` or `error`; it never throws.
 */
export interface AnswerStream extends Promise<DoneEvent | undefined>, AsyncIterable<ChatEvent> {
  [Symbol.asyncIterator](): AsyncIterator<ChatEvent>;
  /** Stops the answer itself, for everybody; it then ends with `done` and its text so far. Never rejects. */
  cancel(): Promise<void>;
}

/** One sentence for people in `message`, and `code` for programs. */
export declare class ChatError extends Error {
  constructor(message: string, code: string, more?: ErrorBody & { status?: number; retryAfter?: number | undefined; cause?: unknown });
  /** The server's codes, and the client's: `connection_lost`, `aborted`, `http_error`, `unexpected_answer`. */
  code: string;
  /** Of HTTP; 0 where there was none. */
  status: number;
  retryable: boolean;
  /** What `Retry-After` said, in milliseconds. */
  retryAfter: number | undefined;
  /** The text so far. */
  fullResponse: string;
  assistantMessageId: number | null;
  /** The answer that keeps the session busy. */
  activeMessageId: number | null;
  /** The field of the request that cannot be used. */
  field: string | undefined;
}

/** What the server says beside a status of 400 or more. */
export interface ErrorBody {
  error?: string | undefined;
  code?: string | undefined;
  retryable?: boolean | undefined;
  fullResponse?: string | undefined;
  assistantMessageId?: number | null | undefined;
  activeMessageId?: number | null | undefined;
  field?: string | undefined;
}

export interface Page {
  limit?: number | undefined;
  /** `next` of the page before. */
  before?: string | number | null | undefined;
  signal?: AbortSignal | null | undefined;
}

export interface UploadProgress {
  /** Bytes. */
  loaded: number;
  total: number;
}

export type SessionFields = Partial<Pick<Session, "title" | "model" | "system">>;

export interface ChatClient {
  readonly baseUrl: string;

  /** Sends the message; the answer comes piece by piece. */
  sendMessageStream(
    sessionId: string,
    request: SendRequest,
    onChunk?: OnChunk | null,
    onComplete?: OnComplete | null,
    onError?: OnError | null,
  ): AnswerStream;

  /** Sends the message; the whole answer at once. */
  sendMessage(sessionId: string, request: SendRequest): Promise<AnswerJSON>;

  /**
   * Watches an answer that exists, running or finished: what follows the cursor, or without one all of it.
   * Where a `start` says `reset`, which may be a second one, the text until then is to be thrown away, that
   * which belonged to the cursor included: all of it follows. To callbacks, `onReset` says so.
   */
  resume(
    sessionId: string,
    messageId: number,
    cursor?: string | null,
    options?: AnswerCallbacks & { signal?: AbortSignal | null | undefined },
  ): AnswerStream;

  sessions: {
    create(fields?: SessionFields): Promise<Session>;
    list(query?: Page & { q?: string | undefined }): Promise<{ sessions: Session[]; next: string | null }>;
    get(sessionId: string): Promise<Session>;
    update(sessionId: string, fields: SessionFields): Promise<Session>;
    delete(sessionId: string): Promise<void>;
    export(sessionId: string, format?: "json" | "markdown"): Promise<Blob>;
  };

  messages: {
    /** The latest, oldest first. */
    list(sessionId: string, query?: Page): Promise<{ messages: Message[]; next: number | null }>;
    cancel(sessionId: string, messageId: number): Promise<Message>;
  };

  documents: {
    create(
      document: Blob | { title: string; text: string },
      options?: { onProgress?: (progress: UploadProgress) => void; signal?: AbortSignal | null | undefined },
    ): Promise<DocumentInfo>;
    list(query?: Page): Promise<{ documents: DocumentInfo[]; next: string | number | null }>;
    get(documentId: number): Promise<DocumentInfo>;
    delete(documentId: number): Promise<void>;
    search(documentId: number, q: string, options?: { signal?: AbortSignal | null | undefined }): Promise<{ sources: Source[] }>;
  };

  models(): Promise<Models>;
}
