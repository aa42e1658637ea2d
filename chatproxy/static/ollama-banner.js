// What is the matter with Ollama, in a line above the conversation; nothing while it is well.

const DEMO = "0.0.0-demo"; // the version that the embedded stand-in gives
const STAND_IN = "Answers come from the embedded stand-in, which is not a language model.";
const UNREACHABLE = "Ollama cannot be reached";

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

/** @param {string} url @returns {Promise<{reachable: boolean, version?: string, error?: string} | undefined>} */
async function stateOf(url) {
  try {
    const response = await fetch(url);
    return response.ok ? (await response.json()).ollama : undefined;
  } catch {
    return undefined;
  }
}

/** @param {{reachable: boolean, version?: string, error?: string}} ollama */
function sentenceOn({ reachable, version, error = "" }) {
  if (reachable) return version === DEMO ? STAND_IN : "";
  return error.startsWith(UNREACHABLE) ? error : `${UNREACHABLE}: ${error}`;
}
