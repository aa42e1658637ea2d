// A parser for Server-Sent Events: pieces of text or bytes in, events out. It knows nothing of HTTP or chat.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

const BOM = "\uFEFF";

/** @typedef {import("./sse.js").ServerSentEvent} ServerSentEvent */

/** A line that was ignored, or an event too long to hold. */
export class ParseError extends Error {
  /**
   * @param {string} message
   * @param {{type: import("./sse.js").ParseErrorType, field?: string, value?: string, line?: string}} details
   */
  constructor(message, { type, field, value, line }) {
    super(message);
    this.name = "ParseError";
    this.type = type;
    this.field = field;
    this.value = value;
    this.line = line;
  }
}

/**
 * Create a parser that calls `onEvent` for each complete event.
 *
 * @type {typeof import("./sse.js").createParser}
 */
export const createParser = (onEvent, { onError, maxBufferSize = Infinity } = {}) => {
  let decoder = newDecoder();
  let atStart = true;
  let afterCR = false; // an LF that comes next completes the CRLF
  let line = ""; // the unfinished line
  let event = newEvent();
  let dataLength = 0; // of the unfinished event, with the LFs that join its lines
  let exceeded = false;

  /** @param {string | Uint8Array} piece */
  const feed = (piece) => {
    if (exceeded) {
      throw new Error("The parser stopped at maxBufferSize; call reset() before the next stream.");
    }
    let text = typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
    if (text === "") return;
    if (atStart && text.startsWith(BOM)) text = text.slice(1);
    atStart = false;
    feedText(text);
  };

  /**
   * Split the text into lines, O(length of the text): an unfinished line is never scanned again, and
   * appending to it is cheap (engines concatenate lazily), so a line in n pieces costs its length and not n
   * times that.
   *
   * @param {string} text
   */
  const feedText = (text) => {
    const lineEnd = /\r\n|\r|\n/g;
    let start = afterCR && text.startsWith("\n") ? 1 : 0;
    lineEnd.lastIndex = start;
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      line += text.slice(start, end.index);
      if (exceedsBuffer()) return;
      parseLine(line);
      line = "";
      start = lineEnd.lastIndex;
    }
    line += text.slice(start);
    afterCR = text.endsWith("\r");
    exceedsBuffer();
  };

  /** Stop at an event that is too long, however the stream was cut into pieces. */
  const exceedsBuffer = () => {
    if (line.length + dataLength <= maxBufferSize) return false;
    reset();
    exceeded = true;
    const message = `An event is longer than the limit of ${maxBufferSize} characters.`;
    onError?.(new ParseError(message, { type: "max-buffer-size-exceeded" }));
    return true;
  };

  /** @param {string} whole */
  const parseLine = (whole) => {
    if (whole === "") return dispatch();
    const colon = whole.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? whole : whole.slice(0, colon);
    const value = colon < 0 ? "" : whole.slice(whole[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") addData(value);
    else if (field === "event") event.event = value || undefined;
    else if (field === "id") event.id = value.includes("\0") ? event.id : value;
    else if (field !== "retry") reportUnknown(field, value, whole);
    else if (!/^\d+$/.test(value)) {
      onError?.(
        new ParseError(`"${value}" is not a valid retry time.`, {
          type: "invalid-retry",
          value,
          line: whole,
        }),
      );
    }
  };

  /** @param {string} value */
  const addData = (value) => {
    dataLength += value.length + (event.data.length > 0 ? 1 : 0);
    event.data.push(value);
  };

  /** @param {string} field @param {string} value @param {string} whole */
  const reportUnknown = (field, value, whole) => {
    const message = `There is no field "${field.slice(0, 20)}" in the standard.`;
    onError?.(new ParseError(message, { type: "unknown-field", field, value, line: whole }));
  };

  const dispatch = () => {
    const { data, ...rest } = event;
    event = newEvent();
    dataLength = 0;
    if (data.length > 0) onEvent({ ...rest, data: data.join("\n") });
  };

  const reset = () => {
    decoder = newDecoder();
    atStart = true;
    afterCR = false;
    line = "";
    event = newEvent();
    dataLength = 0;
    exceeded = false;
  };

  return { feed, reset };
};

/** Return a decoder that keeps a BOM; `feed` removes the first one. */
const newDecoder = () => new TextDecoder("utf-8", { ignoreBOM: true });

/** @returns {{event: string | undefined, id: string | undefined, data: string[]}} */
const newEvent = () => ({ event: undefined, id: undefined, data: [] });
