// A module that is loaded when it is needed. If that fails, it is tried again when it is needed again: it may be that
// only the line was down, or that a newer server does not have it any more, until the page is loaded again.

/** @template {object} Module */
export class Later {
  /** @type {Module | undefined} when it has been loaded */
  now;
  #load;
  /** @type {Promise<Module | undefined> | undefined} */
  #loading;

  /** @param {() => Promise<Module>} load */
  constructor(load) {
    this.#load = load;
  }

  /** Load the module, if it is not there yet; undefined: it cannot be loaded now. */
  load() {
    this.#loading ??= this.#load().then(
      (module) => (this.now = module),
      () => (this.#loading = undefined),
    );
    return this.#loading;
  }
}
