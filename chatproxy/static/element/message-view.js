// One message: its text, which may still be growing, and around it the thinking, notes, sources and buttons.

import { copyText } from "../dom/clipboard.js";
import { h, icon, iconButton } from "../dom/dom.js";
import { Facts } from "./facts.js";
import { sentenceFor } from "./problems.js";
import { requestIdOf } from "./request-id.js";
import { confirmDelete, edit } from "./message-forms.js";
import { Sources } from "./sources.js";
import { StoredImages } from "./stored-images.js";
import { StickToBottom } from "./stick-to-bottom.js";
import { StreamingMarkdown } from "../markdown/streaming-markdown.js";
import { StreamingPlain } from "../markdown/streaming-plain.js";
import { typedLexer } from "../markdown/typed-lexer.js";
import { VersionSwitch } from "./version-switch.js";

const COPIED = 1500; // ms for which a button says so

/**
 * @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage
 *
 * @typedef {object} MessageContext what all messages share
 * @property {import("../chat-interface.js").Labels} labels
 * @property {(() => import("../markdown/lexer.js").Lexer) | null} newLexer null: text is shown without Markdown
 * @property {import("../chat-interface.js").Renderer | null} renderer
 * @property {import("./enter-key.js").EnterKey} enterKey
 * @property {(answer: ConversationMessage) => void} onretry
 * @property {(userMessage: ConversationMessage, text: string) => boolean} onresend returns whether it was accepted
 * @property {(message: ConversationMessage) => void} ondelete
 * @property {() => void} oncontinue
 * @property {(answer: ConversationMessage, number: number) => void} onversion
 * @property {(sentence: string) => void} onnotice
 * @property {(message: ConversationMessage, number: number, signal: AbortSignal) => Promise<Blob>} image
 */

export class MessageView {
  #message;
  #context;
  /** @type {{message: ConversationMessage, number: number} | null} the earlier version that is shown */
  #earlier = null;
  #versions;
  #facts;
  #cursor = h("span", { class: "cursor", part: "cursor", "aria-hidden": "true" });
  #content = h("div", { class: "content" });
  #bubble = h("div", { class: "bubble" }, this.#content);
  #footer = h("div", { class: "footer" });
  #thinking;
  #thinkingTitle = h("summary");
  #thoughtText = h("div");
  #thoughtBox = h("div", { class: "thought", tabindex: 0 }, this.#thoughtText);
  #thought = new StreamingPlain(this.#thoughtText);
  #thinkingShown = ""; // the thinking as it was last given to `#thought`
  /** @type {StickToBottom | null} while the model is thinking */
  #thoughtStick = null;
  /** @type {Sources | null} */
  #sources = null;
  #sourcesKey = "";
  /** @type {StoredImages | null} */
  #storedImages = null;
  /** @type {StreamingMarkdown | StreamingPlain | null} */
  #stream = null;
  #rendered = ""; // the content as it was last given to `#stream` or the renderer

  /** @param {ConversationMessage} message @param {MessageContext} context */
  constructor(message, context) {
    const { labels } = context;
    const { role, status, content } = message;
    this.#message = message;
    this.#context = context;
    const open = status === "streaming" && !content;
    this.#thinking = h("details", { class: "thinking", part: "thinking", hidden: true, open });
    this.#thinking.append(this.#thinkingTitle, this.#thoughtBox);
    this.#facts = new Facts(labels);
    this.#versions = new VersionSwitch(labels, (number) => context.onversion(this.#message, number));
    if (role === "assistant") this.#bubble.prepend(this.#thinking);
    const author = h("span", { class: "unseen" }, role === "user" ? labels.you : labels.assistant);
    const attributes = { class: `message ${role}`, part: `message ${role}` };
    this.element = h("article", attributes, author, this.#bubble, this.#footer);
    this.update();
  }

  /** @param {string} text */
  addThinking(text) {
    this.#thinking.hidden = false;
    this.#thoughtStick ??= new StickToBottom(this.#thoughtBox, this.#thoughtText);
    this.#thinkingShown += text;
    this.#thought.append(text);
    this.#placeCursor();
  }

  /** @param {string} text */
  addContent(text) {
    if (!this.#rendered) this.#endThinking();
    this.#rendered += text;
    if (this.#context.renderer) this.#renderWith(this.#context.renderer);
    else this.#stream?.append(text);
  }

  /**
   * Show an earlier version in the place of the message; null shows the message again.
   *
   * @param {{message: ConversationMessage, number: number} | null} earlier
   */
  showEarlier(earlier) {
    this.#earlier = earlier;
    this.element.classList.toggle("earlier-version", earlier !== null);
    this.update();
  }

  /** What is shown: the message, or an earlier version of it. */
  get #shown() {
    return this.#earlier?.message ?? this.#message;
  }

  /** Show whatever has changed in the message, except text that was appended. */
  update() {
    const { status, warnings } = this.#shown;
    const root = /** @type {Document | ShadowRoot} */ (this.element.getRootNode());
    const focused = /** @type {HTMLElement | null | undefined} */ (root.activeElement);
    this.element.dataset.status = status;
    this.#bubble.hidden = this.#message.role === "user" && !this.#message.content; // only images
    this.element.classList.toggle("shortened", warnings.some(isShortened));
    this.#updateSources();
    this.#updateThinking();
    this.#updateContent();
    this.#placeCursor();
    this.#updateFooter();
    if (focused && this.#footer.contains(focused)) focused.focus({ preventScroll: true }); // it was moved
  }

  remove() {
    this.#thoughtStick?.disconnect();
    this.#thought.stop();
    this.#stream?.stop();
    this.#storedImages?.remove();
    this.element.remove();
  }

  // -- text

  /** Close the thinking, scrolled back to its beginning for when it is opened again. */
  #endThinking() {
    this.#thoughtStick?.disconnect();
    this.#thoughtStick = null;
    this.#thoughtBox.scrollTop = 0;
    this.#thinking.open = false;
  }

  #updateThinking() {
    const { thinking, thinkingMs, usage, status, content } = this.#shown;
    const { labels } = this.#context;
    const ms = usage?.thinkingMs ?? thinkingMs;
    const over = status !== "streaming" || content !== "";
    this.#thinkingTitle.textContent = over && ms ? labels.thought(ms / 1000) : labels.thinking;
    this.#thinking.hidden = !thinking;
    if (!thinking.startsWith(this.#thinkingShown)) {
      this.#thought.stop();
      this.#thought = new StreamingPlain(this.#thoughtText);
      this.#thinkingShown = "";
    }
    const added = thinking.slice(this.#thinkingShown.length);
    this.#thinkingShown = thinking;
    if (added) this.#thought.append(added);
  }

  #updateSources() {
    const { sources } = this.#shown;
    const key = JSON.stringify(sources);
    if (key === this.#sourcesKey) return;
    this.#sourcesKey = key;
    if (sources.length) (this.#sources ??= new Sources(this.#context.labels)).show(sources);
    else this.#sources = null;
  }

  /** Append what the content has gained. If it does not continue what is shown, start over. */
  #updateContent() {
    const { content, role, status } = this.#shown;
    const { renderer } = this.#context;
    if (renderer && role === "assistant") {
      this.#rendered = content;
      this.#renderWith(renderer);
    } else {
      if (!this.#stream || !content.startsWith(this.#rendered)) this.#startStream();
      const added = content.slice(this.#rendered.length);
      this.#rendered = content;
      if (added) this.#stream?.append(added);
      if (status !== "streaming") this.#stream?.finish();
    }
  }

  #startStream() {
    this.#stream?.stop();
    this.#rendered = "";
    const { newLexer, labels } = this.#context;
    const lexer = this.#message.role === "user" ? typedLexer : newLexer?.();
    if (!lexer) {
      this.#stream = new StreamingPlain(this.#content);
      return;
    }
    /** @type {import("../markdown/markdown.js").Settings} */
    const settings = {
      labels,
      reference: (number) => this.#sources?.reference(number) ?? null,
      copy: (text, button) => this.#copy(text, button),
    };
    this.#stream = new StreamingMarkdown(this.#content, lexer, settings, () => this.#placeCursor());
  }

  /** @param {import("../chat-interface.js").Renderer} renderer */
  #renderWith(renderer) {
    this.#content.replaceChildren(renderer(this.#rendered, this.#shown));
    this.#placeCursor();
  }

  /** Put the cursor behind the last word, however deep it is in lists and quotes. */
  #placeCursor() {
    if (this.#message.status !== "streaming") return this.#cursor.remove();
    /** @type {Element} */
    let parent = this.#content;
    for (;;) {
      let last = parent.lastElementChild;
      if (last === this.#cursor) last = last.previousElementSibling;
      if (!last?.matches(".group, p, ul, ol, li, blockquote, h3, h4, h5, h6")) break;
      parent = last;
    }
    if (parent.lastChild !== this.#cursor) parent.append(this.#cursor);
  }

  // -- below the text

  /** Replace what is below the text, around the sources, which stay as they are read: focused, scrolled. */
  #updateFooter() {
    const parts = this.#footerParts();
    const kept = this.#sources?.element;
    if (kept?.parentElement !== this.#footer) return this.#footer.replaceChildren(...parts);
    for (const child of [...this.#footer.children]) if (child !== kept) child.remove();
    const place = parts.indexOf(kept);
    kept.before(...parts.slice(0, place));
    kept.after(...parts.slice(place + 1));
  }

  #footerParts() {
    const { role, status, warnings } = this.#shown;
    const note = this.#note();
    const images = role === "user" && this.#message.imageCount ? this.#images() : null;
    return [
      ...(images ? [images] : []),
      ...warnings.map((warning) =>
        h("p", { class: isShortened(warning) ? "note where-shortened" : "note" }, warning.message),
      ),
      ...(note ? [note] : []),
      ...(status === "failed" ? [this.#failure()] : []),
      ...(this.#sources ? [this.#sources.element] : []),
      ...(status !== "streaming" ? [this.#actions()] : []),
      ...(role === "assistant" && status !== "streaming" ? [this.#facts.element] : []),
    ];
  }

  #note() {
    const { labels } = this.#context;
    const { content, status, finishReason } = this.#shown;
    if (this.#earlier && this.#message.role === "assistant") return note(labels.earlierVersion);
    if (status === "cancelled" || status === "interrupted") {
      const why = status === "cancelled" ? labels.stopped : labels.interrupted;
      return content ? this.#unfinished(why) : note(why);
    }
    return finishReason === "length" ? this.#unfinished(labels.truncated) : null;
  }

  #unfinished(/** @type {string} */ why) {
    const { labels, oncontinue } = this.#context;
    const attributes = { type: "button", class: "continue quiet needs-idle needs-last", onclick: oncontinue };
    return h("p", { class: "note" }, why, " ", h("button", attributes, labels.continue));
  }

  #failure() {
    const { labels, onretry } = this.#context;
    const { error } = this.#message;
    const said = h("p", {}, sentenceFor(error, labels), ...requestIdOf(error, labels));
    if (error?.code === "login_expired") {
      const reload = h("button", { type: "button", class: "retry", onclick: () => location.reload() });
      reload.append(icon("retry"), labels.reload);
      return h("div", { class: "failure" }, said, reload);
    }
    const retry = h("button", {
      type: "button",
      class: "retry needs-idle",
      onclick: () => onretry(this.#message),
    });
    retry.append(icon("retry"), labels.retry);
    return h("div", { class: "failure" }, said, retry);
  }

  #images() {
    const { images, imageCount } = this.#shown;
    const { labels, image } = this.#context;
    if (images?.length) {
      const elements = images.map(({ url, name }) => h("img", { src: url, alt: name || labels.image }));
      return h("div", { class: "images" }, ...elements);
    }
    this.#storedImages ??= new StoredImages(imageCount, labels, (number, signal) =>
      image(this.#message, number, signal),
    );
    return this.#storedImages.element;
  }

  #actions() {
    const { content, role } = this.#shown;
    const { labels } = this.#context;
    const actions = h("div", { class: "actions" });
    if (content) {
      const copy = iconButton("copy", labels.copy, () => this.#copy(content, copy));
      actions.append(copy);
    }
    const remove = iconButton("trash", labels.deleteMessage, () => this.#confirmDelete(actions), {
      class: "delete needs-idle needs-latest",
    });
    if (role === "user") {
      const edit = iconButton("edit", labels.edit, () => this.#edit(), {
        class: "edit-button needs-idle needs-latest",
      });
      actions.prepend(...this.#time());
      actions.append(edit, remove);
    } else {
      actions.append(...this.#answerActions(remove));
    }
    return actions;
  }

  #time() {
    const { createdAt } = this.#shown;
    const { labels } = this.#context;
    if (!createdAt) return [];
    const time = new Date(createdAt);
    const attributes = { class: "time", datetime: createdAt, title: labels.moment(time) };
    return [h("time", attributes, labels.written(time))];
  }

  /** @param {HTMLElement} remove */
  #answerActions(remove) {
    const { labels, onretry } = this.#context;
    const { version = 1 } = this.#message;
    this.#versions.show(this.#earlier?.number ?? version, version);
    this.#facts.show(this.#shown);
    const parts = [remove, this.#versions.element, this.#facts.button];
    if (this.#shown.status === "failed") return parts; // it has Retry
    const attributes = { class: "regenerate needs-idle needs-latest needs-last" };
    const retry = iconButton("retry", labels.regenerate, () => onretry(this.#message), attributes);
    return [retry, ...parts];
  }

  /**
   * Ask in the place of the buttons whether to delete the message.
   *
   * @param {HTMLElement} actions
   */
  #confirmDelete(actions) {
    confirmDelete(actions, this.#context.labels, () => this.#context.ondelete(this.#message));
  }

  /** @param {string} text @param {HTMLElement} button */
  async #copy(text, button) {
    const { labels, onnotice } = this.#context;
    try {
      await copyText(text);
    } catch {
      return onnotice(labels.cannotCopy);
    }
    onnotice(labels.copied);
    if (button.dataset.copied) return;
    const nodes = [...button.childNodes];
    button.dataset.copied = "true";
    button.replaceChildren(button.classList.contains("copy-code") ? labels.copied : icon("check"));
    setTimeout(() => {
      button.replaceChildren(...nodes);
      delete button.dataset.copied;
    }, COPIED);
  }

  /** Replace the text by a field until it is sent again or editing is cancelled. */
  #edit() {
    edit(this.#message, this.#bubble, this.#footer, this.#context);
  }
}

/** @param {string} sentence */
const note = (sentence) => h("p", { class: "note" }, sentence);

/**
 * Return whether a warning says that the history was cut. Where it goes on to be, `styles.js` hides it.
 *
 * @param {{code: string}} warning
 */
function isShortened({ code }) {
  return code === "history_truncated";
}
