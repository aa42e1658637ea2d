// The types of sse.js.

export interface ServerSentEvent {
  /** The `data:` lines, joined by LF. */
  data: string;
  /** The `event:` field; undefined where there is none. */
  event: string | undefined;
  /** The `id:` of this event itself; undefined where it has none. */
  id: string | undefined;
}

export interface Parser {
  /** Takes the next piece, cut anywhere, also inside a character; all pieces bytes, or all text. */
  feed(piece: string | Uint8Array): void;
  /** To be called between two streams: an event that has not ended is forgotten. */
  reset(): void;
}

export function createParser(onEvent: (event: ServerSentEvent) => void): Parser;
