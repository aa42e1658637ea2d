// The events of one answer, kept in order: every iteration, whenever it starts, yields all of them.
//
// Text is kept in pieces and not by token, which would take ten times its size. An iteration that is in step
// is given each token as it comes; one that lags or starts late is given the same text in fewer events.

const PIECE = 4096; // characters

/**
 * @typedef {import("../types.js").ChatEvent} ChatEvent
 * @typedef {import("../types.js").ThinkingEvent | import("../types.js").ChunkEvent} TextEvent
 */

export class EventLog {
  /** @type {ChatEvent[]} */
  #events = [];
  #ended = false;
  #change = newSignal();

  /** @param {ChatEvent} event */
  push(event) {
    const last = this.#events.at(-1);
    if (isText(event) && last && isText(last) && last.type === event.type && last.content.length < PIECE) {
      this.#events[this.#events.length - 1] = { ...event, content: last.content + event.content };
    } else {
      this.#events.push(event);
    }
    this.#wakeReaders();
  }

  end() {
    this.#ended = true;
    this.#wakeReaders();
  }

  async *[Symbol.asyncIterator]() {
    let index = 0;
    let offset = 0; // in the text of that event
    for (;;) {
      const event = this.#events[index];
      if (event && isText(event) && event.content.length > offset) {
        const content = event.content.slice(offset);
        offset = event.content.length;
        yield { ...event, content };
      } else if (event && !isText(event)) {
        index += 1;
        yield event;
      } else if (index + 1 < this.#events.length) {
        index += 1;
        offset = 0;
      } else if (this.#ended) {
        return;
      } else {
        await this.#change.promise;
      }
    }
  }

  #wakeReaders() {
    this.#change.resolve();
    this.#change = newSignal();
  }
}

/** @param {ChatEvent} event @returns {event is TextEvent} */
const isText = (event) => event.type === "thinking" || event.type === "chunk";

/** Return a promise and its resolver; `Promise.withResolvers` is too new for Node 18. */
const newSignal = () => {
  let resolve = () => {};
  const promise = /** @type {Promise<void>} */ (new Promise((done) => void (resolve = done)));
  return { promise, resolve };
};
