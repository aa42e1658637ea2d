// The events of one answer, kept in order: every iteration, whenever it starts, yields all of them.

/** @typedef {import("../types.js").ChatEvent} ChatEvent */

export class EventLog {
  /** @type {ChatEvent[]} */
  #events = [];
  #ended = false;
  #change = newSignal();

  /** @param {ChatEvent} event */
  push(event) {
    this.#events.push(event);
    this.#wakeReaders();
  }

  end() {
    this.#ended = true;
    this.#wakeReaders();
  }

  async *[Symbol.asyncIterator]() {
    for (let next = 0; ; next++) {
      while (next >= this.#events.length) {
        if (this.#ended) return;
        await this.#change.promise;
      }
      yield /** @type {ChatEvent} */ (this.#events[next]);
    }
  }

  #wakeReaders() {
    this.#change.resolve();
    this.#change = newSignal();
  }
}

/** Return a promise and its resolver; `Promise.withResolvers` is too new for Node 18. */
const newSignal = () => {
  let resolve = () => {};
  const promise = /** @type {Promise<void>} */ (new Promise((done) => void (resolve = done)));
  return { promise, resolve };
};
