// The types of chatproxy's HTTP API and of the client on top of it.
//
// Everything above "the client" mirrors `/openapi.json`; tests/js/test_types.py fails where the two differ.

// -- sessions, messages, documents, models

/** A session in a list, which shows no long text. */
export interface SessionItem {
  id: string;
  title: string | null;
  model: string | null;
  /** The first of `documentIds`. */
  documentId: number | null;
  documentIds: number[];
  createdAt: string;
  /** When anything of it was changed. */
  updatedAt: string;
  /** When it had its last message, or was created. */
  usedAt: string;
  messageCount: number;
  pinned: boolean;
  /** The answer that is being generated. */
  activeMessageId: number | null;
}

export interface Session extends SessionItem {
  /** The system prompt. Like `think` and `options`, it is for messages that bring none. */
  system: string | null;
  think: Think | null;
  options: Record<string, unknown> | null;
}

export type Think = boolean | "low" | "medium" | "high" | "max";

export interface SessionPage {
  sessions: SessionItem[];
  /** The `before` of the next page; null on the last one. */
  next: string | null;
  /** Where `q` was found in each session, in their order; absent without `q`. */
  hits?: Hit[];
}

/** Where a search has found a session. */
export interface Hit {
  sessionId: string;
  /** The newest message that has all words; null if the title has them. */
  messageId: number | null;
  /** A part of the text, on one line. */
  snippet: string;
  /** Where the words are in `snippet`: from, and up to, code points. */
  found: [number, number][];
}

/** The body that creates or changes a session. An absent field keeps its value, null removes it. */
export interface SessionRequest {
  title?: string | null | undefined;
  model?: string | null | undefined;
  system?: string | null | undefined;
  think?: Think | null | undefined;
  options?: Record<string, unknown> | null | undefined;
  pinned?: boolean | null | undefined;
}

export interface Message {
  id: number;
  sessionId: string;
  role: "user" | "assistant";
  content: string;
  thinking: string;
  status: MessageStatus;
  /** The end of the text in `thinking` and `content`: `resume` continues from here. */
  cursor: string | null;
  model: string | null;
  modelReason: string | null;
  /** The first of `documentIds`. */
  documentId: number | null;
  documentIds: number[];
  sources: Source[];
  warnings: Notice[];
  finishReason: FinishReason | null;
  usage: Usage | null;
  /** Why the answer is `failed` or `interrupted`. */
  error: Failure | null;
  imageCount: number;
  clientMessageId: string | null;
  /** How many messages have stood in its place one after another, itself included. */
  version: number;
  createdAt: string;
  updatedAt: string;
}

export type MessageStatus = "complete" | "streaming" | "cancelled" | "failed" | "interrupted";
export type FinishReason = "stop" | "length" | "cancelled";

/** Oldest first. */
export interface MessagePage {
  messages: Message[];
  /** The `before` of the page with earlier messages; null if there are none. */
  next: number | null;
}

export interface VersionPage extends MessagePage {
  /** On all pages. */
  total: number;
}

/** What became of a file of conversations; see docs/api.md, Importing. */
export interface ImportResult {
  imported: number;
  known: number;
  refused: number;
  sessions: {
    index: number;
    sessionId: string;
    title: string | null;
    messageCount: number;
    known: boolean;
    leftOut: number;
  }[];
  refusals: { index: number; title: string | null; error: string; code: string }[];
  leftOut: { kind: string; count: number; message: string }[];
  stopped: Failure | null;
}

/** A warning that belongs to an answer or a document. */
export interface Notice {
  code: string;
  message: string;
}

/** What an answer cost; a figure that Ollama did not report is null. */
export interface Usage {
  promptTokens: number | null;
  completionTokens: number | null;
  tokensPerSecond: number | null;
  timeToFirstTokenMs: number | null;
  /** From the first thinking to the first text of the answer. */
  thinkingMs: number | null;
  loadMs: number | null;
  totalMs: number | null;
}

/** A passage of a document that the answer draws on. */
export interface Source {
  documentId: number;
  title: string;
  /** The number of the passage in its document, from 0. */
  chunk: number;
  /** The text of the passage. */
  snippet: string;
  score: number;
  /** The page of the file, from 1; null if it has none. */
  page: number | null;
  /** The heading that the passage begins below, as far as one is known. */
  heading: string | null;
  /** Where in the snippet the words are that were found: from, and up to, code points. */
  found: [number, number][];
  /** Whether the answer cites it; null until its end, and in searches. */
  cited: boolean | null;
}

/** Best match first. */
export interface SourceList {
  sources: Source[];
}

export interface DocumentInfo {
  id: number;
  title: string;
  mediaType: string;
  /** The size of the upload. */
  bytes: number;
  chunks: number;
  /** How many of the chunks are found by their meaning, too; null without a model for embeddings. */
  embedded: number | null;
  createdAt: string;
  /** What could not be read of it, or was guessed. Answers that draw on it have these, too. */
  warnings: Notice[];
}

/** Newest first. */
export interface DocumentPage {
  documents: DocumentInfo[];
  /** The `before` of the next page; null on the last one. */
  next: number | null;
}

export interface TextRequest {
  title: string;
  text: string;
}

export interface ModelInfo {
  name: string;
  parameterSize: string | null;
  quantization: string | null;
  sizeBytes: number | null;
  /** Tokens. */
  contextLength: number | null;
  capabilities: string[];
  loaded: boolean;
  tokensPerSecond: number | null;
  loadMs: number | null;
  /** Where there are several: those that have it. */
  hosts?: string[] | undefined;
}

export interface ModelList {
  models: ModelInfo[];
  /** What `auto` would choose for a short message; null if there is no model. */
  selected: SelectedModel | null;
}

export interface SelectedModel {
  model: string;
  reason: string;
  /** Whether `DEFAULT_MODEL` names it: it answers in every session that has no model of its own. */
  isDefault: boolean;
}

/** A session exported as JSON. */
export interface Export {
  session: Session;
  messages: ExportedMessage[];
}

export interface ExportedMessage extends Message {
  /** Each in base64; fewer than `imageCount` if the session has more than 16 MiB of them. */
  images: string[];
}

/** The body of `GET /readyz`, and of `POST`. */
export interface Readiness {
  status: "ready";
  ollama: OllamaState;
}

export interface OllamaState {
  reachable: boolean;
  version?: string | undefined;
  /** Why it is not reachable. */
  code?: string | undefined;
  /** How many Ollamas there are, where there are several, and how many of them are reachable. */
  hosts?: number | undefined;
  reachableHosts?: number | undefined;
}

// -- sending a message

export interface SendRequest {
  /** It may be empty beside images. */
  message: string;
  /** The document to answer from. Absent keeps the session's document, null removes it. */
  documentId?: number | null | undefined;
  /** Another spelling of `documentId`. */
  document_id?: number | null | undefined;
  /** All documents to answer from, 16 at most, instead of `documentId`; null or none removes those it has. */
  documentIds?: number[] | null | undefined;
  /** Another spelling of `documentIds`. */
  document_ids?: number[] | null | undefined;
  /** A name, or "auto". */
  model?: string | null | undefined;
  /** The system prompt. */
  system?: string | null | undefined;
  /** Up to 32, each in base64, alone or as a data URL. */
  images?: string[] | null | undefined;
  /** Passed to Ollama. Those that reload the model have to be allowed by the server's ALLOWED_OPTIONS. */
  options?: Record<string, unknown> | null | undefined;
  think?: Think | null | undefined;
  /** "json", or a JSON Schema. */
  format?: string | Record<string, unknown> | null | undefined;
  /**
   * How long the model stays loaded: seconds, or a duration such as "10m". It has to be allowed by the server's
   * ALLOWED_OPTIONS.
   */
  keep_alive?: string | number | null | undefined;
  /**
   * Identifies this message: sent again, it is answered only once. The client generates one if it is absent.
   */
  clientMessageId?: string | null | undefined;
  /** The id of the user message that this one replaces, with everything after it. */
  replaces?: number | null | undefined;
  /** Not sent. Stops watching; the server still finishes the answer. To stop that too, call `cancel()`. */
  signal?: AbortSignal | null | undefined;
}

/** A finished answer as one object. */
export interface WholeAnswer {
  userMessageId: number | null;
  assistantMessageId: number;
  fullResponse: string;
  thinking: string;
  documentIds: number[];
  sources: Source[];
  warnings: Notice[];
  model: string | null;
  modelReason: string | null;
  finishReason: FinishReason | null;
  usage: Usage | null;
}

// -- the stream

export type ChatEvent =
  StartEvent | StatusEvent | ThinkingEvent | ChunkEvent | WarningEvent | DoneEvent | ErrorEvent;

export interface StartEvent {
  type: "start";
  userMessageId: number | null;
  assistantMessageId: number;
  /** The documents that the answer draws on, and those after it. */
  documentIds: number[];
  sources: Source[];
  model: string | null;
  modelReason: string | null;
  sessionId: string;
  /** Possibly in mid-stream: the text starts again. Drop what you have, the whole text follows. */
  reset?: boolean | undefined;
}

export interface StatusEvent {
  type: "status";
  /** "reconnecting" comes from the client, which lost the connection; possibly before `start`. */
  state: "queued" | "loading" | "waiting" | "generating" | "reconnecting";
  /** The place in the queue: 1 is next. */
  position?: number | undefined;
  /** Since the state began. */
  elapsedMs: number;
  /** How long the state will probably go on. */
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
  /** null only if the answer was cancelled before the server started it. */
  assistantMessageId: number | null;
  fullResponse: string;
  sources: Source[];
  finishReason: FinishReason;
  model: string | null;
  /** Another one than in `start` if another model answered in the end. */
  modelReason: string | null;
  usage: Usage | null;
  cursor: string;
}

export interface ErrorEvent extends Failure<ErrorCode> {
  type: "error";
  /** null if there is no answer: the message was refused or never arrived. */
  assistantMessageId: number | null;
  /** The text so far. */
  fullResponse: string;
  cursor: string;
}

/** An error event of the client's: the message was refused. */
export interface RefusalEvent extends ErrorEvent {
  /** The field of the request that cannot be used. */
  field?: string | undefined;
}

// -- errors

export interface Failure<Code extends string = ServerErrorCode> {
  /** One sentence for people. */
  error: string;
  code: Code;
  /** Whether the same request may succeed later. */
  retryable: boolean;
  /** Of the request that asked for the answer; the server's log has it, too. */
  requestId?: string;
}

/** The body of a response with a status of 400 or more. */
export interface ErrorBody {
  /** One sentence for people. */
  error: string;
  code: ServerErrorCode;
  /** The field of the request that is invalid. */
  field?: string | undefined;
  /** The answer that keeps the session busy. */
  activeMessageId?: number | undefined;
  assistantMessageId?: number | undefined;
  /** The text so far. */
  fullResponse?: string | undefined;
  /** Models that are installed, up to 100. */
  installed?: string[] | undefined;
  /** Tokens that the prompt needs. */
  neededTokens?: number | undefined;
  /** Tokens that the model has room for. */
  contextLength?: number | undefined;
  /** Whether a request without a token may ask for a visitor's. */
  visitors?: boolean | undefined;
  /** Of the request that asked for an answer that failed. */
  requestId?: string | undefined;
}

/** The codes of this version; a newer server may send others. */
export type ServerErrorCode =
  | "malformed"
  | "invalid_cursor"
  | "unsupported_parameter"
  | "unauthorized"
  | "host_not_allowed"
  | "origin_not_allowed"
  | "managed_elsewhere"
  | "not_for_visitors"
  | "not_found"
  | "method_not_allowed"
  | "session_busy"
  | "too_large"
  | "unsupported_media_type"
  | "invalid"
  | "idempotency_conflict"
  | "model_not_found"
  | "no_suitable_model"
  | "message_too_long"
  | "option_not_allowed"
  | "too_many_subscribers"
  | "visitor_limit"
  | "internal"
  | "upstream_unavailable"
  | "upstream_error"
  | "upstream_incomplete"
  | "upstream_invalid"
  | "interrupted"
  | "overloaded"
  | "shutting_down"
  | "no_models"
  | "upstream_timeout"
  | "storage_full";

/**
 * The client's own codes: the connection broke and could not be restored, `signal` aborted the request, a
 * proxy answered with an error instead of chatproxy, a proxy asks for a login, the address is not that of a
 * chatproxy server. The element's own: it is in a bundle and has no address, its session was deleted elsewhere, or
 * its document was.
 */
export type ClientErrorCode =
  | "connection_lost"
  | "aborted"
  | "http_error"
  | "login_expired"
  | "unexpected_answer"
  | "no_endpoint"
  | "session_gone"
  | "document_gone"
  | "too_many_documents";

export type ErrorCode = ServerErrorCode | ClientErrorCode;

// -- the client

export interface ChatClientOptions {
  /** Where chatproxy is mounted. Default: the server of this module; in a bundle, that of the page. */
  baseUrl?: string | URL | undefined;
  /**
   * Sent with every request, for example `Authorization`. A function is called before each request, and once
   * more if the request was refused. Without a token in them, and where the server has visitors, the client
   * asks for a visitor's token, keeps it and renews it.
   */
  headers?: HeadersInit | ((reason: HeadersReason) => HeadersInit | Promise<HeadersInit>) | undefined;
  fetch?: typeof globalThis.fetch | undefined;
}

/** Why a function is asked for headers: `unauthorized` if the ones before were refused, with 401. */
export interface HeadersReason {
  unauthorized: boolean;
}

/** A visitor's token, and in how many seconds it expires. */
export interface VisitorToken {
  token: string;
  expiresIn: number;
}

export type OnChunk = (chunk: string) => void;
/**
 * `messageId` is null only if the answer was cancelled before the server started it. Callbacks that take a `number`
 * are accepted, which only the type of a method allows.
 */
export type OnComplete = {
  call(fullResponse: string, messageId: number | null, sources: Source[]): void;
}["call"];
export type OnError = (error: ChatError) => void;

export interface AnswerCallbacks {
  /**
   * Drop the text so far, and for `resume` also the text before the cursor; all of it follows. The server has
   * lost some of it, or what came as the answer was thinking, or the other way round.
   */
  onReset?: (() => void) | null | undefined;
  onChunk?: OnChunk | null | undefined;
  onComplete?: OnComplete | null | undefined;
  onError?: OnError | null | undefined;
}

/**
 * An answer in progress.
 *
 * As a promise, it settles after `onComplete` or `onError`: it resolves to the `done` event, or to undefined
 * after `onError`. It rejects, with a ChatError, only if there is no `onError`. As an async iterable, at any
 * time and any number of times, it yields all events from the first one; the last is `done` or `error`.
 * Iterating never throws.
 */
export interface AnswerStream extends Promise<DoneEvent | undefined>, AsyncIterable<ChatEvent> {
  [Symbol.asyncIterator](): AsyncIterator<ChatEvent>;
  /**
   * Stops the answer on the server, for all readers; it ends with `done` and its text so far. Never rejects.
   */
  cancel(): Promise<void>;
}

/** Every failed call ends with one: a sentence for people in `message`, a `code` for programs. */
export declare class ChatError extends Error {
  constructor(message: string, code: ErrorCode, details?: ErrorDetails);
  code: ErrorCode;
  /** The HTTP status; 0 if there was no response. */
  status: number;
  /** Whether the same request may succeed later. */
  retryable: boolean;
  /** The `Retry-After` header, in milliseconds. */
  retryAfter: number | undefined;
  /** The text so far. */
  fullResponse: string;
  assistantMessageId: number | null;
  /** The answer that keeps the session busy. */
  activeMessageId: number | null;
  /** The field of the request that is invalid. */
  field: string | undefined;
  /** Models that are installed, up to 100. */
  installed: string[] | undefined;
  /** Tokens that the prompt needs. */
  neededTokens: number | undefined;
  /** Tokens that the model has room for. */
  contextLength: number | undefined;
  /** Leads to what the server's log says; undefined if no server has answered. */
  requestId: string | undefined;
}

export interface ErrorDetails extends Partial<Omit<ErrorBody, "error" | "code" | "assistantMessageId">> {
  assistantMessageId?: number | null | undefined;
  retryable?: boolean | undefined;
  status?: number | undefined;
  retryAfter?: number | undefined;
  cause?: unknown;
}

export interface PageQuery {
  limit?: number | undefined;
  /** `next` of the previous page. */
  before?: string | number | null | undefined;
  signal?: AbortSignal | null | undefined;
}

export interface UploadProgress {
  /** Bytes. */
  loaded: number;
  total: number;
}

export interface ChatClient {
  readonly baseUrl: string;

  /** Sends a message and streams the answer. */
  sendMessageStream(
    sessionId: string,
    request: SendRequest,
    onChunk?: OnChunk | null,
    onComplete?: OnComplete | null,
    onError?: OnError | null,
  ): AnswerStream;

  /** Sends a message and returns the whole answer. */
  sendMessage(sessionId: string, request: SendRequest): Promise<WholeAnswer>;

  /**
   * Watches an answer, running or finished, from the cursor on; without a cursor, from the beginning.
   *
   * A `start` with `reset`, possibly a second one, says that the text starts again: drop everything so far,
   * including the text before the cursor; all of it follows. Callbacks hear of it from `onReset`.
   */
  resume(
    sessionId: string,
    messageId: number,
    cursor?: string | null,
    options?: AnswerCallbacks & { signal?: AbortSignal | null | undefined },
  ): AnswerStream;

  sessions: {
    create(fields?: SessionRequest): Promise<Session>;
    list(query?: PageQuery & { q?: string | undefined; pinned?: true | undefined }): Promise<SessionPage>;
    get(sessionId: string): Promise<Session>;
    update(sessionId: string, fields: SessionRequest): Promise<Session>;
    delete(sessionId: string): Promise<void>;
    export(sessionId: string, format?: "json" | "markdown"): Promise<Blob>;
    /** All sessions, as one JSON file. */
    exportAll(): Promise<Blob>;
    /** Of a file that chatproxy, ChatGPT or Open WebUI exported. */
    import(file: Blob, options?: { signal?: AbortSignal | null | undefined }): Promise<ImportResult>;
  };

  messages: {
    /** The newest page, oldest message first. */
    list(sessionId: string, query?: PageQuery): Promise<MessagePage>;
    /** What stood in the message's place, itself included. */
    versions(sessionId: string, messageId: number, query?: PageQuery): Promise<VersionPage>;
    /** Together with its versions. */
    delete(sessionId: string, messageId: number): Promise<void>;
    cancel(sessionId: string, messageId: number): Promise<Message>;
    /** An image that was sent with a message; `number` counts from 0, up to its `imageCount`. */
    image(
      sessionId: string,
      messageId: number,
      number: number,
      options?: { signal?: AbortSignal | null | undefined },
    ): Promise<Blob>;
  };

  documents: {
    create(
      document: Blob | TextRequest,
      options?: {
        onProgress?: (progress: UploadProgress) => void;
        /** What a file of text is in; found out if it is absent. */
        encoding?: string | null | undefined;
        signal?: AbortSignal | null | undefined;
      },
    ): Promise<DocumentInfo>;
    list(query?: PageQuery): Promise<DocumentPage>;
    get(documentId: number): Promise<DocumentInfo>;
    delete(documentId: number): Promise<void>;
    search(
      documentId: number,
      q: string,
      options?: { signal?: AbortSignal | null | undefined },
    ): Promise<SourceList>;
  };

  models(): Promise<ModelList>;
}
