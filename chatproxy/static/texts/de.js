// The texts in German. See en.js.

import { clock, day, duration, estimate, isolated, moment, number, plural, rate, size } from "./format.js";

/** @typedef {typeof import("./en.js").page} Page */

const DE = "de";

/** @param {number} count */
const conversations = (count) => `${number(DE, count)} ${plural(DE, count, { one: "Chat", other: "Chats" })}`;

/** @type {import("../chat-interface.js").Labels} */
export const labels = {
  placeholder: "Nachricht schreiben",
  empty: "Womit kann ich helfen?",
  suggestions: "Vorschläge",
  log: "Unterhaltung",
  you: "Sie:",
  assistant: "Assistent:",
  send: "Senden",
  stop: "Stoppen",
  attach: "Bilder oder Dokumente anhängen",
  drop: "Bilder oder Dokumente hier ablegen",
  removeImage: "Bild entfernen",
  image: "Bild",
  imageFailed: "Bild erneut laden",
  imagesTooLarge: "Diese Bilder sind zusammen größer als 20 MB; hängen Sie weniger oder kleinere an.",
  tooManyImages: "Eine Nachricht fasst höchstens 32 Bilder; senden Sie die übrigen mit der nächsten.",
  unreadablePicture: (name) =>
    `${name} lässt sich hier nicht als Bild anzeigen; speichern Sie es zuerst als PNG oder JPEG.`,
  cannotSee: (model) =>
    model === null
      ? "Kein installiertes Modell kann Bilder sehen; installieren Sie eines, das es kann."
      : `Das Modell ${model} kann keine Bilder sehen; wählen Sie dafür ein anderes.`,
  folders: "Ordner lassen sich nicht anhängen; wählen Sie die Dateien darin aus.",
  uploading: (name) => `${name} wird hochgeladen`,
  reading: (name) => `${name} wird gelesen`,
  cancelUpload: (name) => `${name} abbrechen`,
  tooManyDocuments: "Ein Chat stützt sich auf höchstens 16 Dokumente; entfernen Sie eines, bevor Sie ein weiteres hinzufügen.",
  documentWarning: (title) => `Hinweis zu ${title}`,
  removeDocument: (title) => `${title} entfernen`,
  deletedDocument: "Gelöschtes Dokument",
  nothingToSend: "Schreiben Sie etwas, oder hängen Sie ein Bild an.",
  sentWhenReady: "Die Nachricht wird gesendet, sobald die Anhänge bereit sind.",
  waitOrStop: "Warten Sie die Antwort ab, oder stoppen Sie sie, bevor Sie weiterschreiben.",
  messageTooLong:
    "Diese Nachricht ist länger als 256 KiB; kürzen Sie sie, oder hängen Sie den Text als Datei an.",
  disabled: "Hier kann gerade nichts gesendet werden.",
  copy: "Kopieren",
  copied: "Kopiert",
  cannotCopy: "Der Browser lässt diese Seite nicht kopieren; markieren Sie stattdessen den Text.",
  copyCode: "Code kopieren",
  code: "Code",
  table: "Tabelle",
  formula: "Formel",
  footnote: (label) => `Fußnote ${label}`,
  footnoteBack: "Zurück zum Text",
  retry: "Erneut versuchen",
  regenerate: "Neu generieren",
  edit: "Bearbeiten",
  editField: "Nachricht bearbeiten",
  resend: "Erneut senden",
  cancel: "Abbrechen",
  latest: "Zum Ende springen",
  earlier: "Frühere Nachrichten anzeigen",
  notPrinted: "Frühere Nachrichten fehlen hier, weil sie beim Drucken nicht angezeigt wurden.",
  thinking: "Denkt nach",
  thought: (seconds) => `${duration(DE, seconds)} nachgedacht`,
  facts: "Über diese Antwort",
  chosen: (model, reason) => `${model}: ${reason}`,
  tokens: (read, written) =>
    `${read === null ? "" : `${number(DE, read)} Tokens gelesen, `}${number(DE, written)} Tokens geschrieben`,
  took: (first, whole) =>
    `${first === null ? "" : `Erste Wörter nach ${duration(DE, first)}, `}fertig nach ${duration(DE, whole)}`,
  written: (time) => clock(DE, time),
  moment: (time) => moment(DE, time),
  versions: "Versionen dieser Antwort",
  version: (position, total) => `Version ${position} von ${total}`,
  previousVersion: "Vorige Version",
  nextVersion: "Nächste Version",
  earlierVersion: "Eine frühere Version. Die Unterhaltung setzt die letzte fort.",
  deleteMessage: "Nachricht löschen",
  confirmDelete: "Diese Nachricht endgültig löschen?",
  delete: "Löschen",
  continue: "Fortsetzen",
  continueMessage: "Mach genau dort weiter, wo du aufgehört hast.",
  sources: "Quellen",
  source: (position, title) => `Quelle ${position}: ${title}`,
  page: (page) => `S. ${page}`,
  cited: "Zitiert",
  uncited: "Nicht zitiert",
  stopped: "Gestoppt.",
  interrupted: "Unterbrochen: Der Server wurde beendet, bevor diese Antwort fertig war.",
  truncated: "An der Längengrenze abgeschnitten.",
  starting: "Wird gesendet",
  queued: (position, seconds) =>
    `In der Warteschlange, Platz ${number(DE, position)}${seconds === undefined ? "" : `, etwa ${estimate(DE, seconds)}`}`,
  loading: (seconds) => `Modell wird geladen, ${number(DE, seconds)} s`,
  waiting: (seconds) => `Eingabe wird gelesen, ${number(DE, seconds)} s`,
  generating: (tokensPerSecond) => `${rate(DE, tokensPerSecond)} Tokens/s`,
  writing: "Schreibt",
  reconnecting: "Verbindung verloren, neuer Versuch …",
  answerStarted: "Die Antwort beginnt.",
  answerDone: "Die Antwort ist fertig.",
  answerEmpty: "Das Modell hat keine Antwort gegeben.",
  noEndpoint:
    'Dieser Chat hat keinen Server; setzen Sie sein Attribut endpoint auf den von chatproxy, etwa endpoint="http://127.0.0.1:11435".',
  failed: "Etwas ist schiefgegangen.",
  reload: "Seite neu laden",
  errorDetails: "Einzelheiten",
  errors: {
    malformed: "Der Server hat diese Seite nicht verstanden; laden Sie sie neu, und versuchen Sie es erneut.",
    invalid_cursor: "Was zuletzt angezeigt wurde, ist veraltet; laden Sie die Seite neu.",
    unsupported_parameter: "Der Server hat diese Seite nicht verstanden; laden Sie sie neu, und versuchen Sie es erneut.",
    unauthorized: "Sie sind hier nicht mehr angemeldet; melden Sie sich an, und versuchen Sie es erneut.",
    managed_elsewhere: "Modelle werden dort verwaltet, wo Ollama läuft.",
    not_found: "Das ist nicht mehr hier; vielleicht wurde es anderswo gelöscht.",
    method_not_allowed: "Der Server hat diese Seite nicht verstanden; laden Sie sie neu, und versuchen Sie es erneut.",
    session_busy: "Die letzte Nachricht wird hier noch beantwortet; warten Sie das ab, oder stoppen Sie es.",
    invalid: "Der Server kann das so nicht verwenden; ändern Sie es, und versuchen Sie es erneut.",
    "invalid file": "Diese Datei hat keinen Text, ist beschädigt oder nicht, was ihr Name sagt; speichern Sie sie noch einmal, und hängen Sie diese an.",
    "invalid images": "Eines der Bilder lässt sich nicht lesen; entfernen Sie es, oder speichern Sie es zuerst als PNG oder JPEG.",
    "invalid model": "Dieses Modell steht nicht zur Wahl; wählen Sie ein anderes.",
    "invalid options": "Die Einstellungen dieses Chats sind nicht verwendbar; berichtigen Sie sie.",
    "invalid think": "Die Einstellungen dieses Chats sind nicht verwendbar; berichtigen Sie sie.",
    "invalid system": "Die Einstellungen dieses Chats sind nicht verwendbar; berichtigen Sie sie.",
    "invalid q": "Diese Suche ist zu lang; suchen Sie nach weniger Wörtern.",
    "invalid replaces": "Diese Nachricht wurde anderswo geändert; laden Sie die Seite neu, um den jetzigen Stand zu sehen.",
    "invalid title": "Dieser Titel ist nicht verwendbar; schreiben Sie einen kürzeren.",
    idempotency_conflict: "Diese Nachricht wurde schon mit anderem Text gesendet; schreiben Sie sie neu.",
    model_not_found: "Das gewählte Modell ist nicht mehr installiert; wählen Sie ein anderes.",
    no_suitable_model: "Das Modell kann nicht, was diese Nachricht braucht, etwa Bilder sehen; wählen Sie ein anderes, oder lassen Sie das weg.",
    message_too_long: "Die Nachricht ist länger, als das Modell auf einmal lesen kann; kürzen Sie sie, oder wählen Sie ein Modell, das mehr lesen kann.",
    option_not_allowed: "Eine Einstellung dieses Chats ist hier nicht erlaubt; entfernen Sie sie.",
    too_many_subscribers: "Diese Antwort ist in zu vielen Tabs geöffnet; schließen Sie einige, und versuchen Sie es erneut.",
    internal: "Auf dem Server ist etwas schiefgegangen; versuchen Sie es erneut.",
    upstream_unavailable: "Ollama ist nicht erreichbar, darum kann kein Modell antworten; starten Sie es, und versuchen Sie es erneut.",
    upstream_invalid: "An der Stelle von Ollama antwortet etwas anderes, oder dem Zertifikat wird nicht vertraut; prüfen Sie OLLAMA_HOST.",
    shutting_down: "Der Server startet gerade neu; versuchen Sie es gleich noch einmal.",
    no_models: "Kein Modell ist installiert; installieren Sie eines, wo Ollama läuft, und versuchen Sie es erneut.",
    storage_full: "Der Speicher des Servers ist voll, darum kann nichts gespeichert werden; schaffen Sie Platz, und versuchen Sie es erneut.",
    login_expired: "Ihre Anmeldung ist abgelaufen; laden Sie die Seite neu, um sich wieder anzumelden.",
    session_gone: "Dieser Chat wurde anderswo gelöscht. Ihre nächste Nachricht beginnt einen neuen.",
    document_gone: "Ein Dokument wurde anderswo gelöscht. Versuchen Sie es erneut, um eine Antwort ohne es zu erhalten.",
  },
};

/** @type {import("../chat-history.js").HistoryLabels} */
export const historyLabels = {
  list: "Chats",
  newChat: "Neuer Chat",
  untitled: "Neuer Chat",
  title: "Titel",
  none: "Noch keine Chats.",
  noMatches: "Keine Treffer.",
  more: "Mehr anzeigen",
  rename: (title) => `${title} umbenennen`,
  delete: (title) => `${title} löschen`,
  deleteQuestion: (title) => `„${isolated(title)}“ löschen?`,
  deleteConfirm: "Löschen",
  cancel: "Abbrechen",
};

/** @type {import("../chat-launcher.js").LauncherLabels} */
export const launcherLabels = {
  title: "Chat",
  open: "Chat öffnen",
  close: "Chat schließen",
  unread: "Neue Antwort",
};

/** @type {Page} */
export const page = {
  documents: {
    delete: (title) => `${title} löschen`,
    deleteQuestion: (title) => `„${isolated(title)}“ löschen? Antworten behalten die Stellen, die sie zitieren.`,
    facts: (bytes, created) => `${size(DE, bytes, "Byte")} · ${day(DE, created)}`,
    embedding: (percent) => `Zu ${number(DE, percent)}\u00a0% bereit, nach Bedeutung gefunden zu werden`,
  },
  models: {
    auto: (model) => (model ? `auto (${model})` : "auto"),
    reason: (reason) => `auto: ${reason}`,
    last: "hat in diesem Chat zuletzt geantwortet",
  },
  firstUse: [
    {
      label: "Eine lange Geschichte schreiben, dann diese Seite in einem zweiten Tab öffnen",
      message: "Schreib eine lange Geschichte über einen Leuchtturmwärter, der einen Brief aus der Zukunft findet.",
    },
    {
      label: "Etwas ausführlich erklären, dann mittendrin neu laden",
      message: "Erkläre ausführlich und Schritt für Schritt, was geschieht, wenn jemand eine Webseite öffnet.",
    },
    {
      label: "Bis tausend zählen, dann stoppen",
      message: "Zähle in Worten von eins bis tausend.",
    },
  ],
  noModel: {
    title: "Noch kein Modell installiert",
    type: "Geben Sie dies dort ein, wo Ollama läuft. Es lädt ein kleines Modell, was einige Minuten dauert:",
    copy: "Zeile kopieren",
    copied: "Kopiert",
    look: "Erneut nachsehen",
    looking: "Wird nachgesehen …",
    still: "Es ist noch keines da.",
  },
  ollama: {
    standIn: "Die Antworten kommen von einem eingebauten Ersatz, nicht von einem Sprachmodell.",
    demo:
      "chatproxy bewahrt Ihre Chats auf. Laden Sie die Seite neu oder öffnen Sie einen zweiten Tab, während eine Antwort geschrieben wird: Sie geht weiter. Selbst wenn der Server abbricht, bleibt erhalten, was schon geschrieben war.",
    unavailable:
      "Ollama ist nicht erreichbar: Unter OLLAMA_HOST antwortet nichts, oder ein Proxy dort erreicht es nicht; starten Sie es mit `ollama serve`, oder berichtigen Sie die Adresse.",
    timeout:
      "Ollama ist nicht erreichbar: Es antwortet nicht rechtzeitig; sehen Sie in sein Protokoll, und starten Sie es neu, wenn es hängt.",
    invalid:
      "Ollama ist nicht erreichbar: Unter OLLAMA_HOST antwortet etwas anderes, oder dem Zertifikat wird nicht vertraut; `chatproxy doctor` sagt, was zu tun ist.",
    failing:
      "Ollama antwortet mit einem Fehler; welcher es ist, steht im Protokoll des Servers, und was zu tun ist, sagt `chatproxy doctor`.",
  },
  refusedOrigin: (/** @type {string} */ origin) =>
    `Dieser Server erkennt ${origin} nicht als seine eigene Adresse und würde jede Nachricht ablehnen. Lassen Sie den vorgeschalteten Proxy den Host weitergeben (nginx: proxy_set_header Host $http_host;), oder starten Sie chatproxy mit CORS_ORIGINS=${origin}.`,
  shortcuts: {
    newChat: "Neuer Chat",
    search: "Chats durchsuchen",
    write: "Nachricht schreiben",
    stop: "Antwort stoppen",
    copyLast: "Letzte Antwort kopieren",
    help: "Diese Tastenkürzel",
    mod: "Strg",
    shift: "Umschalt",
    escape: "Esc",
  },
  theme: { auto: "Design: automatisch", light: "Design: hell", dark: "Design: dunkel" },
  token: {
    unreachable: "Der Server war für die Anmeldung nicht erreichbar; geben Sie das Token ein.",
    wrong: "Dieses Token gilt hier nicht oder nicht mehr; geben Sie ein anderes ein.",
  },
  list: {
    pin: (title) => `${title} anheften`,
    unpin: (title) => `${title} nicht mehr anheften`,
    tools: (title) => `Mehr zu ${title}`,
    running: "Wird beantwortet",
    new: "Neue Antwort",
    ended: (title) => `Neue Antwort in „${isolated(title)}“.`,
    menu: "Auswählen, exportieren und importieren",
    select: "Auswählen und löschen …",
    export: "Alle exportieren",
    import: "Importieren …",
  },
  dates: {
    pinned: "Angeheftet",
    today: "Heute",
    yesterday: "Gestern",
    week: "Letzte 7 Tage",
    month: "Letzte 30 Tage",
  },
  selection: {
    all: "Alle",
    delete: (count) => `${number(DE, count)} löschen`,
    cancel: "Abbrechen",
    question: (count) => `${conversations(count)} löschen?`,
    deleting: (count) => `${conversations(count)} ${plural(DE, count, { one: "wird", other: "werden" })} gelöscht …`,
    deleted: (count) => `${conversations(count)} gelöscht.`,
    failed: (count, title, reason) =>
      count === 1
        ? `„${isolated(title)}“ konnte nicht gelöscht werden: ${reason}`
        : `${conversations(count)} konnten nicht gelöscht werden. Der erste ist „${isolated(title)}“: ${reason}`,
  },
  transfer: {
    exporting: "Alle Chats werden exportiert …",
    exported: "Alle Chats sind exportiert.",
    importing: (name) => `${isolated(name)} wird importiert …`,
    imported: (count) =>
      `${conversations(count)} ${plural(DE, count, { one: "wurde", other: "wurden" })} importiert.`,
    known: (count) =>
      `${number(DE, count)} ${plural(DE, count, { one: "war", other: "waren" })} schon hier.`,
    refused: (count) =>
      `${number(DE, count)} ${plural(DE, count, { one: "wurde", other: "wurden" })} abgelehnt:`,
    refusal: (title, reason) => `„${isolated(title)}“: ${reason}`,
    nameless: (index) => `Nr. ${number(DE, index + 1)}`,
    more: (count) => `und ${number(DE, count)} weitere`,
    stopped: (reason) => `Der Rest der Datei wurde nicht gelesen: ${reason}`,
  },
};

/** @type {Readonly<Record<string, string>>} */
export const markup = {
  Conversations: "Chats",
  "Hide conversations": "Chats ausblenden",
  "Show conversations": "Chats einblenden",
  Search: "Suchen",
  "Search conversations": "Chats durchsuchen",
  "Show more": "Mehr anzeigen",
  "Keyboard shortcuts": "Tastenkürzel",
  "How programs use this server": "Wie Programme diesen Server nutzen",
  Model: "Modell",
  auto: "auto",
  "Settings of this conversation": "Einstellungen dieses Chats",
  Export: "Exportieren",
  Print: "Drucken",
  "Choose documents to ask about": "Dokumente auswählen, zu denen Sie fragen möchten",
  "Drop pictures or documents here": "Bilder oder Dokumente hier ablegen",
  Documents: "Dokumente",
  Close: "Schließen",
  "Answers will use the ticked documents and cite them.": "Antworten nutzen die angekreuzten Dokumente und zitieren sie.",
  "Choose a file": "Datei auswählen",
  "No documents yet.": "Noch keine Dokumente.",
  "System prompt": "System-Prompt",
  "How the model is to answer, such as: Be brief. Answer in French.":
    "Wie das Modell antworten soll, etwa: Fass dich kurz. Antworte auf Französisch.",
  Thinking: "Nachdenken",
  "As the model does by itself": "Dem Modell überlassen",
  On: "An",
  Off: "Aus",
  Little: "Wenig",
  Medium: "Mittel",
  Much: "Viel",
  Temperature: "Temperatur",
  "0 repeats itself, 1 and more invents more.": "0 wiederholt sich, ab 1 wird mehr erfunden.",
  Cancel: "Abbrechen",
  Save: "Speichern",
  Delete: "Löschen",
  "Enter the access token": "Zugriffstoken eingeben",
  "Access token": "Zugriffstoken",
  Continue: "Weiter",
  "Skip to the conversation": "Zur Unterhaltung springen",
  Deleting: "Wird gelöscht",
  "Log in": "Anmelden",
};
