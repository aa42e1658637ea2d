// The events of one answer, kept: whoever iterates, whenever, gets all of them in their order.

/** @typedef {import("../types.js").ChatEvent} ChatEvent */

export class EventLog {
  /** @type {ChatEvent[]} */
  #events = [];
  #ended = false;
  #changed = signalled();

  /** @param {ChatEvent} event */
  push(event) {
    this.#events.push(event);
    this.#tell();
  }

  end() {
    this.#ended = true;
    this.#tell();
  }

  #tell() {
    this.#changed.tell();
    this.#changed = signalled();
  }

  async *[Symbol.asyncIterator]() {
    for (let next = 0; ; next++) {
      while (next >= this.#events.length) {
        if (this.#ended) return;
        await this.#changed.promise;
      }
      yield /** @type {ChatEvent} */ (this.#events[next]);
    }
  }
}

const signalled = () => {
  let tell = () => {};
  const promise = /** @type {Promise<void>} */ (new Promise((resolve) => void (tell = resolve)));
  return { promise, tell };
};
