// What Enter does in a field of several lines: it sends, or makes a new line, as where a keyboard on the screen has no
// Shift+Enter. Ctrl+Enter and Cmd+Enter always send, and Shift+Enter never does.

const TOUCH = globalThis.matchMedia?.("(hover: none) and (pointer: coarse)");

export class EnterKey {
  /** @type {"send" | "newline" | null} null: as it fits the device */
  setting = null;

  get sends() {
    return this.setting ? this.setting === "send" : !TOUCH?.matches;
  }

  /**
   * Label the key of keyboards on the screen whenever the field is entered, as devices change.
   *
   * @param {HTMLTextAreaElement} field
   */
  label(field) {
    field.addEventListener("focus", () => (field.enterKeyHint = this.sends ? "send" : "enter"));
  }

  /**
   * Return whether a key press is to send. While an input method composes, Enter is its own; Safari only says so
   * by the key code 229.
   *
   * @param {KeyboardEvent} event
   */
  isToSend({ key, shiftKey, ctrlKey, metaKey, isComposing, keyCode }) {
    if (key !== "Enter" || shiftKey || isComposing || keyCode === 229) return false;
    return this.sends || ctrlKey || metaKey;
  }
}
