// What the server is doing for this answer, in a few words; times go on between its messages.

import { h } from "../dom/dom.js";

export class StatusLine {
  /** @type {any} */
  #status = null;
  #thinks = false; // as its newest text says
  #since = 0;
  #timer = 0;

  /** @param {import("./labels.js").Labels} labels @param {(sentence: string) => void} onnotice */
  constructor(labels, onnotice) {
    this.labels = labels;
    this.onnotice = onnotice;
    this.element = h("div", { class: "status", part: "status", hidden: true });
  }

  /** @param {any} status a `status` event */
  show(status) {
    if (status.state === "reconnecting" && this.#status?.state !== "reconnecting") this.onnotice(this.labels.reconnecting);
    this.#status = status;
    this.#since = performance.now() - (status.elapsedMs ?? 0);
    this.#timer ||= setInterval(() => this.#write(), 1000);
    this.#write();
  }

  /** Text has come: it is neither waited for nor is the connection lost. @param {boolean} thinking */
  grown(thinking) {
    if (this.#status?.state === "generating" && this.#thinks === thinking) return; // as for nearly every token
    this.#thinks = thinking;
    if (this.#status?.state !== "generating") this.#status = { state: "generating" };
    this.#write();
  }

  clear() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#status = null;
    this.#thinks = false;
    this.element.hidden = true;
    this.element.textContent = "";
  }

  #write() {
    const words = this.#words();
    this.element.hidden = !words;
    if (this.element.textContent !== words) this.element.textContent = words;
  }

  #words() {
    const { labels } = this;
    const { state, position, tokensPerSecond } = this.#status;
    const seconds = Math.floor((performance.now() - this.#since) / 1000);
    if (state === "queued") return labels.queued(position ?? 1);
    if (state === "loading") return labels.loading(seconds);
    if (state === "waiting") return labels.waiting(seconds);
    if (state === "reconnecting") return labels.reconnecting;
    if (state === "generating" && tokensPerSecond) return labels.generating(tokensPerSecond);
    if (state === "generating") return this.#thinks ? labels.thinking : labels.writing;
    return state === "starting" ? labels.starting : "";
  }
}
