// The page's list of sessions: the shared list, with groups, pins, marks, hits of searches, and many chosen at once.

import { h, icon, iconButton } from "../dom/dom.js";
import { marked } from "../dom/marked.js";
import { SessionList } from "../dom/session-list.js";
import { dateGroups } from "./date-groups.js";
import { listSessions } from "./listed-sessions.js";
import { installMenu } from "./menu.js";
import { Running } from "./running.js";
import { Seen } from "./seen.js";
import { Selection } from "./selection.js";
import { Transfer } from "./transfer.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").Hit} Hit
 * @typedef {import("../types.js").SessionItem} SessionItem
 * @typedef {import("./listed-sessions.js").ListedSession} ListedSession
 */

const TEXTS = texts.page.list;

const BEFORE_HIT = 24; // code points of a snippet that are shown before what was found

/**
 * @typedef {object} Elements
 * @property {HTMLElement} list
 * @property {HTMLElement} empty
 * @property {HTMLElement} more
 * @property {HTMLInputElement} search
 * @property {HTMLDetailsElement} menu
 * @property {HTMLElement} notice what is being done, and what came of it
 * @property {HTMLElement} announcer only for screen readers
 * @property {import("./selection.js").Elements} selection
 * @property {ConstructorParameters<typeof Transfer>[1]} transfer
 *
 * @typedef {object} Handlers
 * @property {(session: SessionItem, messageId: number | null) => string} address
 * @property {(session: SessionItem, messageId: number | null) => void} onopen
 * @property {(session: SessionItem) => void} onrename
 * @property {(session: SessionItem) => Promise<void>} ondelete
 * @property {(ids: Set<string>) => void} ondeleted many at once
 * @property {(error: unknown, sentence?: string) => void} onproblem
 * @property {() => void} onrecover
 * @property {(id: string) => boolean | null} isAnswered whether the open session is, as its conversation shows it; null
 *   while that is not known
 */

export class ConversationList {
  #elements;
  #client;
  #handlers;
  #list;
  #selection;
  #running;
  #seen = new Seen();
  /** @type {string | null} */
  #currentId = null;

  /** @param {Elements} elements @param {ChatClient} client @param {Handlers} handlers */
  constructor(elements, client, handlers) {
    this.#elements = elements;
    this.#client = client;
    this.#handlers = handlers;
    const onproblem = (/** @type {unknown} */ error) => handlers.onproblem(error);
    const onnotice = (/** @type {string} */ sentence) => this.#notice(sentence);
    this.#selection = new Selection(elements.selection, titleOf, {
      delete: (id) => client.sessions.delete(id),
      onchange: () => this.#handleSelecting(),
      ondelete: async (ids) => {
        handlers.ondeleted(ids);
        await this.refresh();
      },
      onnotice,
      onproblem: (sentence, error) => handlers.onproblem(error, sentence),
    });
    this.#running = new Running(client, {
      onend: (session) => (elements.announcer.textContent = TEXTS.ended(titleOf(session))),
      onchange: () => void this.refresh(),
    });
    const listed = { ...client, sessions: { ...client.sessions, list: listSessions(client) } };
    this.#list = new SessionList(elements, listed, texts.historyLabels, {
      address: (session) => handlers.address(session, messageOf(session)),
      onopen: (session) => handlers.onopen(session, messageOf(session)),
      onrename: handlers.onrename,
      ondelete: handlers.ondelete,
      onproblem,
      onrecover: handlers.onrecover,
      onread: (sessions) => {
        this.#seen.read(sessions);
        this.#note(sessions);
      },
      groups: (sessions) => this.#groups(sessions),
      state: (session) => this.#state(session),
      decorate: (item, session) => this.#decorate(item, session),
    });
    const transfer = new Transfer(client, elements.transfer, {
      onnotice,
      onproblem,
      onimport: () => void this.refresh(),
    });
    const actions = {
      select: () => this.#selection.start(),
      export: () => void transfer.exportAll(),
      import: () => transfer.choose(),
    };
    this.#buildMenu();
    installMenu(elements.menu, ({ name }) => actions[/** @type {keyof typeof actions} */ (name)]());
    elements.search.addEventListener("input", () => this.#list.search(elements.search.value));
    addEventListener("storage", () => this.#list.render()); // another tab has opened one
  }

  /** @param {string} id */
  find(id) {
    return this.#list.find(id);
  }

  /** Read the list again. */
  refresh() {
    return this.#list.refresh();
  }

  /**
   * Mark a session as the open one, which has nothing new.
   *
   * @param {string | null} id
   */
  mark(id) {
    if (id === this.#currentId) return;
    this.#currentId = id;
    this.#note(this.#list.sessions);
    this.#list.render();
    this.#list.mark(id);
  }

  /** Show what has changed in the open conversation. */
  render() {
    this.#list.render();
  }

  /**
   * An answer was seen to its end in the open conversation, so it is not new.
   *
   * @param {string | null} id
   */
  noteEnd(id) {
    if (id !== null) this.#seen.end(id);
  }

  #buildMenu() {
    const { menu } = this.#elements;
    const { select, export: save, import: load } = TEXTS;
    const button = (/** @type {string} */ name, /** @type {string} */ text) =>
      h("button", { type: "button", name }, text);
    const summary = h("summary", { class: "icon-button", "aria-label": TEXTS.menu, title: TEXTS.menu }, icon("more"));
    const choices = [button("select", select), button("export", save), button("import", load)];
    menu.replaceChildren(summary, h("div", { class: "menu" }, ...choices));
  }

  /** @param {string} sentence */
  #notice(sentence) {
    this.#elements.notice.textContent = sentence;
  }

  /** @param {SessionItem[]} sessions */
  #note(sessions) {
    this.#seen.note(sessions, this.#currentId);
    this.#running.note(sessions, this.#currentId, (id) => this.#isAnswered(id) === true);
    this.#selection.note(this.#groups(sessions).flatMap((group) => group.sessions));
  }

  /** @param {SessionItem[]} sessions */
  #groups(sessions) {
    if (!this.#elements.search.value.trim()) return dateGroups(sessions);
    return sessions.length > 0 ? [{ label: null, sessions }] : [];
  }

  #handleSelecting() {
    this.#notice("");
    this.#list.render();
    if (!this.#selection.active) this.#elements.menu.querySelector("summary")?.focus();
  }

  // -- items

  /** @param {string} id @returns {boolean | null} whether the conversation shows it; null if it is not open */
  #isAnswered(id) {
    return id === this.#currentId ? this.#handlers.isAnswered(id) : null;
  }

  /** @param {ListedSession} session */
  #state(session) {
    const { pinned, hit } = session;
    return [pinned, hit ?? null, this.#markOf(session), this.#selection.active];
  }

  /** @param {SessionItem} session @returns {"running" | "new" | null} */
  #markOf(session) {
    const isOpen = session.id === this.#currentId;
    if (this.#isAnswered(session.id) ?? session.activeMessageId !== null) return "running";
    return !isOpen && this.#seen.isNew(session) ? "new" : null;
  }

  /** @param {HTMLElement} item @param {ListedSession} session */
  #decorate(item, session) {
    if (this.#selection.active) return item.replaceChildren(this.#selection.box(session));
    const link = item.querySelector(".session");
    const tools = item.querySelector(".tools");
    const mark = this.#markOf(session);
    if (session.hit) link?.replaceChildren(...found(session, session.hit));
    if (mark) {
      const id = `mark-${session.id}`;
      const label = TEXTS[mark];
      link?.setAttribute("aria-describedby", id);
      link?.after(h("span", { id, class: "mark", "data-mark": mark, role: "img", "aria-label": label, title: label }));
    }
    const { pinned } = session;
    const name = titleOf(session);
    const label = pinned ? TEXTS.unpin(name) : TEXTS.pin(name);
    tools?.prepend(iconButton(pinned ? "unpin" : "pin", label, () => this.#pin(session)));
    const unfold = iconButton("more", TEXTS.tools(name), () => {
      const unfolded = item.classList.toggle("unfolded");
      unfold.setAttribute("aria-expanded", String(unfolded));
    });
    unfold.classList.add("unfold");
    unfold.setAttribute("aria-expanded", "false");
    tools?.before(unfold);
  }

  /** @param {SessionItem} session */
  async #pin({ id, pinned }) {
    try {
      await this.#client.sessions.update(id, { pinned: !pinned });
    } catch (error) {
      this.#handlers.onproblem(error);
    }
    await this.refresh();
  }
}

/** @param {SessionItem | null} session */
export const titleOf = (session) => session?.title || texts.historyLabels.untitled;

/** @param {ListedSession} session @returns {number | null} the message that a search has found */
const messageOf = ({ hit }) => hit?.messageId ?? null;

/**
 * Return the title of a session, and what was found in it: in the title, or in a message.
 *
 * @param {SessionItem} session
 * @param {Hit} hit
 */
function found(session, { messageId, snippet, found }) {
  if (messageId === null) return [h("span", { class: "name" }, ...marked({ snippet, found }))];
  const cut = Math.max(0, (found[0]?.[0] ?? 0) - BEFORE_HIT);
  const rest = {
    snippet: [...snippet].slice(cut).join(""),
    found: found.map(([from, to]) => /** @type {[number, number]} */ ([from - cut, to - cut])),
  };
  return [
    h("span", { class: "name" }, titleOf(session)),
    h("span", { class: "hit", dir: "auto" }, ...(cut > 0 ? ["…"] : []), ...marked(rest)),
  ];
}
