// What takes the place of a message or its buttons while the reader edits or deletes it.

import { directionOf } from "../dom/direction.js";
import { h } from "../dom/dom.js";

/**
 * Ask in the place of the buttons whether to delete the message.
 *
 * @param {HTMLElement} actions the buttons
 * @param {import("../chat-interface.js").Labels} labels
 * @param {() => void} ondelete
 */
export function confirmDelete(actions, labels, ondelete) {
  const cancel = () => {
    question.replaceWith(actions);
    /** @type {HTMLElement | null} */ (actions.querySelector(".delete"))?.focus();
  };
  const keep = h("button", { type: "button", class: "quiet", onclick: cancel }, labels.cancel);
  const remove = h("button", { type: "button", class: "quiet danger", onclick: ondelete }, labels.delete);
  const attributes = { class: "confirm", role: "group", "aria-label": labels.confirmDelete };
  const question = h("div", attributes, h("span", {}, labels.confirmDelete), keep, remove);
  question.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation(); // it would stop an answer
    cancel();
  });
  actions.replaceWith(question);
  keep.focus();
}

/**
 * Put a field in the place of a message until it is sent again or editing is cancelled.
 *
 * @param {import("../chat-interface.js").ConversationMessage} message
 * @param {HTMLElement} bubble what shows the message
 * @param {HTMLElement} footer what is below it, which is hidden meanwhile
 * @param {import("./message-view.js").MessageContext} context
 */
export function edit(message, bubble, footer, { labels, enterKey, onresend, onnotice }) {
  const dir = directionOf(message.content);
  const field = h("textarea", { class: "edit-field", dir, "aria-label": labels.editField });
  field.value = message.content;
  const close = () => {
    form.replaceWith(bubble);
    footer.hidden = false;
  };
  const cancel = () => {
    close();
    /** @type {HTMLElement | null} */ (footer.querySelector(".edit-button"))?.focus();
  };
  const resend = () => {
    if (!field.value.trim() && !message.imageCount) return onnotice(labels.nothingToSend);
    if (onresend(message, field.value)) close();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing && event.keyCode !== 229) {
      event.stopPropagation(); // it would stop an answer
      cancel();
    } else if (enterKey.isToSend(event)) {
      event.preventDefault();
      resend();
    }
  });
  enterKey.label(field);
  const buttons = h(
    "div",
    { class: "buttons" },
    h("button", { type: "button", class: "quiet", onclick: cancel }, labels.cancel),
    h("button", { type: "submit", class: "strong" }, labels.resend),
  );
  const form = h("form", { class: "edit" }, field, buttons);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    resend();
  });
  bubble.replaceWith(form);
  footer.hidden = true;
  field.focus();
}
