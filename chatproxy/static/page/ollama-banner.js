// A line above the conversation that says what is wrong with Ollama, and is up to date while the page is seen.
//
// It asks chatproxy at `/readyz`, and again some time after each answer. There (in web/api/health.py), an answer
// holds for KNOWN_FOR = 1 s. Ollama is away when it has been asked, and silent for SILENCE = 3.5 s; meanwhile,
// answers take PATIENCE = 1 s, and say what was known before.
//
// The line comes within 8 s: 1 (an answer from just before) + REST, 1 + REST, by which the silence is over, + 1
// (if Ollama is asked again). It comes within 1 + REST = 3.5 s of an Ollama that refuses connections.
//
// It goes within 3 s: a request that was lost without a trace is sent again by the system within 2 s, or given up
// within 1 s, which is known for 1 s more; then + RETRY. Within 1 + RETRY = 2 s, if it was refused. An Ollama that
// needs up to 2 s for an answer has 1 + RETRY + 1 + RETRY = 4 s, as it is asked by the second question, and the
// third has the answer.
//
// The rest, up to 10 s and 5 s, is for a slow network and a busy machine.
//
// It asks by POST, as messages are sent. Behind a proxy that changes the Host, chatproxy may take this page for another
// server's, and would refuse every message; then it refuses this, and the line says so before anything is written.
//
// Without an answer, nothing is known of Ollama. The line stays for a while, so that it does not flicker when
// chatproxy restarts.

import { texts } from "./texts.js";

const REST = 2500; // ms from an answer to the next question
const RETRY = 1000; // ms, after an answer that Ollama is away, or none
const PATIENCE = 2500; // ms for which an answer is waited for: that of chatproxy, and a slow network
const KNOWN_FOR = 10_000; // ms for which an answer holds

const REFUSED = "origin_not_allowed";
const STAND_IN = "0.0.0-demo"; // the version that the built-in stand-in for Ollama reports
const { ollama: sentences } = texts.page;
/** @type {Record<string, string>} */
const PROBLEMS = {
  upstream_unavailable: sentences.unavailable,
  upstream_timeout: sentences.timeout,
  upstream_invalid: sentences.invalid,
};

/** @typedef {import("../types.js").OllamaState} OllamaState */

export class OllamaBanner {
  #element;
  #url;
  #onread;
  #reading = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} ends the question under way, or begins the next one */
  #timer;
  #readAt = 0;

  /**
   * @param {HTMLElement} element a live region: it is never hidden, only empty, so that changes are announced
   * @param {string} baseUrl
   * @param {(reachable: boolean, isStandIn: boolean) => void} onread called with each answer
   */
  constructor(element, baseUrl, onread) {
    this.#element = element;
    this.#url = new URL("readyz", baseUrl).href;
    this.#onread = onread;
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Ask now, and from then on while the page is seen. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#reading.abort();
    const reading = (this.#reading = new AbortController());
    if (document.hidden) return;
    this.#timer = setTimeout(() => reading.abort(), PATIENCE);
    const ollama = await this.#readState(reading.signal);
    if (reading !== this.#reading) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), ollama?.reachable ? REST : RETRY);
    if (ollama) {
      this.#readAt = Date.now();
      this.#show(ollama);
      this.#onread(ollama.reachable, ollama.version === STAND_IN);
    } else if (Date.now() - this.#readAt >= KNOWN_FOR) {
      this.#show({ reachable: true });
    }
  }

  /** @param {AbortSignal} signal @returns {Promise<OllamaState | undefined>} */
  async #readState(signal) {
    try {
      const response = await fetch(this.#url, { method: "POST", cache: "no-store", signal });
      const { ollama, code } = await response.json();
      if (code === REFUSED) return { reachable: false, code };
      return response.ok ? ollama : undefined;
    } catch {
      return undefined;
    }
  }

  /** @param {OllamaState} ollama */
  #show(ollama) {
    const sentence = sentenceFor(ollama);
    if (this.#element.textContent !== sentence) this.#element.textContent = sentence;
    this.#element.classList.toggle("bad", !ollama.reachable);
  }
}

/** @param {OllamaState} ollama */
function sentenceFor({ reachable, version, code = "" }) {
  if (reachable) return version === STAND_IN ? sentences.standIn : "";
  if (code === REFUSED) return texts.page.refusedOrigin(location.origin);
  return PROBLEMS[code] ?? sentences.failing;
}
