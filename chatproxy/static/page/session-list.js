// The page's list of sessions: search, rename, delete.

import { h, iconButton } from "../dom/dom.js";

const UNTITLED = "New chat";
const PAGE = 50;
const MOST = 500; // that the server gives at once

/** @param {any} session */
export const titleOf = (session) => session?.title || UNTITLED;

/** @param {HTMLElement} list */
const links = (list) => [...list.querySelectorAll("a")];

export class SessionList {
  /** @type {any[]} */
  sessions = [];
  /** @type {string | null} */
  current = null;
  #query = "";
  #next = null;
  #reading = 0;
  #failed = false;
  #shown = "";

  /**
   * @param {{list: HTMLElement, none: HTMLElement, more: HTMLElement}} places
   * @param {{client: () => any, onopen: (session: any) => void, onrename: (session: any) => void,
   *   ondelete: (session: any) => Promise<void>, onmended: () => void, onproblem: (error: any) => void}} handlers
   */
  constructor(places, handlers) {
    this.places = places;
    this.handlers = handlers;
    places.more.addEventListener("click", () => this.#read(this.#next));
  }

  /** @param {string} query */
  search(query) {
    this.#query = query.trim();
    return this.#read(null);
  }

  /** As many as were shown: who has gone down the list stays there. */
  refresh() {
    return this.#read(null, Math.min(Math.max(this.sessions.length, PAGE), MOST));
  }

  /** Only the latest reading counts: answers may overtake each other. @param {string | null} before */
  async #read(before, limit = PAGE) {
    const reading = (this.#reading += 1);
    try {
      const page = await this.handlers.client().sessions.list({ q: this.#query || undefined, before: before ?? undefined, limit });
      if (reading !== this.#reading) return;
      this.sessions = before === null ? page.sessions : [...this.sessions, ...page.sessions];
      this.#next = page.next;
      this.#show();
      if (this.#failed) this.handlers.onmended();
      this.#failed = false;
    } catch (error) {
      if (reading !== this.#reading) return;
      this.#failed = true;
      this.handlers.onproblem(error);
    }
  }

  /** @param {string | null} id */
  mark(id) {
    this.current = id;
    for (const link of links(this.places.list)) {
      if (link.dataset.session === id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #show() {
    const { list, none, more } = this.places;
    if (list.querySelector("input")) return; // a title is being written
    const showing = JSON.stringify(this.sessions.map(({ id, title }) => [id, title]));
    none.textContent = this.#query ? "Nothing found." : "Conversations will be listed here.";
    none.hidden = this.sessions.length > 0;
    more.hidden = this.#next === null;
    if (showing === this.#shown) return; // a click that has begun on an item must find it again
    this.#shown = showing;
    const focused = document.activeElement?.closest("li");
    const place = focused ? [...list.children].indexOf(focused) : -1;
    list.replaceChildren(...this.sessions.map((session) => this.#item(session)));
    this.mark(this.current);
    if (place < 0) return;
    const all = links(list); // the same session, or what is now in the place of one that is gone
    (all.find(({ dataset }) => dataset.session === focused?.dataset.session) ?? all[place] ?? all.at(-1))?.focus();
  }

  /** @param {any} session */
  #item(session) {
    const title = titleOf(session);
    const link = h("a", { href: `?session=${session.id}`, "data-session": session.id, title, dir: "auto" }, title);
    link.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // the browser's: another tab
      event.preventDefault();
      this.handlers.onopen(session);
    });
    const item = h("li", { "data-session": session.id }, link);
    const rename = iconButton("edit", `Rename ${title}`, () => this.#rename(item, session));
    const remove = iconButton("trash", `Delete ${title}`, () => this.#delete(session));
    item.append(h("span", { class: "tools" }, rename, remove));
    return item;
  }

  /** Enter and leaving keep the new title, Esc the old one. @param {HTMLElement} item @param {any} session */
  #rename(item, session) {
    const field = h("input", { "aria-label": "Title", maxlength: 500, dir: "auto" });
    field.value = titleOf(session);
    let done = false;
    const close = async (/** @type {boolean} */ keep, byKey = true) => {
      if (done) return;
      done = true;
      const title = field.value.trim();
      const again = this.#item(session);
      item.replaceWith(again);
      this.mark(this.current);
      if (byKey) again.querySelector("a").focus();
      if (keep && title && title !== titleOf(session)) await this.#change(session, title);
      else this.#show();
    };
    field.addEventListener("blur", () => close(true, false));
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.isComposing) return;
      if (event.key === "Enter") close(true);
      if (event.key === "Escape") close(false);
      event.stopPropagation(); // it is not the sidebar that Esc closes
    });
    item.replaceChildren(field);
    field.select();
  }

  /** @param {any} session @param {string} title */
  async #change(session, title) {
    try {
      this.handlers.onrename(await this.handlers.client().sessions.update(session.id, { title }));
    } catch (error) {
      this.handlers.onproblem(error);
    }
    await this.refresh();
  }

  /** @param {any} session */
  async #delete(session) {
    await this.handlers.ondelete(session);
    await this.refresh();
  }
}
