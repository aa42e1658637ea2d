// The texts in Spanish. See en.js.

import { clock, day, duration, estimate, isolated, moment, number, plural, rate, size } from "./format.js";

/** @typedef {typeof import("./en.js").page} Page */

const ES = "es";

/** @param {number} count */
const conversations = (count) =>
  `${number(ES, count)} ${plural(ES, count, { one: "conversación", other: "conversaciones" })}`;

/** @param {string} title */
const quoted = (title) => `«${isolated(title)}»`;

/** @type {import("../chat-interface.js").Labels} */
export const labels = {
  placeholder: "Escriba un mensaje",
  empty: "¿En qué puedo ayudarle?",
  suggestions: "Sugerencias",
  log: "Conversación",
  you: "Usted:",
  assistant: "El asistente:",
  send: "Enviar",
  stop: "Detener",
  attach: "Adjuntar imágenes o documentos",
  drop: "Suelte aquí imágenes o documentos",
  removeImage: "Quitar imagen",
  image: "Imagen",
  imageFailed: "Volver a cargar la imagen",
  imagesTooLarge: "Estas imágenes superan juntas los 20 MB; adjunte menos o más pequeñas.",
  tooManyImages: "Un mensaje admite 32 imágenes como máximo; envíe las demás con el siguiente.",
  unreadablePicture: (name) =>
    `${name} no se puede mostrar aquí como imagen; guárdela antes como PNG o JPEG.`,
  cannotSee: (model) =>
    model === null
      ? "Ningún modelo instalado puede ver imágenes; instale uno que pueda."
      : `El modelo ${model} no puede ver imágenes; elija otro para preguntar por ellas.`,
  folders: "No se pueden adjuntar carpetas; elija los archivos que contienen.",
  uploading: (name) => `Subiendo ${name}`,
  reading: (name) => `Leyendo ${name}`,
  cancelUpload: (name) => `Cancelar ${name}`,
  tooManyDocuments: "Una conversación se basa en 16 documentos como máximo; quite uno antes de añadir otro.",
  documentWarning: (title) => `Aviso sobre ${title}`,
  removeDocument: (title) => `Quitar ${title}`,
  deletedDocument: "Documento eliminado",
  nothingToSend: "Escriba algo o adjunte una imagen.",
  sentWhenReady: "El mensaje se enviará en cuanto estén listos los adjuntos.",
  waitOrStop: "Espere la respuesta, o deténgala, antes del siguiente mensaje.",
  messageTooLong: "Este mensaje supera los 256 KiB; acórtelo o adjunte el texto como archivo.",
  disabled: "Ahora no se puede enviar nada aquí.",
  copy: "Copiar",
  copied: "Copiado",
  cannotCopy: "El navegador no permite copiar a esta página; seleccione el texto.",
  copyCode: "Copiar código",
  code: "Código",
  table: "Tabla",
  formula: "Fórmula",
  footnote: (label) => `Nota ${label}`,
  footnoteBack: "Volver al texto",
  retry: "Reintentar",
  regenerate: "Regenerar",
  edit: "Editar",
  editField: "Editar mensaje",
  resend: "Enviar de nuevo",
  cancel: "Cancelar",
  latest: "Ir al final",
  earlier: "Mostrar mensajes anteriores",
  notPrinted: "Aquí faltan los mensajes anteriores, porque no se mostraban al imprimir.",
  thinking: "Pensando",
  thought: (seconds) => `Pensó durante ${duration(ES, seconds)}`,
  facts: "Acerca de esta respuesta",
  chosen: (model, reason) => `${model}: ${reason}`,
  tokens: (read, written) =>
    `${read === null ? "" : `${number(ES, read)} tokens leídos, `}${number(ES, written)} tokens escritos`,
  took: (first, whole) =>
    `${first === null ? "" : `Primeras palabras a los ${duration(ES, first)}, `}completa a los ${duration(ES, whole)}`,
  written: (time) => clock(ES, time),
  moment: (time) => moment(ES, time),
  versions: "Versiones de esta respuesta",
  version: (position, total) => `Versión ${position} de ${total}`,
  previousVersion: "Versión anterior",
  nextVersion: "Versión siguiente",
  earlierVersion: "Una versión anterior. La conversación sigue a partir de la última.",
  deleteMessage: "Eliminar mensaje",
  confirmDelete: "¿Eliminar este mensaje definitivamente?",
  delete: "Eliminar",
  continue: "Continuar",
  continueMessage: "Continúa exactamente donde lo dejaste.",
  sources: "Fuentes",
  source: (position, title) => `Fuente ${position}: ${title}`,
  page: (page) => `p. ${page}`,
  cited: "Citado",
  uncited: "No citado",
  stopped: "Detenido.",
  interrupted: "Interrumpido: el servidor se detuvo antes de completar esta respuesta.",
  truncated: "Cortado en el límite de longitud.",
  starting: "Enviando",
  queued: (position, seconds) =>
    `En cola, puesto ${number(ES, position)}${seconds === undefined ? "" : `, unos ${estimate(ES, seconds)}`}`,
  loading: (seconds) => `Cargando el modelo, ${number(ES, seconds)} s`,
  waiting: (seconds) => `Leyendo el mensaje, ${number(ES, seconds)} s`,
  generating: (tokensPerSecond) => `${rate(ES, tokensPerSecond)} tokens/s`,
  writing: "Escribiendo",
  reconnecting: "Conexión perdida, reintentando…",
  answerStarted: "Ha empezado la respuesta.",
  answerDone: "La respuesta está completa.",
  answerEmpty: "El modelo no dio ninguna respuesta.",
  noEndpoint:
    'Este chat no tiene servidor; ponga en su atributo endpoint la dirección de chatproxy, por ejemplo endpoint="http://127.0.0.1:11435".',
  failed: "Algo ha fallado.",
  reload: "Recargar la página",
  errorDetails: "Detalles",
  errors: {
    malformed: "El servidor no entendió esta página; recárguela e inténtelo de nuevo.",
    invalid_cursor: "Lo último que se mostró está desactualizado; recargue la página.",
    unsupported_parameter: "El servidor no entendió esta página; recárguela e inténtelo de nuevo.",
    unauthorized: "Ya no tiene la sesión iniciada aquí; iníciela e inténtelo de nuevo.",
    managed_elsewhere: "Los modelos se gestionan donde se ejecuta Ollama.",
    not_found: "Esto ya no está aquí; puede que se haya eliminado en otro lugar.",
    method_not_allowed: "El servidor no entendió esta página; recárguela e inténtelo de nuevo.",
    session_busy: "Aún se está respondiendo al último mensaje; espere a que termine o deténgalo.",
    invalid: "El servidor no puede usar esto tal como está; cámbielo e inténtelo de nuevo.",
    "invalid file": "Este archivo no tiene texto, está dañado o no es lo que dice su nombre; guárdelo de nuevo y adjúntelo.",
    "invalid images": "Una de las imágenes no se puede leer; quítela o guárdela antes como PNG o JPEG.",
    "invalid model": "No se puede elegir este modelo; elija otro.",
    "invalid options": "Los ajustes de esta conversación no se pueden usar; corríjalos.",
    "invalid think": "Los ajustes de esta conversación no se pueden usar; corríjalos.",
    "invalid system": "Los ajustes de esta conversación no se pueden usar; corríjalos.",
    "invalid q": "Esta búsqueda es demasiado larga; busque menos palabras.",
    "invalid replaces": "Este mensaje se cambió en otro lugar; recargue la página para verlo como está ahora.",
    "invalid title": "Este título no se puede usar; escriba uno más corto.",
    idempotency_conflict: "Este mensaje ya se envió con otro texto; escríbalo de nuevo.",
    model_not_found: "El modelo elegido ya no está instalado; elija otro.",
    no_suitable_model: "El modelo no puede hacer lo que pide este mensaje, como ver imágenes; elija otro o prescinda de ello.",
    message_too_long: "El mensaje es más largo de lo que el modelo puede leer de una vez; acórtelo o elija un modelo que pueda leer más.",
    option_not_allowed: "Un ajuste de esta conversación no está permitido aquí; quítelo.",
    too_many_subscribers: "Esta respuesta está abierta en demasiadas pestañas; cierre algunas e inténtelo de nuevo.",
    internal: "Algo ha fallado en el servidor; inténtelo de nuevo.",
    upstream_unavailable: "No se puede acceder a Ollama, así que ningún modelo puede responder; inícielo e inténtelo de nuevo.",
    upstream_invalid: "Otra cosa responde en lugar de Ollama, o su certificado no es de confianza; revise OLLAMA_HOST.",
    shutting_down: "El servidor se está reiniciando; inténtelo de nuevo en un momento.",
    no_models: "No hay ningún modelo instalado; instale uno donde se ejecuta Ollama e inténtelo de nuevo.",
    storage_full: "El disco del servidor está lleno, así que no se puede guardar nada; libere espacio e inténtelo de nuevo.",
    login_expired: "Su sesión ha caducado; recargue la página para iniciarla de nuevo.",
    session_gone: "Esta conversación se eliminó en otro lugar. Su próximo mensaje empieza una nueva.",
    document_gone: "Se eliminó un documento en otro lugar. Inténtelo de nuevo para obtener una respuesta sin él.",
  },
};

/** @type {import("../chat-history.js").HistoryLabels} */
export const historyLabels = {
  list: "Conversaciones",
  newChat: "Nuevo chat",
  untitled: "Nuevo chat",
  title: "Título",
  none: "Aún no hay conversaciones.",
  noMatches: "Sin resultados.",
  more: "Mostrar más",
  rename: (title) => `Cambiar nombre de ${title}`,
  delete: (title) => `Eliminar ${title}`,
  deleteQuestion: (title) => `¿Eliminar ${quoted(title)}?`,
  deleteConfirm: "Eliminar",
  cancel: "Cancelar",
};

/** @type {import("../chat-launcher.js").LauncherLabels} */
export const launcherLabels = {
  title: "Chat",
  open: "Abrir el chat",
  close: "Cerrar el chat",
  unread: "Respuesta nueva",
};

/** @type {Page} */
export const page = {
  documents: {
    delete: (title) => `Eliminar ${title}`,
    deleteQuestion: (title) => `¿Eliminar ${quoted(title)}? Las respuestas conservan los pasajes que citan.`,
    facts: (bytes, created) => `${size(ES, bytes, "bytes")} · ${day(ES, created)}`,
    embedding: (percent) => `Preparado al ${number(ES, percent)}\u00a0% para encontrarse por su significado`,
  },
  models: {
    auto: (model) => (model ? `auto (${model})` : "auto"),
    reason: (reason) => `auto: ${reason}`,
    last: "respondió por última vez en esta conversación",
  },
  firstUse: [
    {
      label: "Escribir una historia larga y abrir esta página en otra pestaña",
      message: "Escribe una historia larga sobre un farero que encuentra una carta del futuro.",
    },
    {
      label: "Explicar algo con detalle y recargar la página a la mitad",
      message: "Explica con detalle y paso a paso qué ocurre cuando alguien abre una página web.",
    },
    {
      label: "Contar hasta mil y detenerlo",
      message: "Cuenta de uno a mil en palabras.",
    },
  ],
  noModel: {
    title: "Aún no hay ningún modelo instalado",
    type: "Escriba esto donde se ejecuta Ollama. Descarga un modelo pequeño, lo que tarda unos minutos:",
    copy: "Copiar la línea",
    copied: "Copiado",
    look: "Volver a comprobar",
    looking: "Comprobando…",
    still: "Todavía no hay ninguno.",
  },
  ollama: {
    standIn: "Las respuestas vienen de un sustituto integrado, no de un modelo de lenguaje.",
    demo:
      "chatproxy guarda sus conversaciones. Recargue la página o abra otra pestaña mientras se escribe una respuesta: sigue adelante. Aunque el servidor se interrumpa, lo ya escrito se conserva.",
    unavailable:
      "No se puede acceder a Ollama: nada responde en OLLAMA_HOST, o un proxy allí no lo alcanza; inícielo con `ollama serve` o corrija la dirección.",
    timeout:
      "No se puede acceder a Ollama: no responde a tiempo; consulte su registro y reinícielo si está bloqueado.",
    invalid:
      "No se puede acceder a Ollama: lo que responde en OLLAMA_HOST es otra cosa, o su certificado no es de confianza; `chatproxy doctor` dice qué hacer.",
    failing:
      "Ollama responde con un error; el registro del servidor dice cuál, y `chatproxy doctor` dice qué hacer.",
  },
  refusedOrigin: (/** @type {string} */ origin) =>
    `Este servidor no reconoce ${origin} como su propia dirección y rechazaría todos los mensajes. Haga que el proxy transmita el Host (nginx: proxy_set_header Host $http_host;), o inicie chatproxy con CORS_ORIGINS=${origin}.`,
  shortcuts: {
    newChat: "Nuevo chat",
    search: "Buscar en las conversaciones",
    write: "Escribir un mensaje",
    stop: "Detener la respuesta",
    copyLast: "Copiar la última respuesta",
    help: "Estos atajos",
    mod: "Ctrl",
    shift: "Mayús",
    escape: "Esc",
  },
  theme: { auto: "Tema: automático", light: "Tema: claro", dark: "Tema: oscuro" },
  token: {
    unreachable: "No se pudo acceder al servidor para iniciar sesión; introduzca el token.",
    wrong: "Este token no sirve aquí, o ya no; introduzca otro.",
  },
  list: {
    pin: (title) => `Fijar ${title}`,
    unpin: (title) => `Dejar de fijar ${title}`,
    tools: (title) => `Más opciones para ${title}`,
    running: "Respondiendo",
    new: "Respuesta nueva",
    ended: (title) => `Respuesta nueva en ${quoted(title)}.`,
    menu: "Seleccionar, exportar e importar",
    select: "Seleccionar y eliminar…",
    export: "Exportar todo",
    import: "Importar…",
  },
  dates: {
    pinned: "Fijadas",
    today: "Hoy",
    yesterday: "Ayer",
    week: "Últimos 7 días",
    month: "Últimos 30 días",
  },
  selection: {
    all: "Todas",
    delete: (count) => `Eliminar ${number(ES, count)}`,
    cancel: "Cancelar",
    question: (count) => `¿Eliminar ${conversations(count)}?`,
    deleting: (count) => `Eliminando ${conversations(count)}…`,
    deleted: (count) =>
      `${conversations(count)} ${plural(ES, count, { one: "eliminada", other: "eliminadas" })}.`,
    failed: (count, title, reason) =>
      count === 1
        ? `No se pudo eliminar ${quoted(title)}: ${reason}`
        : `No se pudieron eliminar ${conversations(count)}. La primera es ${quoted(title)}: ${reason}`,
  },
  transfer: {
    exporting: "Exportando todas las conversaciones…",
    exported: "Se han exportado todas las conversaciones.",
    importing: (name) => `Importando ${isolated(name)}…`,
    imported: (count) =>
      `${plural(ES, count, { one: "Se ha importado", other: "Se han importado" })} ${conversations(count)}.`,
    known: (count) => `${number(ES, count)} ya ${plural(ES, count, { one: "estaba", other: "estaban" })} aquí.`,
    refused: (count) => `${number(ES, count)} ${plural(ES, count, { one: "rechazada", other: "rechazadas" })}:`,
    refusal: (title, reason) => `${quoted(title)}: ${reason}`,
    nameless: (index) => `N.º ${number(ES, index + 1)}`,
    more: (count) => `y ${number(ES, count)} más`,
    stopped: (reason) => `No se leyó el resto del archivo: ${reason}`,
  },
};

/** @type {Readonly<Record<string, string>>} */
export const markup = {
  Conversations: "Conversaciones",
  "Hide conversations": "Ocultar conversaciones",
  "Show conversations": "Mostrar conversaciones",
  Search: "Buscar",
  "Search conversations": "Buscar en las conversaciones",
  "Show more": "Mostrar más",
  "Keyboard shortcuts": "Atajos de teclado",
  "How programs use this server": "Cómo usan los programas este servidor",
  Model: "Modelo",
  auto: "auto",
  "Settings of this conversation": "Ajustes de esta conversación",
  Export: "Exportar",
  Print: "Imprimir",
  "Choose documents to ask about": "Elegir documentos sobre los que preguntar",
  "Drop pictures or documents here": "Suelte aquí imágenes o documentos",
  Documents: "Documentos",
  Close: "Cerrar",
  "Answers will use the ticked documents and cite them.": "Las respuestas usarán los documentos marcados y los citarán.",
  "Choose a file": "Elegir un archivo",
  "No documents yet.": "Aún no hay documentos.",
  "System prompt": "Prompt del sistema",
  "How the model is to answer, such as: Be brief. Answer in French.":
    "Cómo debe responder el modelo, por ejemplo: Sé breve. Responde en francés.",
  Thinking: "Razonamiento",
  "As the model does by itself": "Según el modelo",
  On: "Activado",
  Off: "Desactivado",
  Little: "Bajo",
  Medium: "Medio",
  Much: "Alto",
  Temperature: "Temperatura",
  "0 repeats itself, 1 and more invents more.": "Con 0 se repite; con 1 o más inventa más.",
  Cancel: "Cancelar",
  Save: "Guardar",
  Delete: "Eliminar",
  "Enter the access token": "Introduzca el token de acceso",
  "Access token": "Token de acceso",
  Continue: "Continuar",
  "Skip to the conversation": "Ir a la conversación",
  Deleting: "Eliminando",
  "Log in": "Iniciar sesión",
};
