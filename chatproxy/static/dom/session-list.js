// The list of sessions: open, rename, delete. <chat-history> has one, and so has the page, which adds to the items.

import { arrange, h, iconButton } from "./dom.js";

const PAGE = 50;
export const LONGEST_PAGE = 500; // that the server returns
const STEPS = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 });

/**
 * @typedef {import("../types.js").SessionItem} SessionItem
 *
 * @typedef {object} Group
 * @property {string | null} label null: none is shown
 * @property {SessionItem[]} sessions
 *
 * @typedef {object} Handlers
 * @property {(session: SessionItem) => string} [address] the URL that shows a session, if there is one
 * @property {(session: SessionItem) => void} onopen
 * @property {(session: SessionItem) => void} onrename
 * @property {(session: SessionItem) => Promise<void>} ondelete
 * @property {(error: unknown) => void} onproblem
 * @property {() => void} onrecover called when the list can be read again
 * @property {(sessions: SessionItem[]) => void} [onread] called before they are shown
 * @property {(sessions: SessionItem[]) => Group[]} [groups] by default, there are none
 * @property {(session: SessionItem) => unknown} [state] what else an item shows: it is made again when that changes
 * @property {(item: HTMLElement, session: SessionItem) => void} [decorate] adds that to a new item
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
  /** @type {Map<string, {key: string, element: HTMLElement}>} what is shown, by the session's id */
  #items = new Map();
  /** @type {Map<string | null, {element: HTMLElement, list: HTMLElement}>} by their labels */
  #groups = new Map();
  /** @type {string | null} */
  #currentId = null;
  #query = "";
  /** @type {string | null} */
  #next = null;
  #reads = 0; // counts them; only the latest one matters, for responses may overtake each other
  #failed = false;
  #renaming = false;

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
    more.addEventListener("click", () => this.#read(this.#sessions.length + PAGE, this.#sessions, this.#next));
    list.addEventListener("keydown", (event) => this.#moveFocus(event));
  }

  /** The sessions that are shown, in no other order than the server's. */
  get sessions() {
    return this.#sessions;
  }

  /** @param {string} id */
  find(id) {
    return this.#sessions.find((session) => session.id === id);
  }

  /** @param {string} query */
  search(query) {
    this.#query = query.trim();
    return this.#read(PAGE);
  }

  /** Read the list again, as far as it is shown. */
  refresh() {
    return this.#read(Math.max(this.#sessions.length, PAGE));
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

  /** Show what has changed in the state of items. */
  render() {
    if (this.#renaming) return;
    this.#empty.textContent = this.#query ? this.#labels.noMatches : this.#labels.none;
    this.#empty.hidden = this.#sessions.length > 0;
    this.#more.hidden = this.#next === null;
    const restoreFocus = this.#rememberFocus();
    const { groups } = this.#handlers;
    if (groups) arrange(this.#list, groups(this.#sessions).map((group) => this.#group(group)));
    else arrange(this.#list, this.#updated(this.#sessions));
    const ids = new Set(this.#sessions.map(({ id }) => id));
    for (const id of this.#items.keys()) if (!ids.has(id)) this.#items.delete(id);
    this.mark(this.#currentId);
    restoreFocus();
  }

  /** @returns {HTMLElement[]} what opens the sessions, or chooses them */
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

  /**
   * Read pages until there are this many sessions, which may be more than one page has.
   *
   * @param {number} length
   * @param {SessionItem[]} sessions what comes before them
   * @param {string | null} before null reads the first page
   */
  async #read(length, sessions = [], before = null) {
    const read = (this.#reads += 1);
    const found = new Map(sessions.map((session) => [session.id, session]));
    try {
      do {
        const limit = Math.min(length - found.size, LONGEST_PAGE);
        const page = await this.#client.sessions.list({ q: this.#query || undefined, before, limit });
        if (read !== this.#reads) return;
        // One that is used meanwhile moves from page to page.
        for (const session of page.sessions) if (!found.has(session.id)) found.set(session.id, session);
        before = page.next;
      } while (before !== null && found.size < length);
      this.#show([...found.values()], before);
      if (this.#failed) this.#handlers.onrecover();
      this.#failed = false;
    } catch (error) {
      if (read !== this.#reads) return;
      this.#failed = true;
      if (/** @type {import("../types.js").ChatError} */ (error).code === "unauthorized") this.#show([], null);
      this.#handlers.onproblem(error);
    }
  }

  /** @param {SessionItem[]} sessions none, if the user has left @param {string | null} next */
  #show(sessions, next) {
    this.#sessions = sessions;
    this.#next = next;
    this.#handlers.onread?.(sessions);
    this.render();
  }

  /** @param {Group} group */
  #group({ label, sessions }) {
    let group = this.#groups.get(label);
    if (!group) {
      const list = h("ul", { "aria-label": label });
      const element = h("div", { class: "group" }, ...(label === null ? [] : [h("h2", {}, label)]), list);
      this.#groups.set(label, (group = { element, list }));
    }
    arrange(group.list, this.#updated(sessions));
    return group.element;
  }

  /**
   * Return the items of some sessions. Those that would look the same are the same: a click needs one item at its
   * beginning and its end.
   *
   * @param {SessionItem[]} sessions
   */
  #updated(sessions) {
    return sessions.map((session) => {
      const key = JSON.stringify([session.title, this.#handlers.state?.(session)]);
      const known = this.#items.get(session.id);
      if (known?.key === key) return known.element;
      const element = this.#item(session);
      this.#items.set(session.id, { key, element });
      return element;
    });
  }

  /**
   * Return what focuses the same session again, or if it is gone the one in its place, unless the focus has stayed.
   *
   * @returns {() => void}
   */
  #rememberFocus() {
    const root = /** @type {Document | ShadowRoot} */ (this.#list.getRootNode());
    const focused = root.activeElement;
    const item = focused?.closest("li");
    if (!focused || !item || !this.#list.contains(item)) return () => {};
    const position = [...this.#list.querySelectorAll("li")].indexOf(item);
    const control = controlsOf(item).indexOf(focused);
    const { session: id = "" } = item.dataset;
    return () => {
      if (root.activeElement === focused) return;
      const links = this.#links();
      const same = this.#items.get(id)?.element;
      const target = same ? controlsOf(same)[control] : (links[position] ?? links.at(-1));
      /** @type {HTMLElement | undefined} */ (target)?.focus({ preventScroll: true });
    };
  }

  /** @param {SessionItem} session */
  #titleOf(session) {
    return session.title || this.#labels.untitled;
  }

  /** @param {SessionItem} session */
  #item(session) {
    const title = this.#titleOf(session);
    const attributes = { class: "session", "data-session": session.id, title, dir: "auto" };
    const href = this.#handlers.address?.(session);
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
    this.#handlers.decorate?.(item, session);
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
    const shown = [...item.childNodes];
    field.value = this.#titleOf(session);
    this.#renaming = true;
    const close = async ({ save = false, focus = true }) => {
      if (!this.#renaming) return;
      this.#renaming = false;
      const title = field.value.trim();
      item.replaceChildren(...shown);
      if (focus) /** @type {HTMLElement | null} */ (item.querySelector(".session"))?.focus();
      if (save && title && title !== this.#titleOf(session)) await this.#saveTitle(session, title);
      else this.render();
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

/** @param {Element} item */
const controlsOf = (item) => /** @type {Element[]} */ ([...item.querySelectorAll("a, button, input")]);
