// What the server is doing for the answer in progress, in a few words. Times count on between its events.

import { h } from "../dom/dom.js";

/**
 * What is shown: a `status` event or parts of it. "starting" is the time before the first one.
 *
 * @typedef {Partial<Omit<import("../types.js").StatusEvent, "state">>
 *   & {state: import("../types.js").StatusEvent["state"] | "starting"}} Status
 */

export class StatusLine {
  element = h("div", { class: "status", part: "status", hidden: true });
  /** @type {Status | null} */
  #status = null;
  #thinking = false; // whether the newest text was
  #since = 0;
  #due = NaN; // when the state will probably be over
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;

  /** @param {import("../chat-interface.js").Labels} labels @param {(sentence: string) => void} onnotice */
  constructor(labels, onnotice) {
    this.labels = labels;
    this.onnotice = onnotice;
  }

  /** @param {Status} status */
  show(status) {
    const lost = status.state === "reconnecting" && this.#status?.state !== "reconnecting";
    if (lost) this.onnotice(this.labels.reconnecting);
    this.#status = status;
    this.#since = performance.now() - (status.elapsedMs ?? 0);
    this.#due = performance.now() + (status.etaMs ?? NaN);
    this.#timer ??= setInterval(() => this.#render(), 1000);
    this.#render();
  }

  /**
   * Show that text has arrived, so the server is generating and the connection is not lost.
   *
   * @param {boolean} thinking
   */
  showText(thinking) {
    if (this.#status?.state === "generating" && this.#thinking === thinking) return; // as for most tokens
    this.#thinking = thinking;
    if (this.#status?.state !== "generating") this.#status = { state: "generating" };
    this.#render();
  }

  clear() {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#status = null;
    this.#thinking = false;
    this.#render();
  }

  #render() {
    const text = this.#text();
    this.element.hidden = !text;
    if (this.element.textContent !== text) this.element.textContent = text;
  }

  #text() {
    if (!this.#status) return "";
    const { labels } = this;
    const { state, position, tokensPerSecond } = this.#status;
    const seconds = Math.floor((performance.now() - this.#since) / 1000);
    const left = Math.ceil((this.#due - performance.now()) / 1000);
    switch (state) {
      case "starting":
        return labels.starting;
      case "queued":
        return labels.queued(position ?? 1, left > 0 ? left : undefined);
      case "loading":
        return labels.loading(seconds);
      case "waiting":
        return labels.waiting(seconds);
      case "reconnecting":
        return labels.reconnecting;
      case "generating":
        if (tokensPerSecond) return labels.generating(tokensPerSecond);
        return this.#thinking ? labels.thinking : labels.writing;
      default:
        return ""; // a state of a later version
    }
  }
}
