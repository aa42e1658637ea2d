// The list of sessions: open, search, rename, delete. The page has one, and so has <chat-history>.

import { h, iconButton } from "./dom.js";

const PAGE = 50;
const LONGEST_PAGE = 500; // that the server returns
const STEPS = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 });

/**
 * @typedef {import("../types.js").SessionItem} SessionItem
 *
 * @typedef {object} Handlers
 * @property {(id: string) => string} [address] the URL that shows a session, if there is one
 * @property {(session: SessionItem) => void} onopen
 * @property {(session: SessionItem) => void} onrename
 * @property {(session: SessionItem) => Promise<void>} ondelete
 * @property {(error: unknown) => void} onproblem
 * @property {() => void} onrecover called when the list can be read again
 */

export class SessionList {
  #list;
  #empty;
  #more;
  #client;
  #labels;
  #handlers;
  /** @type {SessionItem[]} */
  #sessions = [];
  /** @type {string | null} */
  #currentId = null;
  #query = "";
  /** @type {string | null} */
  #next = null;
  #reads = 0; // counts them; only the latest one matters, for responses may overtake each other
  #failed = false;
  #renderedKey = "";

  /**
   * @param {{list: HTMLElement, empty: HTMLElement, more: HTMLElement}} elements
   * @param {import("../types.js").ChatClient} client
   * @param {import("../chat-history.js").HistoryLabels} labels
   * @param {Handlers} handlers
   */
  constructor({ list, empty, more }, client, labels, handlers) {
    this.#list = list;
    this.#empty = empty;
    this.#more = more;
    this.#client = client;
    this.#labels = labels;
    this.#handlers = handlers;
    more.addEventListener("click", () => this.#read(this.#next));
    list.addEventListener("keydown", (event) => this.#moveFocus(event));
  }

  /** @param {string} id */
  find(id) {
    return this.#sessions.find((session) => session.id === id);
  }

  /** @param {string} query */
  search(query) {
    this.#query = query.trim();
    return this.#read(null);
  }

  /** Read the list again, as far as it is shown. */
  refresh() {
    return this.#read(null, Math.min(Math.max(this.#sessions.length, PAGE), LONGEST_PAGE));
  }

  /**
   * Mark a session as the open one.
   *
   * @param {string | null} id
   */
  mark(id) {
    this.#currentId = id;
    for (const link of this.#links()) {
      if (link.dataset.session === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  /** @returns {HTMLElement[]} what opens the sessions */
  #links() {
    return [...this.#list.querySelectorAll(/** @type {"a"} */ (".session"))];
  }

  /**
   * Move the focus through the sessions with the arrow keys.
   *
   * @param {KeyboardEvent} event
   */
  #moveFocus(event) {
    const links = this.#links();
    const step = STEPS[event.key];
    const index = links.findIndex((link) => link === event.target);
    if (step === undefined || index < 0) return;
    event.preventDefault();
    links[Math.min(Math.max(index + step, 0), links.length - 1)]?.focus();
  }

  /** @param {string | null} before null reads the first page */
  async #read(before, limit = PAGE) {
    const read = (this.#reads += 1);
    try {
      const page = await this.#client.sessions.list({ q: this.#query || undefined, before, limit });
      if (read !== this.#reads) return;
      this.#sessions = before === null ? page.sessions : [...this.#sessions, ...page.sessions];
      this.#next = page.next;
      this.#render();
      if (this.#failed) this.#handlers.onrecover();
      this.#failed = false;
    } catch (error) {
      if (read !== this.#reads) return;
      this.#failed = true;
      if (/** @type {import("../types.js").ChatError} */ (error).code === "unauthorized") this.#forget();
      this.#handlers.onproblem(error);
    }
  }

  /** Show nothing of a user who has left. */
  #forget() {
    this.#sessions = [];
    this.#next = null;
    this.#render();
  }

  #render() {
    if (this.#list.querySelector("input")) return; // a session is being renamed
    this.#empty.textContent = this.#query ? this.#labels.noMatches : this.#labels.none;
    this.#empty.hidden = this.#sessions.length > 0;
    this.#more.hidden = this.#next === null;
    const key = JSON.stringify(this.#sessions.map(({ id, title }) => [id, title]));
    if (key === this.#renderedKey) return; // a click needs the same item at its beginning and its end
    this.#renderedKey = key;
    const root = /** @type {Document | ShadowRoot} */ (this.#list.getRootNode());
    const focused = root.activeElement?.closest("li");
    const position = focused ? [...this.#list.children].indexOf(focused) : -1;
    this.#list.replaceChildren(...this.#sessions.map((session) => this.#item(session)));
    this.mark(this.#currentId);
    if (focused && position >= 0) this.#restoreFocus(focused.dataset.session, position);
  }

  /**
   * Focus the same session, or if it is gone the one in its place.
   *
   * @param {string | undefined} id
   * @param {number} position
   */
  #restoreFocus(id, position) {
    const links = this.#links();
    (links.find(({ dataset }) => dataset.session === id) ?? links[position] ?? links.at(-1))?.focus();
  }

  /** @param {SessionItem} session */
  #titleOf(session) {
    return session.title || this.#labels.untitled;
  }

  /** @param {SessionItem} session */
  #item(session) {
    const title = this.#titleOf(session);
    const attributes = { class: "session", "data-session": session.id, title, dir: "auto" };
    const href = this.#handlers.address?.(session.id);
    /** @type {HTMLElement} */
    const link = href
      ? h("a", { ...attributes, href }, title)
      : h("button", { ...attributes, type: "button" }, title);
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser opens another tab or window
      event.preventDefault();
      this.#handlers.onopen(session);
    });
    const item = h("li", { "data-session": session.id }, link);
    const rename = iconButton("edit", this.#labels.rename(title), () => this.#rename(item, session));
    const remove = iconButton("trash", this.#labels.delete(title), () => this.#delete(session));
    item.append(h("span", { class: "tools" }, rename, remove));
    return item;
  }

  /**
   * Turn an item into a field for its title. Enter and leaving the field save it, Esc does not.
   *
   * @param {HTMLElement} item
   * @param {SessionItem} session
   */
  #rename(item, session) {
    const field = h("input", { "aria-label": this.#labels.title, maxlength: 500, dir: "auto" });
    field.value = this.#titleOf(session);
    let closed = false;
    const close = async ({ save = false, focus = true }) => {
      if (closed) return;
      closed = true;
      const title = field.value.trim();
      const restored = this.#item(session);
      item.replaceWith(restored);
      this.mark(this.#currentId);
      if (focus) /** @type {HTMLElement | null} */ (restored.firstElementChild)?.focus();
      if (save && title && title !== this.#titleOf(session)) await this.#saveTitle(session, title);
      else this.#render();
    };
    field.addEventListener("blur", () => close({ save: true, focus: false }));
    field.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") {
        event.preventDefault(); // it would press the button that gets the focus
        close({ save: true });
      }
      if (event.key === "Escape") close({});
      event.stopPropagation(); // Esc would also hide the sidebar
    });
    item.replaceChildren(field);
    field.select();
  }

  /** @param {SessionItem} session @param {string} title */
  async #saveTitle(session, title) {
    try {
      this.#handlers.onrename(await this.#client.sessions.update(session.id, { title }));
    } catch (error) {
      this.#handlers.onproblem(error);
    }
    await this.refresh();
  }

  /** @param {SessionItem} session */
  async #delete(session) {
    await this.#handlers.ondelete(session);
    await this.refresh();
  }
}
