// The types of sse.js.

export interface ServerSentEvent {
  /** The values of the `data:` lines, joined by LF. */
  data: string;
  /** The value of the `event:` line; undefined if there was none. */
  event: string | undefined;
  /** The value of this event's own `id:` line; undefined if there was none. */
  id: string | undefined;
}

export type ParseErrorType = "max-buffer-size-exceeded" | "unknown-field" | "invalid-retry";

export declare class ParseError extends Error {
  constructor(
    message: string,
    details: { type: ParseErrorType; field?: string; value?: string; line?: string },
  );
  type: ParseErrorType;
  /** The name of an unknown field. */
  field: string | undefined;
  /** The value of an unknown field or of an invalid `retry:`. */
  value: string | undefined;
  /** The whole line that was ignored. */
  line: string | undefined;
}

export interface ParserOptions {
  /**
   * Called for lines that the parser ignores although they are not comments, and once when `maxBufferSize` is
   * exceeded. By default such lines are ignored silently.
   */
  onError?: ((error: ParseError) => void) | undefined;
  /**
   * The most characters held of an event that is not complete: its unfinished line and its data so far. Past
   * it, `onError` is called with the type `max-buffer-size-exceeded`, what was held is dropped, and `feed`
   * throws until `reset` is called. Default: no limit.
   */
  maxBufferSize?: number | undefined;
}

export interface Parser {
  /**
   * Parses the next piece of the stream. It may end anywhere, even inside a character. Feed only bytes or
   * only text.
   */
  feed(piece: string | Uint8Array): void;
  /** Prepares for another stream: an unfinished event is dropped. */
  reset(): void;
}

export function createParser(onEvent: (event: ServerSentEvent) => void, options?: ParserOptions): Parser;
