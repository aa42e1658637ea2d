// <chat-launcher>: a button in the corner of a page that opens a <chat-interface>: the one inside it, or else
// one of its own, which is loaded when the panel is opened for the first time in this tab.

import { h, icon, iconButton } from "../dom/dom.js";
import { define, Element, reflect, upgradeProperties } from "./custom-element.js";
import { NARROW, styles } from "./launcher-styles.js";
import { launcherLabels as english } from "../texts/en.js";
import { Wording } from "./wording.js";

/**
 * @typedef {import("../chat-interface.js").ChatInterface} ChatInterface
 * @typedef {import("../chat-interface.js").ChatInterfaceEventMap["chat-error"]} ChatErrorEvent
 * @typedef {import("../chat-launcher.js").LauncherLabels} LauncherLabels
 *
 * @typedef {object} Parts
 * @property {HTMLButtonElement} launch
 * @property {HTMLElement} mark on the button: there is a new answer
 * @property {HTMLDialogElement} panel
 * @property {HTMLElement} heading
 * @property {HTMLButtonElement} close
 * @property {HTMLSlotElement} slot
 * @property {HTMLElement} announcer only for screen readers
 */

/** The attributes that its own <chat-interface> gets. */
const PASSED_ON = [
  "endpoint",
  "session-id",
  "remember",
  "storage-key",
  "document-id",
  "model",
  "welcome",
  "placeholder",
  "enter",
  "theme",
  "show-thinking",
  "disabled",
  "lang",
];

export class ChatLauncher extends Element {
  static observedAttributes = ["open", "unread", "label", ...PASSED_ON];

  /** @type {Parts | null} */
  #parts = null;
  /** @type {ChatInterface | null} the one that is made here */
  #own = null;
  #wording = new Wording(this, english, ({ launcherLabels }) => launcherLabels);
  /** @type {MediaQueryList | null} while connected */
  #narrow = null;
  #listening = new AbortController();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles()];
    this.addEventListener("chat-done", () => this.#handleAnswer());
    this.addEventListener("chat-error", (event) => {
      const { detail } = /** @type {ChatErrorEvent} */ (event);
      if (detail.messageId !== null) this.#handleAnswer();
    });
    this.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  /** Register the element, unless the tag is taken or there is no registry, and return the class. */
  static define(tag = "chat-launcher") {
    define(tag, this);
    return this;
  }

  connectedCallback() {
    upgradeProperties(this, ChatLauncher.prototype);
    this.#listening = new AbortController();
    this.#narrow = matchMedia(NARROW);
    this.#narrow.addEventListener("change", () => this.#applyOpen(), { signal: this.#listening.signal });
    if (!this.#parts) this.#build();
    this.#reword();
    const state = this.#loadState();
    if (state === "open" && !this.#narrow.matches)
      this.open = true; // a page that was just opened stays in sight
    else if (state) this.open = false;
    this.toggleAttribute("unread", state === "unread");
    this.#applyOpen();
    if (state) this.#load();
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  /** @param {string} name @param {string | null} before @param {string | null} value */
  attributeChangedCallback(name, before, value) {
    if (before === value || !this.#parts || !this.isConnected) return;
    if (PASSED_ON.includes(name) && this.#own) reflect(this.#own, name, value);
    if (name === "lang") this.#reword();
    if (name !== "open") return this.#applyTexts();
    this.#saveState();
    this.#applyOpen();
    if (this.open) this.unread = false;
    this.#emit("chat-toggle", { open: this.open });
  }

  // -- properties

  /** @returns {boolean} whether the panel is shown */
  get open() {
    return this.hasAttribute("open");
  }

  set open(/** @type {boolean | null | undefined} */ open) {
    this.toggleAttribute("open", Boolean(open));
  }

  /** @returns {boolean} whether an answer has ended since the panel was closed */
  get unread() {
    return this.hasAttribute("unread");
  }

  set unread(/** @type {boolean | null | undefined} */ unread) {
    this.toggleAttribute("unread", Boolean(unread));
  }

  /** @returns {string | null} */
  get label() {
    return this.getAttribute("label");
  }

  set label(/** @type {string | null | undefined} */ label) {
    reflect(this, "label", label);
  }

  /** @returns {"bottom-end" | "bottom-start"} the corner */
  get placement() {
    return this.getAttribute("placement") === "bottom-start" ? "bottom-start" : "bottom-end";
  }

  set placement(/** @type {"bottom-end" | "bottom-start" | null | undefined} */ placement) {
    reflect(this, "placement", placement);
  }

  /** @returns {ChatInterface | null} the one inside, or else the one of its own, once there is one */
  get chat() {
    const [inside] = this.#parts?.slot.assignedElements() ?? [];
    return /** @type {ChatInterface | null} */ (inside ?? this.#own);
  }

  /** @returns {LauncherLabels} the element's texts; those that are set replace the ones in its language */
  get labels() {
    return this.#wording.labels;
  }

  set labels(/** @type {Partial<LauncherLabels> | null | undefined} */ labels) {
    this.#wording.replace(labels);
    this.#applyTexts();
  }

  // -- methods

  /** Open the panel, and focus the field; on a touch screen only the panel, as a keyboard would cover it. */
  async show() {
    this.open = true;
    if (matchMedia("(hover: none)").matches) return this.#parts?.close.focus();
    await this.#load();
    if (this.open) this.chat?.focus();
  }

  /** Close the panel, and focus the button. */
  close() {
    this.open = false;
    this.#parts?.launch.focus();
  }

  // -- building

  #build() {
    const launch = h(
      "button",
      {
        type: "button",
        class: "launch",
        part: "button",
        "aria-controls": "panel",
        "aria-haspopup": "dialog",
      },
      h("slot", { name: "icon" }, icon("chat")),
    );
    launch.addEventListener("click", () => (this.open ? this.close() : void this.show()));
    const mark = h("span", { class: "mark", part: "unread", hidden: true });
    launch.append(mark);
    const heading = h("h2", { id: "heading", dir: "auto" });
    const close = iconButton("close", "", () => this.close(), { class: "close" });
    const slot = h("slot");
    slot.addEventListener("slotchange", () => this.#fill());
    const panel = h(
      "dialog",
      { id: "panel", class: "panel", part: "panel", "aria-labelledby": "heading" },
      h("header", { part: "header" }, heading, close),
      h("div", { class: "body" }, slot),
    );
    panel.addEventListener("close", () => {
      if (!panel.open && this.open) this.close(); // by the browser's own gesture
    });
    const announcer = h("div", { class: "unseen", role: "status" });
    this.#parts = { launch, mark, panel, heading, close, slot, announcer };
    this.shadowRoot?.replaceChildren(h("div", { class: "frame" }, panel, launch, announcer));
    this.#applyTexts();
  }

  /** Load the chat, and make one if there is none inside. */
  async #load() {
    try {
      if (!customElements.get("chat-interface")) await import("../chat-interface.js");
    } catch (error) {
      return console.error(error, this); // it is tried again when the panel is opened again
    }
    this.#fill();
  }

  /** Put an own chat into the panel, unless there is one inside or it is not time yet. */
  #fill() {
    const slot = this.#parts?.slot;
    if (!slot) return;
    if (slot.assignedElements().length > 0) {
      this.#own?.remove();
      this.#own = null;
    } else if (!this.#own && customElements.get("chat-interface")) {
      this.#own = document.createElement("chat-interface");
      for (const name of PASSED_ON) reflect(this.#own, name, this.getAttribute(name));
      slot.append(this.#own);
    }
  }

  // -- showing state

  /** Show or hide the panel: beside the page, or on a small screen in its place. */
  #applyOpen() {
    if (!this.#parts || !this.isConnected) return;
    const { panel } = this.#parts;
    const modal = panel.matches(":modal");
    const wanted = this.open && Boolean(this.#narrow?.matches);
    if (panel.open && (!this.open || modal !== wanted)) panel.close();
    if (this.open && !panel.open) {
      if (wanted) panel.showModal();
      else panel.setAttribute("open", ""); // without taking the focus
    }
    if (this.open) this.#load();
    this.#applyTexts();
  }

  /** Follow the language of the element. */
  async #reword() {
    await this.#wording.load();
    this.#applyTexts();
  }

  #applyTexts() {
    if (!this.#parts) return;
    const { launch, mark, heading, close, announcer } = this.#parts;
    const { title, open, close: closing, unread } = this.#wording.labels;
    const label = this.open ? closing : this.unread ? `${open}: ${unread}` : open;
    for (const [button, text] of /** @type {const} */ ([
      [launch, label],
      [close, closing],
    ])) {
      button.setAttribute("aria-label", text);
      button.title = text;
    }
    launch.setAttribute("aria-expanded", String(this.open));
    mark.hidden = !this.unread;
    heading.textContent = this.label ?? title;
    announcer.textContent = this.unread ? unread : "";
  }

  #handleAnswer() {
    if (this.open) return;
    this.unread = true;
    this.#saveState();
  }

  /**
   * Close the panel with Escape, unless the chat has used it, to stop an answer.
   *
   * @param {KeyboardEvent} event
   */
  #handleKey(event) {
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return; // the page's own
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing || !this.open) return;
    event.preventDefault();
    this.close();
  }

  /**
   * @template {keyof import("../chat-launcher.js").ChatLauncherEventMap} Type
   * @param {Type} type
   * @param {import("../chat-launcher.js").ChatLauncherEventMap[Type]["detail"]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  // -- the state in this tab

  get #key() {
    return `chatproxy launcher ${this.getAttribute("storage-key") ?? ""}`;
  }

  /** Return "open", "closed" or "unread"; null if it was never opened in this tab. */
  #loadState() {
    try {
      return sessionStorage.getItem(this.#key);
    } catch {
      return null; // the page has no access to storage
    }
  }

  #saveState() {
    try {
      sessionStorage.setItem(this.#key, this.open ? "open" : this.unread ? "unread" : "closed");
    } catch {
      // no access, or no space left
    }
  }
}
