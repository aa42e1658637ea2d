// The texts in French. See en.js. Before `: ; ? ! »` and after `«` stand spaces where no line breaks.

import { clock, day, duration, estimate, isolated, moment, number, plural, rate, size } from "./format.js";

/** @typedef {typeof import("./en.js").page} Page */

const FR = "fr";

/** @param {number} count @param {string} [participle] masculine */
const conversations = (count, participle = "") =>
  `${number(FR, count)} ${plural(FR, count, { one: "conversation", other: "conversations" })}${participle && ` ${participle}${plural(FR, count, { one: "e", other: "es" })}`}`;

/** @param {string} title */
const quoted = (title) => `«\u00a0${isolated(title)}\u00a0»`;

/** @type {import("../chat-interface.js").Labels} */
export const labels = {
  placeholder: "Écrire un message",
  empty: "Comment puis-je vous aider\u202f?",
  suggestions: "Suggestions",
  log: "Conversation",
  you: "Vous\u00a0:",
  assistant: "L’assistant\u00a0:",
  send: "Envoyer",
  stop: "Arrêter",
  attach: "Joindre des images ou des documents",
  drop: "Déposez des images ou des documents ici",
  removeImage: "Retirer l’image",
  image: "Image",
  imageFailed: "Recharger l’image",
  imagesTooLarge: "Ces images dépassent 20\u00a0Mo au total\u202f; joignez-en moins ou de plus petites.",
  tooManyImages: "Un message contient 32\u00a0images au plus\u202f; envoyez les autres avec le suivant.",
  unreadablePicture: (name) =>
    `${name} ne peut pas être affiché ici\u202f; enregistrez d’abord l’image en PNG ou en JPEG.`,
  cannotSee: (model) =>
    model === null
      ? "Aucun modèle installé ne voit les images\u202f; installez-en un qui en est capable."
      : `Le modèle ${model} ne voit pas les images\u202f; choisissez-en un autre pour en parler.`,
  folders: "Les dossiers ne peuvent pas être joints\u202f; choisissez les fichiers qu’ils contiennent.",
  uploading: (name) => `Envoi de ${name}`,
  reading: (name) => `Lecture de ${name}`,
  cancelUpload: (name) => `Annuler ${name}`,
  tooManyDocuments: "Une conversation s’appuie sur 16\u00a0documents au plus\u202f; retirez-en un avant d’en ajouter un autre.",
  documentWarning: (title) => `À savoir sur ${title}`,
  removeDocument: (title) => `Retirer ${title}`,
  deletedDocument: "Document supprimé",
  nothingToSend: "Écrivez quelque chose, ou joignez une image.",
  sentWhenReady: "Le message partira dès que les pièces jointes seront prêtes.",
  waitOrStop: "Attendez la réponse, ou arrêtez-la, avant d’envoyer le message suivant.",
  messageTooLong: "Ce message dépasse 256\u00a0Kio\u202f; raccourcissez-le, ou joignez le texte sous forme de fichier.",
  disabled: "Rien ne peut être envoyé ici pour le moment.",
  copy: "Copier",
  copied: "Copié",
  cannotCopy: "Le navigateur n’autorise pas cette page à copier\u202f; sélectionnez plutôt le texte.",
  copyCode: "Copier le code",
  code: "Code",
  table: "Tableau",
  formula: "Formule",
  footnote: (label) => `Note ${label}`,
  footnoteBack: "Retour au texte",
  retry: "Réessayer",
  regenerate: "Régénérer",
  edit: "Modifier",
  editField: "Modifier le message",
  resend: "Renvoyer",
  cancel: "Annuler",
  latest: "Aller à la fin",
  earlier: "Afficher les messages précédents",
  notPrinted: "Les messages précédents manquent ici, car ils n’étaient pas affichés lors de l’impression.",
  thinking: "Réflexion",
  thought: (seconds) => `Réflexion de ${duration(FR, seconds)}`,
  facts: "À propos de cette réponse",
  chosen: (model, reason) => `${model}\u00a0: ${reason}`,
  tokens: (read, written) =>
    `${read === null ? "" : `${number(FR, read)} jetons lus, `}${number(FR, written)} jetons écrits`,
  took: (first, whole) =>
    `${first === null ? "" : `Premiers mots après ${duration(FR, first)}, `}terminé après ${duration(FR, whole)}`,
  written: (time) => clock(FR, time),
  moment: (time) => moment(FR, time),
  versions: "Versions de cette réponse",
  version: (position, total) => `Version ${position} sur ${total}`,
  previousVersion: "Version précédente",
  nextVersion: "Version suivante",
  earlierVersion: "Une version antérieure. La conversation continue après la dernière.",
  deleteMessage: "Supprimer le message",
  confirmDelete: "Supprimer définitivement ce message\u202f?",
  delete: "Supprimer",
  continue: "Continuer",
  continueMessage: "Continue exactement là où tu t’es arrêté.",
  sources: "Sources",
  source: (position, title) => `Source ${position}\u00a0: ${title}`,
  page: (page) => `p.\u00a0${page}`,
  cited: "Cité",
  uncited: "Non cité",
  stopped: "Arrêté.",
  interrupted: "Interrompu\u00a0: le serveur s’est arrêté avant la fin de cette réponse.",
  truncated: "Coupé à la limite de longueur.",
  starting: "Envoi",
  queued: (position, seconds) =>
    `En file d’attente, ${number(FR, position)}${plural(FR, position, { one: "er", other: "e" }, "ordinal")}${seconds === undefined ? "" : `, environ ${estimate(FR, seconds)}`}`,
  loading: (seconds) => `Chargement du modèle, ${number(FR, seconds)} s`,
  waiting: (seconds) => `Lecture du message, ${number(FR, seconds)} s`,
  generating: (tokensPerSecond) => `${rate(FR, tokensPerSecond)} jetons/s`,
  writing: "Rédaction",
  reconnecting: "Connexion perdue, nouvelle tentative…",
  answerStarted: "La réponse commence.",
  answerDone: "La réponse est terminée.",
  answerEmpty: "Le modèle n’a donné aucune réponse.",
  noEndpoint:
    'Ce chat n’a pas de serveur\u202f; donnez à son attribut endpoint l’adresse de chatproxy, par exemple endpoint="http://127.0.0.1:11435".',
  failed: "Une erreur s’est produite.",
  reload: "Recharger la page",
  errorDetails: "Détails",
  errors: {
    malformed: "Le serveur n’a pas compris cette page\u202f; rechargez-la, puis réessayez.",
    invalid_cursor: "Le dernier affichage n’est plus à jour\u202f; rechargez la page.",
    unsupported_parameter: "Le serveur n’a pas compris cette page\u202f; rechargez-la, puis réessayez.",
    unauthorized: "Vous n’êtes plus connecté ici\u202f; reconnectez-vous, puis réessayez.",
    managed_elsewhere: "Les modèles se gèrent là où Ollama fonctionne.",
    not_found: "Cet élément n’est plus ici\u202f; il a peut-être été supprimé ailleurs.",
    method_not_allowed: "Le serveur n’a pas compris cette page\u202f; rechargez-la, puis réessayez.",
    session_busy: "Le dernier message est encore en cours de réponse\u202f; attendez la fin, ou arrêtez-la.",
    invalid: "Le serveur ne peut pas utiliser ceci tel quel\u202f; modifiez-le, puis réessayez.",
    "invalid file": "Ce fichier n’a pas de texte, est endommagé, ou n’est pas ce que dit son nom\u202f; enregistrez-le à nouveau, puis joignez-le.",
    "invalid images": "Une des images est illisible\u202f; retirez-la, ou enregistrez-la d’abord en PNG ou en JPEG.",
    "invalid model": "Ce modèle ne peut pas être choisi\u202f; choisissez-en un autre.",
    "invalid options": "Les réglages de cette conversation sont inutilisables\u202f; corrigez-les.",
    "invalid think": "Les réglages de cette conversation sont inutilisables\u202f; corrigez-les.",
    "invalid system": "Les réglages de cette conversation sont inutilisables\u202f; corrigez-les.",
    "invalid q": "Cette recherche est trop longue\u202f; cherchez moins de mots.",
    "invalid replaces": "Ce message a été modifié ailleurs\u202f; rechargez la page pour voir son état actuel.",
    "invalid title": "Ce titre est inutilisable\u202f; écrivez-en un plus court.",
    idempotency_conflict: "Ce message a déjà été envoyé avec un autre texte\u202f; écrivez-le à nouveau.",
    model_not_found: "Le modèle choisi n’est plus installé\u202f; choisissez-en un autre.",
    no_suitable_model: "Le modèle ne sait pas faire ce que demande ce message, par exemple voir des images\u202f; choisissez-en un autre, ou renoncez-y.",
    message_too_long: "Le message est plus long que ce que le modèle peut lire d’un coup\u202f; raccourcissez-le, ou choisissez un modèle qui lit davantage.",
    option_not_allowed: "Un réglage de cette conversation n’est pas permis ici\u202f; retirez-le.",
    too_many_subscribers: "Cette réponse est ouverte dans trop d’onglets\u202f; fermez-en quelques-uns, puis réessayez.",
    internal: "Une erreur s’est produite sur le serveur\u202f; réessayez.",
    upstream_unavailable: "Ollama est injoignable, donc aucun modèle ne peut répondre\u202f; démarrez-le, puis réessayez.",
    upstream_invalid: "Autre chose répond à la place d’Ollama, ou son certificat n’est pas fiable\u202f; vérifiez OLLAMA_HOST.",
    shutting_down: "Le serveur redémarre\u202f; réessayez dans un instant.",
    no_models: "Aucun modèle n’est installé\u202f; installez-en un là où Ollama fonctionne, puis réessayez.",
    storage_full: "Le disque du serveur est plein, donc rien ne peut être conservé\u202f; libérez de l’espace, puis réessayez.",
    login_expired: "Votre session a expiré\u202f; rechargez la page pour vous reconnecter.",
    session_gone: "Cette conversation a été supprimée ailleurs. Votre prochain message en commence une nouvelle.",
    document_gone: "Un document a été supprimé ailleurs. Réessayez pour obtenir une réponse sans lui.",
  },
};

/** @type {import("../chat-history.js").HistoryLabels} */
export const historyLabels = {
  list: "Conversations",
  newChat: "Nouveau chat",
  untitled: "Nouveau chat",
  title: "Titre",
  none: "Aucune conversation.",
  noMatches: "Aucun résultat.",
  more: "Afficher plus",
  rename: (title) => `Renommer ${title}`,
  delete: (title) => `Supprimer ${title}`,
  deleteQuestion: (title) => `Supprimer ${quoted(title)}\u202f?`,
  deleteConfirm: "Supprimer",
  cancel: "Annuler",
};

/** @type {import("../chat-launcher.js").LauncherLabels} */
export const launcherLabels = {
  title: "Chat",
  open: "Ouvrir le chat",
  close: "Fermer le chat",
  unread: "Nouvelle réponse",
};

/** @type {Page} */
export const page = {
  documents: {
    delete: (title) => `Supprimer ${title}`,
    deleteQuestion: (title) =>
      `Supprimer ${quoted(title)}\u202f? Les réponses gardent les passages qu’elles citent.`,
    facts: (bytes, created) =>
      `${size(FR, bytes, "octets").replace("kB", "ko").replace("MB", "Mo")} · ${day(FR, created)}`,
    embedding: (percent) => `Prêt à ${number(FR, percent)}\u00a0% à être trouvé par le sens`,
  },
  models: {
    auto: (model) => (model ? `auto (${model})` : "auto"),
    reason: (reason) => `auto\u00a0: ${reason}`,
    last: "a répondu en dernier dans cette conversation",
  },
  firstUse: [
    {
      label: "Écrire une longue histoire, puis ouvrir cette page dans un second onglet",
      message: "Écris une longue histoire sur un gardien de phare qui trouve une lettre venue du futur.",
    },
    {
      label: "Expliquer quelque chose en détail, puis recharger la page au milieu",
      message: "Explique en détail et pas à pas ce qui se passe quand quelqu’un ouvre une page web.",
    },
    {
      label: "Compter jusqu’à mille, puis arrêter",
      message: "Compte de un à mille en toutes lettres.",
    },
  ],
  noModel: {
    title: "Aucun modèle installé pour l’instant",
    type: "Saisissez ceci là où Ollama fonctionne. Un petit modèle sera téléchargé, ce qui prend quelques minutes\u00a0:",
    copy: "Copier la ligne",
    copied: "Copié",
    look: "Vérifier à nouveau",
    looking: "Vérification…",
    still: "Il n’y en a toujours pas.",
  },
  ollama: {
    standIn: "Les réponses viennent d’un simulateur intégré, pas d’un modèle de langage.",
    demo:
      "chatproxy conserve vos conversations. Rechargez la page ou ouvrez un second onglet pendant qu’une réponse s’écrit\u00a0: elle continue. Même si le serveur est interrompu, ce qui a été écrit reste.",
    unavailable:
      "Ollama est injoignable\u00a0: rien ne répond à OLLAMA_HOST, ou un proxy qui s’y trouve ne l’atteint pas\u202f; démarrez-le avec `ollama serve`, ou corrigez l’adresse.",
    timeout:
      "Ollama est injoignable\u00a0: il ne répond pas à temps\u202f; consultez son journal, et redémarrez-le s’il est bloqué.",
    invalid:
      "Ollama est injoignable\u00a0: autre chose répond à OLLAMA_HOST, ou son certificat n’est pas fiable\u202f; `chatproxy doctor` dit quoi faire.",
    failing:
      "Ollama répond par une erreur\u202f; le journal du serveur dit laquelle, et `chatproxy doctor` dit quoi faire.",
  },
  refusedOrigin: (/** @type {string} */ origin) =>
    `Ce serveur ne reconnaît pas ${origin} comme sa propre adresse, et refuserait tous les messages. Faites transmettre le Host par le proxy (nginx\u00a0: proxy_set_header Host $http_host;), ou démarrez chatproxy avec CORS_ORIGINS=${origin}.`,
  shortcuts: {
    newChat: "Nouveau chat",
    search: "Rechercher dans les conversations",
    write: "Écrire un message",
    stop: "Arrêter la réponse",
    copyLast: "Copier la dernière réponse",
    help: "Ces raccourcis",
    mod: "Ctrl",
    shift: "Maj",
    escape: "Échap",
  },
  theme: { auto: "Thème\u00a0: auto", light: "Thème\u00a0: clair", dark: "Thème\u00a0: sombre" },
  token: {
    unreachable: "Le serveur n’a pas pu être joint pour la connexion\u202f; saisissez le jeton.",
    wrong: "Ce jeton n’est pas valable ici, ou ne l’est plus\u202f; saisissez-en un autre.",
  },
  list: {
    pin: (title) => `Épingler ${title}`,
    unpin: (title) => `Désépingler ${title}`,
    tools: (title) => `Plus d’actions pour ${title}`,
    running: "Réponse en cours",
    new: "Nouvelle réponse",
    ended: (title) => `Nouvelle réponse dans ${quoted(title)}.`,
    menu: "Sélectionner, exporter et importer",
    select: "Sélectionner et supprimer…",
    export: "Tout exporter",
    import: "Importer…",
  },
  dates: {
    pinned: "Épinglées",
    today: "Aujourd’hui",
    yesterday: "Hier",
    week: "7 derniers jours",
    month: "30 derniers jours",
  },
  selection: {
    all: "Toutes",
    delete: (count) => `Supprimer (${number(FR, count)})`,
    cancel: "Annuler",
    question: (count) => `Supprimer ${conversations(count)}\u202f?`,
    deleting: (count) => `Suppression de ${conversations(count)}…`,
    deleted: (count) => `${conversations(count, "supprimé")}.`,
    failed: (count, title, reason) =>
      count === 1
        ? `${quoted(title)} n’a pas pu être supprimée\u00a0: ${reason}`
        : `${conversations(count)} n’ont pas pu être supprimées. La première est ${quoted(title)}\u00a0: ${reason}`,
  },
  transfer: {
    exporting: "Exportation de toutes les conversations…",
    exported: "Toutes les conversations sont exportées.",
    importing: (name) => `Importation de ${isolated(name)}…`,
    imported: (count) => `${conversations(count, "importé")}.`,
    known: (count) => `${number(FR, count)} déjà ${plural(FR, count, { one: "présente", other: "présentes" })}.`,
    refused: (count) => `${number(FR, count)} ${plural(FR, count, { one: "refusée", other: "refusées" })}\u00a0:`,
    refusal: (title, reason) => `${quoted(title)}\u00a0: ${reason}`,
    nameless: (index) => `Nº\u00a0${number(FR, index + 1)}`,
    more: (count) => `et ${number(FR, count)} de plus`,
    stopped: (reason) => `Le reste du fichier n’a pas été lu\u00a0: ${reason}`,
  },
};

/** @type {Readonly<Record<string, string>>} */
export const markup = {
  Conversations: "Conversations",
  "Hide conversations": "Masquer les conversations",
  "Show conversations": "Afficher les conversations",
  Search: "Rechercher",
  "Search conversations": "Rechercher dans les conversations",
  "Show more": "Afficher plus",
  "Keyboard shortcuts": "Raccourcis clavier",
  "How programs use this server": "Comment les programmes utilisent ce serveur",
  Model: "Modèle",
  auto: "auto",
  "Settings of this conversation": "Réglages de cette conversation",
  Export: "Exporter",
  Print: "Imprimer",
  "Choose documents to ask about": "Choisir des documents à interroger",
  "Drop pictures or documents here": "Déposez des images ou des documents ici",
  Documents: "Documents",
  Close: "Fermer",
  "Answers will use the ticked documents and cite them.": "Les réponses utiliseront les documents cochés et les citeront.",
  "Choose a file": "Choisir un fichier",
  "No documents yet.": "Aucun document.",
  "System prompt": "Prompt système",
  "How the model is to answer, such as: Be brief. Answer in French.":
    "Comment le modèle doit répondre, par exemple\u00a0: Sois bref. Réponds en anglais.",
  Thinking: "Réflexion",
  "As the model does by itself": "Au choix du modèle",
  On: "Activée",
  Off: "Désactivée",
  Little: "Faible",
  Medium: "Moyenne",
  Much: "Élevée",
  Temperature: "Température",
  "0 repeats itself, 1 and more invents more.": "À 0, le modèle se répète\u202f; à partir de 1, il invente davantage.",
  Cancel: "Annuler",
  Save: "Enregistrer",
  Delete: "Supprimer",
  "Enter the access token": "Saisissez le jeton d’accès",
  "Access token": "Jeton d’accès",
  Continue: "Continuer",
  "Skip to the conversation": "Aller à la conversation",
  Deleting: "Suppression",
  "Log in": "Se connecter",
};
