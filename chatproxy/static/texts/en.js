// The texts in English. Another language has a file with the same, and `markup`: what page/index.html says.
//
// The property `labels` of an element replaces any of its own by name.

import { clock, day, duration, estimate, isolated, moment, number, plural, rate, size } from "./format.js";

const EN = "en";
const ORDINALS = { one: "st", two: "nd", few: "rd", other: "th" };

/** @param {number} position */
const ordinal = (position) => number(EN, position) + plural(EN, position, ORDINALS, "ordinal");

/** @param {number} count */
const conversations = (count) =>
  `${number(EN, count)} ${plural(EN, count, { one: "conversation", other: "conversations" })}`;

/** @type {import("../chat-interface.js").Labels} */
export const labels = {
  placeholder: "Write a message",
  empty: "What can I help with?",
  suggestions: "Suggestions",
  log: "Conversation",
  you: "You said:",
  assistant: "The assistant said:",
  send: "Send",
  stop: "Stop",
  attach: "Attach pictures or documents",
  drop: "Drop pictures or documents here",
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
  tooManyDocuments: "A conversation draws on 16 documents at most; remove one before you add another.",
  documentWarning: (title) => `Note about ${title}`,
  removeDocument: (title) => `Remove ${title}`,
  deletedDocument: "Deleted document",
  nothingToSend: "Write something, or attach a picture.",
  sentWhenReady: "The message is sent as soon as what is attached is ready.",
  waitOrStop: "Wait for the answer, or stop it, before the next message.",
  messageTooLong: "This message is longer than 256 KiB; shorten it, or attach the text as a file.",
  disabled: "Nothing can be sent here now.",
  copy: "Copy",
  copied: "Copied",
  cannotCopy: "The browser does not let this page copy; select the text instead.",
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
  thought: (seconds) => `Thought for ${duration(EN, seconds)}`,
  facts: "About this answer",
  chosen: (model, reason) => `${model}: ${reason}`,
  tokens: (read, written) =>
    `${read === null ? "" : `${number(EN, read)} tokens read, `}${number(EN, written)} tokens written`,
  took: (first, whole) =>
    `${first === null ? "" : `First words after ${duration(EN, first)}, `}complete after ${duration(EN, whole)}`,
  written: (time) => clock(EN, time),
  moment: (time) => moment(EN, time),
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
    `Queued, ${ordinal(position)} in line${seconds === undefined ? "" : `, about ${estimate(EN, seconds)}`}`,
  loading: (seconds) => `Loading model, ${number(EN, seconds)} s`,
  waiting: (seconds) => `Reading prompt, ${number(EN, seconds)} s`,
  generating: (tokensPerSecond) => `${rate(EN, tokensPerSecond)} tokens/s`,
  writing: "Writing",
  reconnecting: "Connection lost, trying again…",
  answerStarted: "The answer has started.",
  answerDone: "The answer is complete.",
  answerEmpty: "The model gave no answer.",
  noEndpoint:
    'This chat has no server; set its attribute endpoint to that of chatproxy, such as endpoint="http://127.0.0.1:11435".',
  failed: "Something went wrong.",
  reload: "Reload the page",
  errorDetails: "Details",
  errors: {
    malformed: "The server did not understand this page; reload it, and try again.",
    invalid_cursor: "What was shown last is out of date; reload the page.",
    unsupported_parameter: "The server did not understand this page; reload it, and try again.",
    unauthorized: "You are not logged in here any more; log in again, and try again.",
    managed_elsewhere: "Models are managed where Ollama runs.",
    not_found: "This is not here any more; it may have been deleted elsewhere.",
    method_not_allowed: "The server did not understand this page; reload it, and try again.",
    session_busy: "The last message here is still being answered; wait for that, or stop it.",
    invalid: "The server cannot use this as it is; change it, and try again.",
    "invalid file": "This file has no text, is damaged, or is not what its name says; save it again, and attach that.",
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
    upstream_invalid: "What answers in place of Ollama is something else, or its certificate is not trusted; check OLLAMA_HOST.",
    shutting_down: "The server is restarting; try again in a moment.",
    no_models: "No model is installed; install one where Ollama runs, and try again.",
    storage_full: "The server's disk is full, so nothing can be kept; free some space, and try again.",
    login_expired: "Your login has expired; reload the page to log in again.",
    session_gone: "This conversation was deleted elsewhere. Your next message begins a new one.",
    document_gone: "A document was deleted elsewhere. Try again to get an answer without it.",
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
  deleteQuestion: (title) => `Delete “${isolated(title)}”?`,
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

/** The page's own texts that are not in its markup. */
export const page = {
  documents: {
    delete: (/** @type {string} */ title) => `Delete ${title}`,
    deleteQuestion: (/** @type {string} */ title) =>
      `Delete “${isolated(title)}”? Answers keep the passages they cite.`,
    facts: (/** @type {number} */ bytes, /** @type {Date} */ created) =>
      `${size(EN, bytes, "bytes")} · ${day(EN, created)}`,
    embedding: (/** @type {number} */ percent) => `${number(EN, percent)}% ready to be found by meaning`,
  },
  models: {
    auto: (/** @type {string} */ model) => (model ? `auto (${model})` : "auto"),
    reason: (/** @type {string} */ reason) => `auto: ${reason}`,
    last: "answered last in this conversation",
  },
  firstUse: [
    {
      label: "Write a long story, then open this page in a second tab",
      message: "Write a long story about a lighthouse keeper who finds a letter from the future.",
    },
    {
      label: "Explain something at length, then reload the page in the middle",
      message: "Explain at length and step by step what happens when somebody opens a web page.",
    },
    {
      label: "Count to a thousand, then stop it",
      message: "Count from one to a thousand in words.",
    },
  ],
  noModel: {
    title: "No model is installed yet",
    type: "Type this where Ollama runs. It loads a small model, which takes a few minutes:",
    copy: "Copy the line",
    copied: "Copied",
    look: "Look again",
    looking: "Looking…",
    still: "There is still none.",
  },
  ollama: {
    standIn: "Answers come from a built-in stand-in, not from a language model.",
    demo:
      "chatproxy keeps your conversations. Reload the page or open a second tab while an answer is written: it goes on. Even if the server is killed, what was written stays.",
    unavailable:
      "Ollama cannot be reached: nothing answers at OLLAMA_HOST, or a proxy there does not reach it; start it with `ollama serve`, or correct the address.",
    timeout:
      "Ollama cannot be reached: it does not answer in time; look into its log, and start it again if it hangs.",
    invalid:
      "Ollama cannot be reached: what answers at OLLAMA_HOST is something else, or its certificate is not trusted; `chatproxy doctor` says what to do.",
    failing: "Ollama answers with an error; the server's log says which, and `chatproxy doctor` what to do.",
  },
  refusedOrigin: (/** @type {string} */ origin) =>
    `This server does not recognise ${origin} as its own address, and would refuse every message. Have the proxy in front pass on the Host (nginx: proxy_set_header Host $http_host;), or start chatproxy with CORS_ORIGINS=${origin}.`,
  shortcuts: {
    newChat: "New chat",
    search: "Search conversations",
    write: "Write a message",
    stop: "Stop the answer",
    copyLast: "Copy the last answer",
    help: "These shortcuts",
    mod: "Ctrl",
    shift: "Shift",
    escape: "Escape",
  },
  theme: { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" },
  token: {
    unreachable: "The server could not be reached for the login; enter the token.",
    wrong: "This token is not good here, or no longer; enter another one.",
  },
  list: {
    pin: (/** @type {string} */ title) => `Pin ${title}`,
    unpin: (/** @type {string} */ title) => `Unpin ${title}`,
    tools: (/** @type {string} */ title) => `More for ${title}`,
    running: "Being answered",
    new: "New answer",
    ended: (/** @type {string} */ title) => `New answer in “${isolated(title)}”.`,
    menu: "Select, export and import",
    select: "Select and delete…",
    export: "Export all",
    import: "Import…",
  },
  dates: {
    pinned: "Pinned",
    today: "Today",
    yesterday: "Yesterday",
    week: "Previous 7 days",
    month: "Previous 30 days",
  },
  selection: {
    all: "All",
    delete: (/** @type {number} */ count) => `Delete ${number(EN, count)}`,
    cancel: "Cancel",
    question: (/** @type {number} */ count) => `Delete ${conversations(count)}?`,
    deleting: (/** @type {number} */ count) => `Deleting ${conversations(count)}…`,
    deleted: (/** @type {number} */ count) => `${conversations(count)} deleted.`,
    failed: (/** @type {number} */ count, /** @type {string} */ title, /** @type {string} */ reason) =>
      count === 1
        ? `“${isolated(title)}” could not be deleted: ${reason}`
        : `${conversations(count)} could not be deleted. The first is “${isolated(title)}”: ${reason}`,
  },
  transfer: {
    exporting: "Exporting all conversations…",
    exported: "All conversations are exported.",
    importing: (/** @type {string} */ name) => `Importing ${isolated(name)}…`,
    imported: (/** @type {number} */ count) =>
      `${conversations(count)} ${plural(EN, count, { one: "was", other: "were" })} imported.`,
    known: (/** @type {number} */ count) =>
      `${number(EN, count)} ${plural(EN, count, { one: "was", other: "were" })} here already.`,
    refused: (/** @type {number} */ count) =>
      `${number(EN, count)} ${plural(EN, count, { one: "was", other: "were" })} refused:`,
    refusal: (/** @type {string} */ title, /** @type {string} */ reason) => `“${isolated(title)}”: ${reason}`,
    nameless: (/** @type {number} */ index) => `No. ${number(EN, index + 1)}`,
    more: (/** @type {number} */ count) => `and ${number(EN, count)} more`,
    stopped: (/** @type {string} */ reason) => `The rest of the file was not read: ${reason}`,
  },
};
