// The page at `/`: which session is open, and what is around the element.

import "../chat-interface.js";
import { createChatClient } from "../chat-client.js";
import { asked, confirmed } from "./dialogs.js";
import { DocumentList } from "./document-list.js";
import { h, icon } from "../dom/dom.js";
import { takeDroppedFiles } from "./file-drop.js";
import { ModelPicker } from "./model-picker.js";
import { OllamaBanner } from "./ollama-banner.js";
import { SessionDocument } from "./attached-document.js";
import { SessionList, titleOf } from "./session-list.js";
import { themed } from "./theme.js";
import { authorization, keepToken, takeTokenFromAddress } from "./token.js";

const NARROW = matchMedia("(max-width: 48rem)");
const TOUCH = matchMedia("(hover: none)"); // where the focus brings a keyboard that covers what is to be read

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

takeTokenFromAddress();

const chat = /** @type {any} */ (document.querySelector("chat-interface"));
const baseUrl = new URL("../..", import.meta.url).href;
const client = createChatClient({ baseUrl, headers: authorization });
chat.client = client;

/** @type {any} */
let session = null; // the open one; null: the next message makes it

// -- sessions

const list = new SessionList(
  { list: $("sessions"), none: $("none"), more: $("more") },
  { client: () => client, onopen: (chosen) => go(chosen.id), onrename: renamed, ondelete: remove, onmended: noProblem, onproblem: problem },
);

/** @param {string | null} id */
function go(id) {
  history.pushState(null, "", id ? `?session=${id}` : location.pathname);
  if (NARROW.matches) showSidebar(false);
  if (!id) chat.focus();
  return open(id);
}

/** @param {string | null} id */
async function open(id) {
  noProblem();
  shown(id ? (list.sessions.find((one) => one.id === id) ?? { id }) : null);
  attached.leave();
  if (id) chat.setAttribute("session-id", id);
  else chat.clear();
  if (!TOUCH.matches) chat.focus();
  if (id) await reread();
}

/** What goes wrong here goes wrong in the element too, which tells it. */
async function reread() {
  const { id } = session;
  const fresh = await client.sessions.get(id).catch(() => null);
  if (fresh && session?.id === id) shown(fresh);
}

/** @param {any} one */
function shown(one) {
  session = one;
  $("title").textContent = one && !("title" in one) ? "" : titleOf(one); // nothing, until it is known
  document.title = one?.title ? `${one.title} · chatproxy` : "chatproxy";
  $("export").hidden = !one;
  list.mark(one?.id ?? null);
  if (!one || "model" in one) pick(one?.model ?? null);
}

/** @param {any} changed */
function renamed(changed) {
  if (changed.id === session?.id) shown(changed);
}

/** @param {any} gone */
async function remove(gone) {
  if (!(await confirmed($("confirm"), titleOf(gone)))) return;
  try {
    await client.sessions.delete(gone.id);
  } catch (error) {
    return problem(error);
  }
  if (gone.id === session?.id) go(null);
}

chat.addEventListener("chat-session", (/** @type {any} */ { detail }) => {
  history.replaceState(null, "", `?session=${detail.session.id}`);
  shown({ ...detail.session, model: picker.select.value });
  keepModel(picker.select.value);
});
for (const type of ["chat-start", "chat-done"]) {
  chat.addEventListener(type, () => {
    list.refresh();
    if (session) reread();
  });
}
addEventListener("popstate", () => open(fromAddress()));
addEventListener("focus", () => (list.refresh(), banner.lookAgain()));

function fromAddress() {
  return new URLSearchParams(location.search).get("session");
}

// -- documents

const attached = new SessionDocument(
  chat,
  {
    open: $("documents-open"), name: $("document-name"), off: $("document-off"), upload: $("upload"), says: $("upload-says"),
    progress: $("upload-progress"), cancel: $("upload-cancel"), problem: $("document-problem"),
  },
  { client, onproblem: problem },
);

const documents = new DocumentList(
  {
    dialog: $("documents"), list: $("documents-list"), none: $("documents-none"), more: $("documents-more"),
    file: $("documents-input"), choose: $("documents-file"), close: $("documents-close"), problem: $("documents-problem"),
  },
  { client, current: () => attached.id, onfiles: take, onchoose, ondelete, onproblem: problem },
);

takeDroppedFiles($("drop"), (files) => (documents.close(), take(files)));
$("documents-open").addEventListener("click", () => documents.open());

/** @param {File[]} files */
function take(files) {
  attached.upload(files);
  chat.focus();
}

/** @param {import("../types.js").DocumentInfo} document */
function onchoose(document) {
  attached.choose(document);
  chat.focus();
}

/** @param {import("../types.js").DocumentInfo} document */
async function ondelete(document) {
  if (!(await confirmed($("confirm"), document.title, " Answers keep the passages that they name."))) return;
  await client.documents.delete(document.id);
  if (document.id === attached.id) attached.choose(null);
}

// -- models

const picker = new ModelPicker($("model"), (model) => {
  pick(model);
  keepModel(model);
});

/** @param {string | null} model */
function pick(model) {
  picker.show(model);
  chat.setAttribute("model", picker.select.value);
}

/** @param {string} model */
async function keepModel(model) {
  if (!session) return;
  const { id } = session;
  try {
    const changed = await client.sessions.update(id, { model });
    if (session?.id === id) session = changed;
  } catch (error) {
    problem(error);
  }
}

// -- export

$("export").addEventListener("click", async (/** @type {any} */ { target }) => {
  const { format } = target.closest("button")?.dataset ?? {};
  if (!format) return;
  $("export").open = false;
  try {
    const blob = await client.sessions.export(session.id, format);
    save(blob, `${titleOf(session)}.${format === "json" ? "json" : "md"}`);
  } catch (error) {
    problem(error);
  }
});
addEventListener("click", ({ target }) => {
  if (!$("export").contains(target)) $("export").open = false;
});

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// -- problems, and the token

/** That the server cannot be reached is told once: by the element, where it finds the same. @param {any} error */
function problem(error) {
  if (error.code === "unauthorized") return signIn();
  const lost = error.code === "connection_lost";
  if (lost && chat.busy) return;
  $("problem").textContent = error.message ?? error.error;
  $("problem").hidden = false;
  if (lost && session) chat.refresh();
}

function noProblem() {
  $("problem").hidden = true;
}

/** @type {Promise<void> | null} */
let signingIn = null;

function signIn() {
  signingIn ??= (async () => {
    const field = $("token");
    field.value = "";
    if ((await asked($("sign-in"))) === "enter" && field.value) {
      keepToken(field.value.trim());
      start();
    }
    signingIn = null;
  })();
}

const banner = new OllamaBanner($("ollama"), baseUrl);
chat.addEventListener("chat-error", (/** @type {any} */ { detail }) => {
  if (detail.code === "connection_lost") noProblem();
  if (detail.code === "unauthorized") signIn();
  else banner.look();
});
chat.addEventListener("chat-send", noProblem);
chat.addEventListener("chat-done", () => banner.lookAgain());

// -- how it looks

/** @param {boolean} visible */
function showSidebar(visible) {
  document.body.classList.toggle("wide", !visible);
  const over = visible && NARROW.matches; // it lies over the rest, which then waits
  $("veil").hidden = !over;
  $("main").inert = over;
  $("menu").setAttribute("aria-expanded", String(visible));
}

$("new").append(icon("plus"), "New chat");
$("menu").append(icon("menu"));
$("hide").append(icon("menu"));
$("documents-open").prepend(icon("document"));
for (const id of ["documents-close", "document-off"]) $(id).append(icon("close"));
document.querySelector("#export summary")?.append(icon("export"));
$("new").addEventListener("click", () => go(null));
$("menu").addEventListener("click", () => (showSidebar(true), $("hide").focus()));
$("hide").addEventListener("click", () => (showSidebar(false), $("menu").focus()));
$("veil").addEventListener("click", () => showSidebar(false));
$("search").addEventListener("input", () => list.search($("search").value));
addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  if ($("main").inert) $("hide").click();
  if ($("export").open) ($("export").open = false), $("export").firstElementChild.focus();
});
NARROW.addEventListener("change", () => showSidebar(!NARROW.matches));

function start() {
  banner.look();
  picker.refresh(client);
  list.refresh();
  open(fromAddress());
}

themed($("theme"), chat);
showSidebar(!NARROW.matches);
start();
