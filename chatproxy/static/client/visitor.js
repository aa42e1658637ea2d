// A visitor's token: asked for when the server wants a token and has visitors, kept, and renewed in time.

import { store, stored } from "./storage.js";

/**
 * @typedef {import("../types.js").VisitorToken} VisitorToken
 * @typedef {{token: string, renewAt: number}} Kept renewAt in ms, by this machine's clock
 * @typedef {(token: string) => Promise<VisitorToken>} Ask asks for a later token; with "", for a new visitor's
 */

const KEY = "chatproxy visitor";

/** The visitor that a browser is for one server: in all its tabs, and after a restart. */
export class Visitor {
  #key;
  #ask;
  /** @type {Promise<string> | undefined} */
  #asking;

  /** @param {string} baseUrl @param {Ask} ask */
  constructor(baseUrl, ask) {
    this.#key = `${KEY} ${baseUrl}`;
    this.#ask = ask;
  }

  /** Return the token to send, renewed if half of its time is over; "" if there is none. */
  async token() {
    const kept = this.#load();
    if (!kept || Date.now() < kept.renewAt) return kept?.token ?? "";
    return this.#once(async () => {
      try {
        return this.#keep(await this.#ask(kept.token));
      } catch {
        return kept.token; // the server is away, or refuses what is sent with it, too
      }
    });
  }

  /**
   * Return another token than the one that was refused: what another tab has got meanwhile, or a new visitor's.
   *
   * @param {string} refused "" if none was sent
   */
  replace(refused) {
    const another = () => {
      const token = this.#load()?.token;
      return token && token !== refused ? token : undefined;
    };
    return this.#once(async () => {
      const known = another();
      if (known) return known;
      const given = await this.#ask("");
      return another() ?? this.#keep(given);
    });
  }

  /** @param {() => Promise<string>} act */
  #once(act) {
    this.#asking ??= act().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** @returns {Kept | null} */
  #load() {
    try {
      return JSON.parse(stored("localStorage", this.#key) ?? "null");
    } catch {
      return null;
    }
  }

  /** @param {VisitorToken} given */
  #keep({ token, expiresIn }) {
    const renewAt = Date.now() + (expiresIn * 1000) / 2;
    store("localStorage", this.#key, JSON.stringify({ token, renewAt }));
    return token;
  }
}
