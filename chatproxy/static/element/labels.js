// Every word that the element says; the property `labels` replaces any of them, by name.

const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
const ENDINGS = /** @type {Record<string, string>} */ ({ one: "st", two: "nd", few: "rd", other: "th" });

/** @param {number} number */
const ordinal = (number) => `${number}${ENDINGS[ordinals.select(number)]}`;

export const labels = {
  placeholder: "Write a message",
  empty: "What can I help with?",
  log: "Conversation",
  you: "You said:",
  assistant: "The assistant said:",
  send: "Send",
  stop: "Stop",
  attach: "Attach a picture",
  removePicture: "Remove the picture",
  picture: "Picture",
  /** @param {number} count */
  pictures: (count) => (count === 1 ? "1 picture" : `${count} pictures`),
  picturesTooLarge: "These pictures are larger than 10 MB together; attach fewer or smaller ones.",
  copy: "Copy",
  copied: "Copied",
  copyCode: "Copy code",
  code: "Code",
  table: "Table",
  retry: "Retry",
  regenerate: "Regenerate",
  edit: "Edit",
  editField: "Edit the message",
  resend: "Send again",
  cancel: "Cancel",
  latest: "Go to the latest",
  earlier: "Show earlier messages",
  thinking: "Thinking",
  sources: "Sources",
  /** @param {number} number @param {string} title */
  source: (number, title) => `Source ${number}: ${title}`,
  stopped: "Stopped.",
  interrupted: "Interrupted: the server ended in the middle of this answer.",
  truncated: "Ended at the length limit.",
  starting: "Sending",
  /** @param {number} position */
  queued: (position) => `Queued, ${ordinal(position)} in line`,
  /** @param {number} seconds */
  loading: (seconds) => `Loading model, ${seconds} s`,
  /** @param {number} seconds */
  waiting: (seconds) => `Reading, ${seconds} s`,
  /** @param {number} rate */
  generating: (rate) => `${rate.toFixed(rate < 10 ? 1 : 0)} tokens/s`,
  writing: "Writing",
  reconnecting: "Connection lost, trying again…",
  answerStarted: "The answer begins.",
  answerDone: "The answer is complete.",
  failed: "Something went wrong.",
};

/** @typedef {typeof labels} Labels */
