// What is the matter with Ollama, in a line above the conversation; nothing while it is well.

const DEMO = "0.0.0-demo"; // the version that the embedded stand-in gives
const STAND_IN = "Answers come from the embedded stand-in, which is not a language model.";
/** @type {Record<string, string>} */
const WHY = {
  upstream_unavailable: "nobody answers at OLLAMA_HOST; start it with `ollama serve`, or set that.",
  upstream_timeout: "it does not answer in time.",
  upstream_invalid: "what answers at OLLAMA_HOST is something else.",
};

export class OllamaBanner {
  #well = true;

  /** @param {HTMLElement} place @param {string} baseUrl */
  constructor(place, baseUrl) {
    this.place = place;
    this.url = new URL("readyz", baseUrl).href;
  }

  async look() {
    const ollama = await stateOf(this.url);
    if (!ollama) return; // the server itself is not well, which is not told here
    this.#well = ollama.reachable;
    const sentence = sentenceOn(ollama);
    if (this.place.textContent !== sentence) this.place.textContent = sentence;
    this.place.classList.toggle("bad", !ollama.reachable);
    this.place.hidden = !sentence;
  }

  /** Once it was not well, whether it is again. */
  lookAgain() {
    if (!this.#well) this.look();
  }
}

/** @param {string} url @returns {Promise<{reachable: boolean, version?: string, code?: string} | undefined>} */
async function stateOf(url) {
  try {
    const response = await fetch(url);
    return response.ok ? (await response.json()).ollama : undefined;
  } catch {
    return undefined;
  }
}

/** @param {{reachable: boolean, version?: string, code?: string}} ollama */
function sentenceOn({ reachable, version, code = "" }) {
  if (reachable) return version === DEMO ? STAND_IN : "";
  return `Ollama cannot be reached: ${WHY[code] ?? "it answers with an error."}`;
}
