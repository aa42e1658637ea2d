// One message: its text, which may be growing, and around it what there is to say about it and to do with it.

import { copyText } from "../dom/clipboard.js";
import { h, icon, iconButton } from "../dom/dom.js";
import { Follower } from "./stick-to-bottom.js";
import { Sources } from "./sources.js";
import { StreamingMarkdown, StreamingPlain } from "./streaming-markdown.js";

/**
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {{
 *   labels: import("./labels.js").Labels,
 *   newLexer: (() => import("./markdown.js").Lexer) | null,
 *   renderer: ((text: string, message: Message) => Node) | null,
 *   onagain: (message: Message) => void,
 *   onresend: (message: Message, text: string) => void,
 *   onnotice: (sentence: string) => void,
 * }} Surroundings
 */

export class MessageView {
  /** @type {Sources | null} */
  #sources = null;
  /** @type {StreamingMarkdown | StreamingPlain | null} */
  #text = null;
  #shown = ""; // the content as the text has it
  #thought = document.createTextNode("");
  /** @type {Follower | null} */
  #thinks = null; // while it does
  #was = "";

  /** @param {Message} message @param {Surroundings} surroundings */
  constructor(message, surroundings) {
    const { labels } = surroundings;
    this.message = message;
    this.surroundings = surroundings;
    this.cursor = h("span", { class: "cursor", part: "cursor", "aria-hidden": "true" });
    this.content = h("div", { class: "content", dir: "auto" });
    const open = message.status === "streaming" && !message.content;
    this.thinking = h("details", { class: "thinking", part: "thinking", hidden: true, open });
    this.thought = h("div", { class: "thought", dir: "auto", tabindex: 0 }, h("div", {}, this.#thought));
    this.thinking.append(h("summary", {}, labels.thinking), this.thought);
    this.bubble = h("div", { class: "bubble" }, this.content);
    if (message.role === "assistant") this.bubble.prepend(this.thinking);
    this.about = h("div", { class: "about" });
    const who = h("span", { class: "unseen" }, message.role === "user" ? labels.you : labels.assistant);
    const attributes = { class: `message ${message.role}`, part: `message ${message.role}` };
    this.element = h("article", attributes, who, this.bubble, this.about);
    this.update();
  }

  /** @param {string} text */
  addThinking(text) {
    this.thinking.hidden = false;
    this.#thinks ??= new Follower(this.thought, this.thought.firstChild);
    this.#thought.appendData(text);
    this.#placeCursor();
  }

  /** @param {string} text */
  addContent(text) {
    if (!this.#shown) this.#endThinking();
    this.#shown += text;
    if (this.surroundings.renderer) this.#renderWith(this.surroundings.renderer);
    else this.#text?.append(text);
  }

  /** Whatever of the message may have changed, but for text that was added. */
  update() {
    const { message } = this;
    this.element.dataset.status = message.status;
    this.#updateSources();
    this.#updateThinking();
    this.#updateContent();
    this.#placeCursor();
    this.about.replaceChildren(...this.#about());
  }

  /** Who opens it later reads it from its beginning. */
  #endThinking() {
    this.#thinks?.stop();
    this.#thinks = null;
    this.thought.scrollTop = 0;
    this.thinking.open = false;
  }

  remove() {
    this.#thinks?.stop();
    this.#text?.stop();
    this.element.remove();
  }

  #updateThinking() {
    const { thinking } = this.message;
    if (this.#thought.data !== thinking) this.#thought.data = thinking;
    this.thinking.hidden = !thinking;
  }

  #updateSources() {
    const key = JSON.stringify(this.message.sources);
    if (key === this.#was) return;
    this.#was = key;
    this.#sources = this.message.sources.length ? new Sources(this.message.sources, this.surroundings.labels) : null;
  }

  /** Text that does not go on where it was is shown from its beginning. */
  #updateContent() {
    const { content, role, status } = this.message;
    const { renderer } = this.surroundings;
    if (role === "user") {
      this.content.textContent = content;
    } else if (renderer) {
      this.#shown = content;
      this.#renderWith(renderer);
    } else {
      if (!this.#text || !content.startsWith(this.#shown)) this.#startText();
      const more = content.slice(this.#shown.length);
      this.#shown = content;
      if (more) this.#text?.append(more);
      if (status !== "streaming") this.#text?.finish();
    }
  }

  #startText() {
    this.#text?.stop();
    this.#shown = "";
    const { newLexer, labels } = this.surroundings;
    const context = {
      labels,
      reference: (/** @type {number} */ number) => this.#sources?.reference(number) ?? null,
      copy: (/** @type {string} */ text, /** @type {HTMLElement} */ button) => this.#copy(text, button),
    };
    const placeCursor = () => this.#placeCursor();
    if (newLexer) this.#text = new StreamingMarkdown(this.content, newLexer(), context, placeCursor);
    else this.#text = new StreamingPlain(this.content);
  }

  /** @param {NonNullable<Surroundings["renderer"]>} renderer */
  #renderWith(renderer) {
    this.content.replaceChildren(renderer(this.#shown, this.message));
    this.#placeCursor();
  }

  /** Where the next word will be: behind the last one, however deep in lists and quotes. */
  #placeCursor() {
    if (this.message.status !== "streaming") return this.cursor.remove();
    let place = this.content;
    for (;;) {
      const children = place.children;
      let last = children[children.length - 1];
      if (last === this.cursor) last = children[children.length - 2];
      if (!last?.matches("p, ul, ol, li, blockquote, h3, h4, h5, h6") || (last.matches("p") && !last.isConnected)) break;
      place = last;
    }
    if (place.lastChild !== this.cursor) place.append(this.cursor);
  }

  #about() {
    const { message } = this;
    const parts = [];
    if (message.role === "user") {
      const pictures = this.#pictures();
      if (pictures) parts.push(pictures);
    }
    for (const warning of message.warnings ?? []) parts.push(h("p", { class: "note" }, warning.message));
    const note = this.#note();
    if (note) parts.push(h("p", { class: "note" }, note));
    if (message.status === "failed") parts.push(this.#failure());
    if (this.#sources) parts.push(this.#sources.element);
    if (message.status !== "streaming") parts.push(this.#actions());
    return parts;
  }

  #note() {
    const { labels } = this.surroundings;
    if (this.message.status === "cancelled") return labels.stopped;
    if (this.message.status === "interrupted") return labels.interrupted;
    return this.message.finishReason === "length" ? labels.truncated : null;
  }

  #failure() {
    const { labels, onagain } = this.surroundings;
    const again = h("button", { type: "button", class: "retry needs-idle", onclick: () => onagain(this.message) });
    again.append(icon("retry"), labels.retry);
    return h("div", { class: "failure" }, h("p", {}, this.message.error?.error ?? labels.failed), again);
  }

  #pictures() {
    const { images, imageCount } = this.message;
    const { labels } = this.surroundings;
    if (images?.length) {
      return h("div", { class: "pictures" }, ...images.map(({ url, name }) => h("img", { src: url, alt: name || labels.picture })));
    }
    return imageCount ? h("p", { class: "note" }, labels.pictures(imageCount)) : null;
  }

  #actions() {
    const { message } = this;
    const { labels, onagain } = this.surroundings;
    const actions = h("div", { class: "actions" });
    if (message.content) {
      const copy = iconButton("copy", labels.copy, () => this.#copy(message.content, copy));
      actions.append(copy);
    }
    if (message.role === "user") {
      actions.append(iconButton("edit", labels.edit, () => this.#edit(), { class: "edit-button needs-idle" }));
    } else {
      const again = iconButton("retry", labels.regenerate, () => onagain(message), { class: "regenerate needs-idle" });
      if (message.status !== "failed") actions.append(again); // else there is Retry
      const rate = message.usage?.tokensPerSecond;
      const facts = [message.model, rate ? labels.generating(rate) : null].filter(Boolean).join(" · ");
      if (facts) actions.append(h("span", { class: "facts", title: message.modelReason ?? undefined }, facts));
    }
    return actions;
  }

  /** @param {string} text @param {HTMLElement} button */
  async #copy(text, button) {
    const { labels, onnotice } = this.surroundings;
    try {
      await copyText(text);
    } catch (error) {
      return onnotice(/** @type {Error} */ (error).message);
    }
    onnotice(labels.copied);
    if (button.dataset.copied) return;
    const was = [...button.childNodes];
    button.dataset.copied = "true";
    button.replaceChildren(button.classList.contains("copy-code") ? labels.copied : icon("check"));
    setTimeout(() => {
      button.replaceChildren(...was);
      delete button.dataset.copied;
    }, 1500);
  }

  /** The text becomes a field in its place, until it is sent again or left as it was. */
  #edit() {
    const { labels, onresend } = this.surroundings;
    const field = h("textarea", { class: "edit-field", dir: "auto", "aria-label": labels.editField });
    field.value = this.message.content;
    const close = () => {
      form.replaceWith(this.bubble);
      this.about.hidden = false;
    };
    const cancel = () => {
      close();
      this.about.querySelector(".edit-button").focus();
    };
    const resend = () => {
      if (!field.value.trim()) return;
      close();
      onresend(this.message, field.value);
    };
    const form = h(
      "form",
      { class: "edit", onsubmit: (/** @type {Event} */ event) => (event.preventDefault(), resend()) },
      field,
      h("div", { class: "buttons" },
        h("button", { type: "button", class: "quiet", onclick: cancel }, labels.cancel),
        h("button", { type: "submit", class: "strong" }, labels.resend)),
    );
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Escape") {
        event.stopPropagation();
        cancel();
      } else if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        resend();
      }
    });
    this.bubble.replaceWith(form);
    this.about.hidden = true;
    field.focus();
  }
}
