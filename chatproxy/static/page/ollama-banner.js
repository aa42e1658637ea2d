// A line above the conversation that says what is wrong with Ollama.

const DEMO = "0.0.0-demo"; // the version that the built-in stand-in for Ollama reports
const STAND_IN = "Answers come from a built-in stand-in, not from a language model.";
/** @type {Record<string, string>} */
const REASONS = {
  upstream_unavailable:
    "nothing answers at OLLAMA_HOST; start it with `ollama serve`, or correct OLLAMA_HOST.",
  upstream_timeout: "it does not answer in time.",
  upstream_invalid: "what answers at OLLAMA_HOST is something else.",
};

/** @typedef {import("../types.js").OllamaState} OllamaState */

export class OllamaBanner {
  #element;
  #url;
  #reachable = true;

  /** @param {HTMLElement} element @param {string} baseUrl */
  constructor(element, baseUrl) {
    this.#element = element;
    this.#url = new URL("readyz", baseUrl).href;
  }

  async refresh() {
    const ollama = await this.#readState();
    if (!ollama) return; // chatproxy itself is not ready, which is not for this line to say
    this.#reachable = ollama.reachable;
    const sentence = sentenceFor(ollama);
    if (this.#element.textContent !== sentence) this.#element.textContent = sentence;
    this.#element.classList.toggle("bad", !ollama.reachable);
    this.#element.hidden = !sentence;
  }

  /** Refresh only if Ollama was not reachable. */
  recheck() {
    if (!this.#reachable) this.refresh();
  }

  /** @returns {Promise<OllamaState | undefined>} */
  async #readState() {
    try {
      const response = await fetch(this.#url);
      if (!response.ok) return undefined;
      return /** @type {import("../types.js").Readiness} */ (await response.json()).ollama;
    } catch {
      return undefined;
    }
  }
}

/** @param {OllamaState} ollama */
function sentenceFor({ reachable, version, code = "" }) {
  if (reachable) return version === DEMO ? STAND_IN : "";
  return `Ollama cannot be reached: ${REASONS[code] ?? "it answers with an error."}`;
}
