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

/** @param {number} seconds */
const duration = (seconds) => {
  if (seconds < 10) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  return seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
};

/**
 * Say when, as short as it is clear: a time of today is only a time.
 *
 * @param {Date} time
 */
const clock = (time) => {
  const today = time.toDateString() === new Date().toDateString();
  const minutes = /** @type {const} */ ({ hour: "numeric", minute: "2-digit" });
  return time.toLocaleString(undefined, today ? minutes : { month: "short", day: "numeric", ...minutes });
};

/** @typedef {import("../chat-interface.js").Labels} Labels */

/** @type {Labels} */
export const labels = {
  placeholder: "Write a message",
  empty: "What can I help with?",
  suggestions: "Suggestions",
  log: "Conversation",
  you: "You said:",
  assistant: "The assistant said:",
  send: "Send",
  stop: "Stop",
  attach: "Attach pictures or a document",
  drop: "Drop pictures or a document here",
  removeImage: "Remove image",
  image: "Image",
  imageFailed: "Load the picture again",
  imagesTooLarge: "These pictures are larger than 20 MB together; attach fewer or smaller ones.",
  tooManyImages: "A message takes 32 pictures at most; send the others with the next one.",
  unreadablePicture: (name) => `${name} is no picture that can be shown here; save it as PNG or JPEG first.`,
  cannotSee: (model) =>
    model === null
      ? "No model that is installed can see pictures; install one that can."
      : `The model ${model} cannot see pictures; choose another one to ask about them.`,
  folders: "Folders cannot be attached; choose the files in them.",
  uploading: (name) => `Uploading ${name}`,
  reading: (name) => `Reading ${name}`,
  cancelUpload: (name) => `Cancel ${name}`,
  oneDocument: (title) => `Answers draw on one document at a time: ${title}.`,
  removeDocument: (title) => `Remove ${title}`,
  deletedDocument: "Deleted document",
  nothingToSend: "Write something, or attach a picture.",
  sentWhenReady: "The message is sent as soon as what is attached is ready.",
  waitOrStop: "Wait for the answer, or stop it, before the next message.",
  messageTooLong: "This message is longer than 256 KiB; shorten it, or attach the text as a file.",
  disabled: "Nothing can be sent here now.",
  copy: "Copy",
  copied: "Copied",
  copyCode: "Copy code",
  code: "Code",
  table: "Table",
  formula: "Formula",
  footnote: (label) => `Footnote ${label}`,
  footnoteBack: "Back to the text",
  retry: "Retry",
  regenerate: "Regenerate",
  edit: "Edit",
  editField: "Edit message",
  resend: "Send again",
  cancel: "Cancel",
  latest: "Jump to latest",
  earlier: "Show earlier messages",
  notPrinted: "Earlier messages are left out here, because they were not shown when this was printed.",
  thinking: "Thinking",
  thought: (seconds) => `Thought for ${duration(seconds)}`,
  facts: "About this answer",
  chosen: (model, reason) => `${model}: ${reason}`,
  tokens: (read, written) => `${read === null ? "" : `${read} tokens read, `}${written} tokens written`,
  took: (first, whole) =>
    `${first === null ? "" : `First words after ${duration(first)}, `}complete after ${duration(whole)}`,
  written: (time) => clock(time),
  versions: "Versions of this answer",
  version: (number, total) => `Version ${number} of ${total}`,
  previousVersion: "Previous version",
  nextVersion: "Next version",
  earlierVersion: "An earlier version. The conversation goes on after the latest one.",
  deleteMessage: "Delete message",
  confirmDelete: "Delete this message for good?",
  delete: "Delete",
  continue: "Continue",
  continueMessage: "Continue exactly where you stopped.",
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
  noEndpoint:
    'This chat has no server; set its attribute endpoint to that of chatproxy, such as endpoint="http://127.0.0.1:11435".',
  failed: "Something went wrong.",
  reload: "Reload the page",
  errors: {
    malformed: "The server did not understand this page; reload it, and try again.",
    invalid_cursor: "What was shown last is out of date; reload the page.",
    unsupported_parameter: "The server did not understand this page; reload it, and try again.",
    unauthorized: "You are not logged in here any more; log in again, and try again.",
    managed_elsewhere: "Models are managed where Ollama runs.",
    not_found: "This is not here any more; it may have been deleted elsewhere.",
    method_not_allowed: "The server did not understand this page; reload it, and try again.",
    session_busy: "The last message here is still being answered; wait for that, or stop it.",
    unsupported_media_type: "The server does not read files of this kind; try another one.",
    invalid: "The server cannot use this as it is; change it, and try again.",
    "invalid images": "One of the pictures cannot be read; remove it, or save it as PNG or JPEG first.",
    "invalid model": "This model cannot be chosen; choose another one.",
    "invalid options": "The settings of this conversation cannot be used; correct them.",
    "invalid think": "The settings of this conversation cannot be used; correct them.",
    "invalid system": "The settings of this conversation cannot be used; correct them.",
    "invalid q": "This search is too long; search for fewer words.",
    "invalid replaces": "This message was changed elsewhere; reload the page to see it as it is now.",
    "invalid title": "This title cannot be used; write a shorter one.",
    idempotency_conflict: "This message was sent before with another text; write it again.",
    model_not_found: "The chosen model is not installed any more; choose another one.",
    no_suitable_model:
      "The model cannot do what this message needs, such as see pictures; choose another one, or leave that out.",
    message_too_long:
      "The message is longer than the model can read at once; shorten it, or choose a model that can read more.",
    option_not_allowed: "A setting of this conversation is not allowed here; remove it.",
    too_many_subscribers: "This answer is open in too many tabs; close some of them, and try again.",
    internal: "Something went wrong on the server; try again.",
    upstream_unavailable: "Ollama cannot be reached, so no model can answer; start it, and try again.",
    upstream_invalid: "What answers in place of Ollama is something else; check OLLAMA_HOST.",
    shutting_down: "The server is restarting; try again in a moment.",
    no_models: "No model is installed; install one where Ollama runs, and try again.",
    storage_full: "The server's disk is full, so nothing can be kept; free some space, and try again.",
    login_expired: "Your login has expired; reload the page to log in again.",
    session_gone: "This conversation was deleted elsewhere. Your next message begins a new one.",
    document_gone: "The document was deleted elsewhere. Try again to get an answer without it.",
  },
};

/** @type {import("../chat-history.js").HistoryLabels} */
export const historyLabels = {
  list: "Conversations",
  newChat: "New chat",
  untitled: "New chat",
  title: "Title",
  none: "No conversations yet.",
  noMatches: "No matches.",
  more: "Show more",
  rename: (title) => `Rename ${title}`,
  delete: (title) => `Delete ${title}`,
  deleteQuestion: (title) => `Delete “\u2068${title}\u2069”?`, // isolated: it may be of another direction
  deleteConfirm: "Delete",
  cancel: "Cancel",
};

/** @type {import("../chat-launcher.js").LauncherLabels} */
export const launcherLabels = {
  title: "Chat",
  open: "Open chat",
  close: "Close chat",
  unread: "New answer",
};
