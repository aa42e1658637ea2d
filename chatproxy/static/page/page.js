// The page at `/`: a list of sessions beside one <chat-interface>, and what belongs around them.

import { texts, translateMarkup } from "./texts.js";
import "../chat-interface.js";
import { createChatClient } from "../chat-client.js";
import { copyText } from "../dom/clipboard.js";
import { confirm } from "../dom/dialogs.js";
import { byId, icon } from "../dom/dom.js";
import { acceptDroppedFiles } from "../dom/file-drop.js";
import { filesDropped } from "../element/files.js";
import { AttachedDocuments } from "./attached-documents.js";
import { ConversationList, titleOf } from "./conversation-list.js";
import { DocumentList } from "./document-list.js";
import { ExportMenu, saveFile } from "./export-menu.js";
import { offerFirstUse, offerTricks } from "./first-use.js";
import { ModelPicker } from "./model-picker.js";
import { NoModel } from "./no-model.js";
import { OllamaBanner } from "./ollama-banner.js";
import { ProblemLine } from "./problem-line.js";
import { SettingsDialog } from "./settings-dialog.js";
import { Shortcuts } from "./shortcuts.js";
import { NARROW, Sidebar } from "./sidebar.js";
import { installThemeToggle } from "./theme.js";
import { authorization, isVisitor, logIn, TokenDialog } from "./token.js";

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 * @typedef {import("../types.js").Session} Session
 * @typedef {import("../types.js").SessionItem} SessionItem
 * @typedef {import("./settings-dialog.js").Settings} Settings
 */

const BASE_URL = new URL("../..", import.meta.url).href;
/** @type {Settings} */
const NO_SETTINGS = { system: null, think: null, options: null };
const TOUCH = matchMedia("(hover: none)"); // where the focus brings up a keyboard that covers the text

/** Knows which session is open, and connects the parts of the page. */
class ChatPage {
  #client = createChatClient({ baseUrl: BASE_URL, headers: authorization });
  #chat = /** @type {import("../chat-interface.js").ChatInterface} */ (
    document.querySelector("chat-interface")
  );
  #title = byId("title");
  #deleteDialog = byId("confirm", HTMLDialogElement);
  #tokenDialog;
  #problem = new ProblemLine(byId("problem"), () => this.#tokenDialog.refuse());
  #models = new ModelPicker(byId("model", HTMLSelectElement), (model) => this.#chooseModel(model));
  #noModel = new NoModel(byId("no-model"), () => this.#readModels());
  #banner = new OllamaBanner(byId("ollama"), BASE_URL, (reachable, isStandIn) => {
    if (isStandIn) offerTricks(byId("first-use"));
    this.#handleOllama(reachable);
  });
  #exports = new ExportMenu(byId("export", HTMLDetailsElement), (format) => this.#export(format));
  #sidebar = new Sidebar({ main: byId("main"), veil: byId("veil"), show: byId("menu"), hide: byId("hide") });
  #sessions;
  #answering = new MutationObserver(() => this.#followAnswer());
  #attached;
  #documents;
  #settings;
  #shortcuts;
  /** @type {string | null} the open session; null until the first message creates it */
  #sessionId = null;
  /** @type {SessionItem | null} the open session, once it has been read */
  #session = null;
  /** Those of the open session, as far as they are known. */
  #openSettings = NO_SETTINGS;
  /** Those of the next session, which its first message creates. */
  #newSettings = NO_SETTINGS;

  /** @param {string} problem of the login; "" if there was none */
  constructor(problem) {
    const { sessions } = this.#client;
    /** @type {ChatClient["sessions"]["create"]} */
    const create = (fields) => sessions.create({ ...fields, ...this.#newSettings });
    this.#chat.client = { ...this.#client, sessions: { ...sessions, create } };
    this.#tokenDialog = new TokenDialog(
      {
        dialog: byId("sign-in", HTMLDialogElement),
        field: byId("token", HTMLInputElement),
        problem: byId("sign-in-problem"),
      },
      problem,
      texts.page.token.wrong,
      () => this.start(),
    );
    this.#sessions = new ConversationList(
      {
        list: byId("sessions"),
        empty: byId("sessions-empty"),
        more: byId("more"),
        search: byId("search", HTMLInputElement),
        menu: byId("list-menu", HTMLDetailsElement),
        notice: byId("list-notice"),
        announcer: byId("list-announcer"),
        selection: {
          list: byId("sessions"),
          bar: byId("selection"),
          all: byId("select-all", HTMLInputElement),
          allText: byId("select-all-text"),
          remove: byId("selection-delete", HTMLButtonElement),
          cancel: byId("selection-cancel", HTMLButtonElement),
          progress: byId("selection-progress", HTMLProgressElement),
          confirm: this.#deleteDialog,
        },
        transfer: {
          input: byId("import-file", HTMLInputElement),
          dialog: byId("imported", HTMLDialogElement),
        },
      },
      this.#client,
      {
        address: ({ id }, messageId) => addressOf(id, messageId),
        onopen: ({ id }, messageId) => this.#navigate(id, messageId),
        onrename: (session) => {
          if (session.id === this.#sessionId) this.#show(session.id, session);
        },
        ondelete: (session) => this.#deleteSession(session),
        ondeleted: (ids) => {
          if (this.#sessionId !== null && ids.has(this.#sessionId)) this.#navigate(null);
        },
        onproblem: (error, sentence) => this.#report(error, sentence),
        onrecover: () => this.#problem.clear(),
        isAnswered: (id) => (this.#chat.sessionId === id && this.#chat.messages.length > 0 ? this.#chat.busy : null),
      },
    );
    this.#attached = new AttachedDocuments(
      this.#chat,
      { parent: byId("document"), problem: byId("document-problem") },
      (error) => this.#report(error),
    );
    this.#documents = new DocumentList(
      {
        dialog: byId("documents", HTMLDialogElement),
        list: byId("documents-list"),
        empty: byId("documents-empty"),
        more: byId("documents-more"),
        chooseFile: byId("documents-file"),
        fileInput: byId("documents-input", HTMLInputElement),
        close: byId("documents-close"),
        problem: byId("documents-problem"),
      },
      this.#client,
      {
        chosen: () => this.#chat.documentIds,
        onchoose: (ids) => this.#attached.choose(ids),
        ondelete: (document) => this.#deleteDocument(document),
        onfiles: (files) => void this.#chat.attach(files),
        onunauthorized: (error) => this.#report(error),
      },
    );
    this.#settings = new SettingsDialog({
      dialog: byId("settings", HTMLDialogElement),
      system: byId("settings-system", HTMLTextAreaElement),
      temperature: byId("settings-temperature", HTMLInputElement),
      think: byId("settings-think", HTMLSelectElement),
      cancel: byId("settings-cancel"),
    });
    const { shortcuts } = texts.page;
    this.#shortcuts = new Shortcuts(byId("shortcuts", HTMLDialogElement), byId("shortcuts-list"), [
      { keys: "Mod+Shift+O", label: shortcuts.newChat, run: () => this.#navigate(null) },
      { keys: "Mod+K", label: shortcuts.search, run: () => this.#search() },
      { keys: "Shift+Escape", label: shortcuts.write, run: () => this.#chat.focus() },
      { keys: "Escape", label: shortcuts.stop },
      { keys: "Mod+Shift+C", label: shortcuts.copyLast, run: () => this.#copyLast() },
      { keys: "Mod+/", label: shortcuts.help, run: () => this.#shortcuts.open() },
    ]);
    installThemeToggle(byId("theme"), this.#chat, texts.page.theme);
    offerFirstUse(byId("first-use"));
    this.#addIcons();
    this.#listen();
  }

  /** Read everything from the server; again when there is a new token. */
  start() {
    this.#banner.refresh();
    this.#readModels();
    this.#sessions.refresh();
    this.#openAddress();
    this.#offerLogin();
  }

  /** Show visitors where to log in. Without a token, everybody else is asked for it anyway. */
  async #offerLogin() {
    byId("log-in").hidden = !(await isVisitor(BASE_URL));
  }

  #addIcons() {
    byId("new").append(icon("plus"), texts.historyLabels.newChat);
    byId("menu").append(icon("menu"));
    byId("hide").append(icon("menu"));
    byId("settings-open").append(icon("settings"));
    byId("shortcuts-open").append(icon("keyboard"));
    byId("documents-open").prepend(icon("document"));
    byId("documents-close").append(icon("close"));
    byId("export").querySelector("summary")?.append(icon("export"));
  }

  #listen() {
    byId("new").addEventListener("click", () => this.#navigate(null));
    byId("log-in").addEventListener("click", () => this.#tokenDialog.open());
    byId("documents-open").addEventListener("click", () => this.#documents.open());
    byId("settings-open").addEventListener("click", () => this.#changeSettings());
    byId("shortcuts-open").addEventListener("click", () => this.#shortcuts.open());
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // its address would be another one
      if (NARROW.matches) this.#sidebar.setVisible(false);
      byId("main").focus();
    });
    acceptDroppedFiles(document.documentElement, byId("drop"), (data) => {
      this.#documents.close();
      this.#attached.attach(filesDropped(data));
    });
    addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.key !== "p") return;
      event.preventDefault();
      if (!event.repeat) this.#print();
    });
    addEventListener("popstate", () => this.#openAddress());
    addEventListener("focus", () => {
      this.#sessions.refresh();
      this.#readModels();
      this.#banner.refresh();
    });
    this.#answering.observe(this.#chat, { attributeFilter: ["busy"] });
    this.#chat.addEventListener("chat-send", () => this.#problem.clear());
    this.#chat.addEventListener("chat-session", ({ detail }) => this.#handleNewSession(detail.session));
    this.#chat.addEventListener("chat-start", () => this.#refreshSession());
    this.#chat.addEventListener("chat-done", () => {
      this.#models.last = lastModel(this.#chat.messages);
      this.#sessions.noteEnd(this.#sessionId);
      this.#banner.refresh();
    });
    this.#chat.addEventListener("chat-error", ({ detail }) => {
      if (detail.code === "connection_lost") this.#problem.clear(); // the element shows it
      else if (detail.messageId !== null) this.#sessions.noteEnd(this.#sessionId);
      if (detail.code === "session_gone") this.#handleGone();
      if (detail.code === "model_not_found" || detail.code === "no_models") this.#readModels();
      if (detail.code === "unauthorized") this.#tokenDialog.refuse();
      else this.#banner.refresh();
    });
  }

  // -- the open session

  /**
   * @param {string | null} id null: a new one, as soon as there is a message
   * @param {number | null} [messageId] of it that is to be seen
   */
  #navigate(id, messageId = null) {
    history.pushState(null, "", id ? addressOf(id, messageId) : location.pathname);
    if (NARROW.matches) this.#sidebar.setVisible(false);
    if (!id) this.#chat.focus();
    return this.#open(id, messageId);
  }

  #openAddress() {
    const [, message] = /^#message-(\d+)$/.exec(location.hash) ?? [];
    const session = new URLSearchParams(location.search).get("session") || null;
    return this.#open(session, message ? Number(message) : null);
  }

  /** @param {string | null} id @param {number | null} messageId */
  async #open(id, messageId) {
    this.#problem.clear();
    this.#newSettings = NO_SETTINGS;
    this.#models.last = null;
    this.#show(id, (id && this.#sessions.find(id)) || null);
    this.#attached.leave();
    if (id) this.#chat.sessionId = id;
    else this.#chat.clear();
    this.#answering.takeRecords(); // an answer that was left goes on
    if (messageId !== null) this.#chat.show(messageId);
    else if (!TOUCH.matches) this.#chat.focus();
    await Promise.all([this.#readSession(), this.#readLastModel()]);
  }

  /** @param {string | null} id @param {SessionItem | null} session null until it has been read */
  #show(id, session) {
    this.#sessionId = id;
    this.#session = session;
    const known = id === null || session !== null;
    this.#title.textContent = known ? titleOf(session) : "";
    document.title = session?.title ? `${session.title} · chatproxy` : "chatproxy";
    this.#exports.setVisible(id !== null);
    this.#sessions.mark(id);
    if (id === null) this.#markSettings(this.#newSettings);
    if (known) this.#selectModel(session?.model ?? null);
  }

  #refreshSession() {
    this.#sessions.refresh();
    this.#readSession();
  }

  /** An answer has begun or ended in the open conversation, however it did. */
  #followAnswer() {
    const { busy, messages } = this.#chat;
    this.#sessions.render();
    if (busy || messages.at(-1)?.error?.code === "connection_lost") return; // the element shows it
    this.#sessions.noteEnd(this.#sessionId);
    this.#refreshSession();
  }

  /** Read the open session. If it fails, the element fails to read it too, and says so. */
  async #readSession() {
    const id = this.#sessionId;
    if (id === null) return;
    const session = await this.#client.sessions.get(id).catch(() => null);
    if (!session || id !== this.#sessionId) return;
    this.#show(id, session);
    this.#markSettings(session);
  }

  /** Let the label of `auto` say what it does here. If it fails, the element fails to read the messages too. */
  async #readLastModel() {
    const id = this.#sessionId;
    if (id === null) return;
    const page = await this.#client.messages.list(id, { limit: 10 }).catch(() => null);
    if (page && id === this.#sessionId) this.#models.last = lastModel(page.messages);
  }

  /** The open session was deleted elsewhere. The next one, which the next message begins, has the same settings. */
  #handleGone() {
    this.#newSettings = this.#openSettings;
    this.#models.last = null;
    this.#sessions.refresh();
  }

  /** @param {SessionItem} session created by the first message; the model was chosen before */
  #handleNewSession(session) {
    const { model } = this.#models;
    history.replaceState(null, "", `?session=${session.id}`);
    this.#show(session.id, { ...session, model });
    if (model !== null) this.#saveModel(model);
    this.#sessions.refresh();
  }

  /** @param {SessionItem} session */
  async #deleteSession(session) {
    if (!(await confirm(this.#deleteDialog, texts.historyLabels.deleteQuestion(titleOf(session))))) return;
    try {
      await this.#client.sessions.delete(session.id);
    } catch (error) {
      return this.#report(error);
    }
    if (session.id === this.#sessionId) this.#navigate(null);
  }

  /** @param {import("./export-menu.js").Format} format */
  async #export(format) {
    if (this.#sessionId === null) return;
    if (format === "print") return this.#print();
    try {
      const blob = await this.#client.sessions.export(this.#sessionId, format);
      saveFile(blob, `${titleOf(this.#session)}.${format === "json" ? "json" : "md"}`);
    } catch (error) {
      this.#report(error);
    }
  }

  /** Print the whole conversation, also what was not loaded yet. */
  async #print() {
    await this.#chat.loadAll();
    print();
  }

  // -- the model

  /** @param {boolean} reachable */
  async #handleOllama(reachable) {
    if (reachable) await this.#models.update(this.#client);
    else this.#models.expire();
    this.#showNoModel(reachable);
  }

  async #readModels() {
    await this.#models.refresh(this.#client);
    this.#showNoModel(true);
  }

  /** @param {boolean} reachable whether Ollama is: otherwise the banner says what to do first */
  #showNoModel(reachable) {
    const isEmpty = reachable && this.#models.isEmpty;
    this.#noModel.setVisible(isEmpty);
    byId("first-use").hidden = isEmpty;
  }

  /** @param {string | null} model null: `auto` */
  #selectModel(model) {
    this.#models.model = model;
    this.#chat.model = this.#models.model;
  }

  /** @param {string | null} model */
  #chooseModel(model) {
    this.#selectModel(model);
    this.#saveModel(model);
  }

  /**
   * Keep the model with the session. Until there is one, the first message takes it along.
   *
   * @param {string | null} model
   */
  async #saveModel(model) {
    const id = this.#sessionId;
    if (id === null) return;
    try {
      const session = await this.#client.sessions.update(id, { model });
      if (id === this.#sessionId) this.#session = session;
    } catch (error) {
      this.#report(error);
    }
  }

  // -- settings

  async #changeSettings() {
    const id = this.#sessionId;
    try {
      const settings = id === null ? this.#newSettings : await this.#client.sessions.get(id);
      const changes = await this.#settings.change(settings);
      if (!changes) return;
      if (id !== null) await this.#client.sessions.update(id, changes);
      else this.#newSettings = { ...this.#newSettings, ...changes };
      if (id === this.#sessionId) this.#markSettings({ ...settings, ...changes });
    } catch (error) {
      this.#report(error);
    }
  }

  /** @param {Settings} settings */
  #markSettings({ system, think, options }) {
    this.#openSettings = { system, think, options };
    byId("settings-open").classList.toggle("set", Boolean(system || options) || think !== null);
  }

  // -- shortcuts

  #search() {
    this.#sidebar.setVisible(true);
    byId("search", HTMLInputElement).select();
  }

  async #copyLast() {
    const answer = this.#chat.messages.findLast(({ role }) => role === "assistant");
    if (!answer?.content) return;
    try {
      await copyText(answer.content);
    } catch {
      this.#problem.show(texts.labels.cannotCopy);
    }
  }

  // -- documents

  /** @param {DocumentInfo} document */
  async #deleteDocument(document) {
    const question = texts.page.documents.deleteQuestion(document.title);
    if (!(await confirm(this.#deleteDialog, question))) return;
    await this.#client.documents.delete(document.id);
    const { documentIds } = this.#chat;
    if (documentIds.includes(document.id)) this.#attached.choose(documentIds.filter((id) => id !== document.id));
  }

  // -- problems

  /**
   * Show an error, unless the element shows the same: that the server cannot be reached is said only once.
   *
   * @param {unknown} error
   * @param {string} [sentence] says more than the error's own
   */
  #report(error, sentence) {
    const lost = /** @type {ChatError} */ (error).code === "connection_lost";
    if (lost && this.#chat.busy) return;
    this.#problem.report(error, sentence);
    if (lost && this.#sessionId !== null) this.#chat.refresh(); // if that fails too, the element shows it
  }
}

/** @param {readonly {role: string, model?: string | null | undefined}[]} messages */
const lastModel = (messages) => messages.findLast(({ role, model }) => role === "assistant" && model)?.model ?? null;

/** @param {string} id @param {number | null} messageId */
const addressOf = (id, messageId) => `?session=${id}${messageId === null ? "" : `#message-${messageId}`}`;

translateMarkup();
new ChatPage(await logIn(BASE_URL, texts.page.token.unreachable)).start();
