// The element's texts in English. The property `labels` replaces any of them by name.

const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = /** @type {Record<Intl.LDMLPluralRule, string>} */ ({
  one: "st",
  two: "nd",
  few: "rd",
  other: "th",
});

/** @param {number} number */
const ordinal = (number) => `${number}${ENDINGS[ordinals.select(number)]}`;

/**
 * Say a time that is only estimated.
 *
 * @param {number} seconds
 */
const about = (seconds) =>
  seconds < 60 ? `about ${Math.ceil(seconds / 5) * 5} s` : `about ${Math.round(seconds / 60)} min`;

/** @typedef {import("../chat-interface.js").Labels} Labels */

/** @type {Labels} */
export const labels = {
  placeholder: "Write a message",
  empty: "What can I help with?",
  log: "Conversation",
  you: "You said:",
  assistant: "The assistant said:",
  send: "Send",
  stop: "Stop",
  attach: "Attach an image",
  removeImage: "Remove image",
  image: "Image",
  images: (count) => (count === 1 ? "1 image" : `${count} images`),
  imagesTooLarge: "These images are larger than 10 MB together; attach fewer or smaller ones.",
  copy: "Copy",
  copied: "Copied",
  copyCode: "Copy code",
  code: "Code",
  table: "Table",
  retry: "Retry",
  regenerate: "Regenerate",
  edit: "Edit",
  editField: "Edit message",
  resend: "Send again",
  cancel: "Cancel",
  latest: "Jump to latest",
  earlier: "Show earlier messages",
  thinking: "Thinking",
  sources: "Sources",
  source: (number, title) => `Source ${number}: ${title}`,
  page: (page) => `p. ${page}`,
  cited: "Cited",
  uncited: "Not cited",
  stopped: "Stopped.",
  interrupted: "Interrupted: the server stopped before this answer was complete.",
  truncated: "Cut off at the length limit.",
  starting: "Sending",
  queued: (position, seconds) =>
    `Queued, ${ordinal(position)} in line${seconds === undefined ? "" : `, ${about(seconds)}`}`,
  loading: (seconds) => `Loading model, ${seconds} s`,
  waiting: (seconds) => `Reading prompt, ${seconds} s`,
  generating: (tokensPerSecond) => `${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)} tokens/s`,
  writing: "Writing",
  reconnecting: "Connection lost, trying again…",
  answerStarted: "The answer has started.",
  answerDone: "The answer is complete.",
  answerEmpty: "The model gave no answer.",
  failed: "Something went wrong.",
};
