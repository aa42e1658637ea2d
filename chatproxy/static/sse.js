// Server-Sent Events, pure: pieces of text or bytes in, events out. Knows nothing of HTTP or chat.
//
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

const BOM = "\uFEFF";

/**
 * @typedef {import("./sse.js").ServerSentEvent} ServerSentEvent
 * @type {typeof import("./sse.js").createParser}
 */
export const createParser = (onEvent) => {
  let decoder = newDecoder();
  let atStart = true;
  let afterCR = false; // an LF that comes next belongs to the CR before it
  let line = ""; // what has come of the line that has not ended yet
  let event = newEvent();

  /** @param {string | Uint8Array} piece */
  const feed = (piece) => {
    let text = typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
    if (text === "") return;
    if (atStart && text.startsWith(BOM)) text = text.slice(1);
    atStart = false;
    feedText(text);
  };

  /** Looks at the new piece only, so that a long line costs what its length costs. @param {string} text */
  const feedText = (text) => {
    const lineEnd = /\r\n|\r|\n/g;
    let start = afterCR && text.startsWith("\n") ? 1 : 0;
    lineEnd.lastIndex = start;
    for (let end = lineEnd.exec(text); end !== null; end = lineEnd.exec(text)) {
      takeLine(line + text.slice(start, end.index));
      line = "";
      start = lineEnd.lastIndex;
    }
    line += text.slice(start);
    afterCR = text.endsWith("\r");
  };

  /** @param {string} whole */
  const takeLine = (whole) => {
    if (whole === "") return dispatch();
    const colon = whole.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? whole : whole.slice(0, colon);
    const value = colon < 0 ? "" : whole.slice(whole[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") event.data.push(value);
    else if (field === "event") event.event = value || undefined;
    else if (field === "id" && !value.includes("\0")) event.id = value;
  };

  const dispatch = () => {
    const { data, ...rest } = event;
    event = newEvent();
    if (data.length > 0) onEvent({ ...rest, data: data.join("\n") });
  };

  /** Forgets an event that has not ended: the stream that carried it did. */
  const reset = () => {
    decoder = newDecoder();
    atStart = true;
    afterCR = false;
    line = "";
    event = newEvent();
  };

  return { feed, reset };
};

const newDecoder = () => new TextDecoder("utf-8", { ignoreBOM: true }); // `feed` takes it off, in text too

/** @returns {{event: string | undefined, id: string | undefined, data: string[]}} */
const newEvent = () => ({ event: undefined, id: undefined, data: [] });
