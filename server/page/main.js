// The page: which chat is shown, what is being written, and what the keys do.

import { themeButton } from "./appearance.js";
import { Composer } from "./composer.js";
import { Conversation, newId, readExport, writeExport } from "./conversation.js";
import { copy, element, find, icon, iconButton, note, save, say } from "./dom.js";
import { listenForKeys, openKeys } from "./keys.js";
import { MessageView, copied } from "./message.js";
import { Painter } from "./painter.js";
import { Run } from "./run.js";
import { alive, models, setKey } from "./server.js";
import { Settings, isSet } from "./settings.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";

const ASK_MS = 2000; // between questions whether a server that was gone is back
const NEAR = 90; // pixels from the end that still count as reading along

const chats = new Map(); // by id: those that have messages
const runs = new Map(); // by id of their chat
const views = new Map(); // by id of their message, of the chat that is shown
const drafts = new Map(); // by id of their chat
let current = new Conversation();
let known = []; // models
let following = true; // the end of the chat is kept in sight
let pending = null; // what to do when a key was given

const store = await Store.open(changedElsewhere);
const settings = new Settings(() => (drawBar(), current.empty || keep(current)));
const composer = new Composer({ send, stop, editLast });
const sidebar = new Sidebar({
  open: (chat) => show(chat, true),
  rename: (chat, title) => {
    chat.title = title;
    chat.renamed = true;
    keep(chat);
    drawBar();
  },
  remove,
  exportMarkdown: (chat) => save(fileName(chat.title, "md"), "text/markdown", chat.markdown()),
  exportJson: (chat) => save(fileName(chat.title, "json"), "application/json", writeExport([chat])),
});

// ---- Keeping chats -----------------------------------------------------------------------------

const fileName = (title, end) =>
  `${(title || "chat").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 60) || "chat"}.${end}`;

async function keep(chat) {
  chats.set(chat.id, chat);
  drawSidebar();
  try {
    await store.put(chat);
  } catch (error) {
    note(`This browser could not keep the chat: ${error.message}`, "Export it", () =>
      save(fileName(chat.title, "json"), "application/json", writeExport([chat])));
  }
}

function remove(chat) {
  runs.get(chat.id)?.stop();
  chats.delete(chat.id);
  store.delete(chat.id);
  if (chat === current) begin();
  else drawSidebar();
  composer.box.focus();
  note(`“${chat.title || "Chat"}” was deleted.`, "Undo", () => (keep(chat), show(chat, true)));
}

async function changedElsewhere(id) {
  if (runs.has(id)) return;
  const chat = await store.get(id);
  if (chat) chats.set(id, chat);
  else chats.delete(id);
  if (current.id !== id) drawSidebar();
  else if (chat) show(chat);
}

async function importFile(file) {
  try {
    const read = readExport(await file.text());
    for (const chat of read) {
      if (chats.has(chat.id)) chat.id = newId();
      await keep(chat);
    }
    note(read.length === 1 ? "One chat was imported." : `${read.length} chats were imported.`);
  } catch (error) {
    note(`${file.name} was not imported: ${error.message}`);
  }
}

// ---- Showing -----------------------------------------------------------------------------------

function drawSidebar() {
  const ordered = [...chats.values()].sort((a, b) => b.changed - a.changed);
  sidebar.draw(ordered, current);
}

function drawBar() {
  const title = current.title || "New chat";
  find("title").textContent = title;
  document.title = current.title ? `${current.title} · Vatra` : "Vatra";
  find("settings-button").classList.toggle("set", isSet(current));
  const { used, size } = contextUsed();
  find("meter").hidden = !used;
  if (!used) return;
  const share = size ? Math.min(1, used / size) : 0;
  find("used").textContent = size
    ? `${used.toLocaleString()} / ${size.toLocaleString()}`
    : `${used.toLocaleString()} tokens`;
  find("fill").style.width = `${(share * 100).toFixed(1)}%`;
  find("meter").setAttribute("aria-valuenow", String(used));
  find("meter").setAttribute("aria-valuemax", String(size || used));
  find("meter").title = `${used.toLocaleString()} tokens of this chat${size ? `, of ${size.toLocaleString()} that fit` : ""}`;
  find("meter").classList.toggle("high", share > 0.85);
}

/** Tokens of the shown path, and how many fit; what is being written is counted by its pieces. */
function contextUsed() {
  const stats = current.path().findLast((message) => message.stats)?.stats;
  const pieces = runs.get(current.id)?.pieces ?? 0;
  const used = stats ? stats.prompt_tokens + stats.generated_tokens : 0;
  const done = runs.get(current.id)?.message.stats ? 0 : pieces;
  return { used: used + (used ? done : 0), size: chosenModel()?.n_ctx ?? 0 };
}

function chosenModel() {
  return known.find((model) => model.id === current.model) ?? known[0];
}

function drawModels() {
  const wanted = current.model;
  const options = known.map((model) => {
    const state = { unloaded: " · not loaded", loading: " · loading", failed: " · failed" }[model.state] ?? "";
    return element("option", { value: model.id }, `${model.id}${state}`);
  });
  if (wanted && !known.some((model) => model.id === wanted) && known.length) {
    options.push(element("option", { value: wanted, disabled: true }, `${wanted} · not here`));
  }
  if (!known.length) options.push(element("option", { value: "" }, "no model"));
  find("model").replaceChildren(...options);
  find("model").value = known.length ? wanted || known[0].id : "";
  find("model").disabled = !known.length;
}

/** Show a chat; `pushed` if the browser's way back should lead to what was shown before. */
function show(chat, pushed = false) {
  if (chat.id !== current.id) {
    drafts.set(current.id, composer.draft);
    composer.draft = drafts.get(chat.id) ?? {};
    views.clear();
    find("thread").replaceChildren();
    following = true;
  } else if (chat !== current) {
    views.clear();
    find("thread").replaceChildren();
  }
  current = chat;
  const place = chat.empty ? location.pathname : `#${chat.id}`;
  if (pushed && `${location.pathname}${location.hash}` !== place && location.hash !== place) {
    history.pushState(null, "", place);
  }
  closeDrawer();
  drawThread();
  drawSidebar();
  drawModels();
  if (pushed) takeFocus();
}

/** Put the focus where one writes, but not where a keyboard would pop up. */
function takeFocus() {
  if (matchMedia("(hover: hover)").matches) composer.box.focus();
}

function begin() {
  const chat = new Conversation({ model: current.model });
  show(chat, true);
  composer.box.focus();
}

function drawThread() {
  const path = current.path();
  const shown = new Set(path.map((message) => message.id));
  for (const [id, view] of views) {
    if (!shown.has(id)) {
      view.root.remove();
      views.delete(id);
    }
  }
  const run = runs.get(current.id);
  for (const message of path) {
    const running = run?.message === message ? run : null;
    let view = views.get(message.id);
    if (!view) {
      view = new MessageView(message, { retry, edit, step });
      views.set(message.id, view);
      find("thread").append(view.root);
      view.draw(running);
      if (message.role === "assistant") view.drawError();
    }
    view.drawActions(current.versions(message), !running);
  }
  find("hello").hidden = path.length > 0;
  composer.draw(Boolean(run));
  drawBar();
  follow();
}

function follow() {
  const pane = find("scroll");
  if (following) pane.scrollTop = pane.scrollHeight;
  find("latest").hidden = following || pane.scrollHeight <= pane.clientHeight + NEAR;
}

// ---- Talking -----------------------------------------------------------------------------------

function send(text, files) {
  const path = current.path();
  const said = current.add(path.at(-1) ?? null, "user", { content: text, files });
  answerTo(said);
}

/** Begin another text in a message's place. */
function edit(message, text) {
  runs.get(current.id)?.stop();
  const parent = current.messages.get(message.parent) ?? null;
  answerTo(current.add(parent, "user", { content: text, files: message.files }));
}

function editLast() {
  const last = current.path().findLast((message) => message.role === "user");
  if (last && !runs.has(current.id)) views.get(last.id)?.edit();
}

function retry(message) {
  const run = runs.get(current.id);
  if (run) {
    if (run.message === message && run.wait_s !== null) run.now();
    return;
  }
  const barren = message.error && !message.content && !message.reasoning;
  if (barren && !current.children(message.id).length) current.remove(message);
  answerTo(current.messages.get(message.parent));
}

function step(message, by) {
  const versions = current.versions(message);
  current.choose(versions[versions.indexOf(message) + by]);
  keep(current);
  following = false;
  drawThread();
  const now = views.get(versions[versions.indexOf(message) + by].id);
  const label = by < 0 ? "Previous" : "Next";
  const button = now.actions.querySelector(`[aria-label^="${label}"]:not(:disabled)`);
  (button ?? now.actions.querySelector("button:not(:disabled)"))?.focus();
}

function stop() {
  runs.get(current.id)?.stop();
}

async function answerTo(said) {
  const chat = current;
  const model = chosenModel();
  if (model && !chat.model) chat.model = model.id;
  const message = chat.add(said, "assistant", { model: chat.model });
  const painter = new Painter(() => drawRun(run), () => chats.has(chat.id) && store.put(chat).catch(() => {}));
  const run = new Run(chat, message, model, () => painter.wish());
  runs.set(chat.id, run);
  following = true;
  keep(chat);
  if (location.hash !== `#${chat.id}`) history.pushState(null, "", `#${chat.id}`);
  drawThread();
  if (document.activeElement === document.body) takeFocus(); // the button pressed is gone
  say("Answering");
  await run.write();
  if (runs.get(chat.id) === run) runs.delete(chat.id);
  painter.finish();
  drawRun(run, true);
  chat.changed = Date.now();
  if (chats.has(chat.id)) keep(chat);
  say(message.error ? "" : message.end === "stopped" ? "Stopped" : "The answer is complete");
  if (message.error?.kind === "gone") awaitServer();
  else if (message.error?.kind === "key") {
    askKey(() => current === chat && chat.messages.has(message.id) && retry(message));
  } else if (model && model.state && model.state !== "ready") loadModels();
}

/** Draw an answer that is being written, or just was, if it is in sight. */
function drawRun(run, over = false) {
  if (current !== run.chat) return;
  const view = views.get(run.message.id);
  view?.draw(over ? null : run);
  view?.drawError(run.wait_s);
  if (over) {
    drawThread();
    return;
  }
  view?.drawSpeed(run.speed ? `${run.speed.toFixed(1)} tokens/s` : "");
  drawBar();
  follow();
}

// ---- The server --------------------------------------------------------------------------------

async function loadModels() {
  try {
    known = await models();
    drawModels();
    drawBar();
    return true;
  } catch (error) {
    known = [];
    drawModels();
    if (error.kind === "key") askKey(loadModels);
    else if (error.kind === "gone") awaitServer();
    else note(error.message, "Try again", loadModels);
    return false;
  }
}

let asking = false;

/** Say that the server is gone until it is back. */
async function awaitServer() {
  if (asking) return;
  asking = true;
  document.body.classList.add("gone");
  while (!(await alive())) await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  document.body.classList.remove("gone");
  asking = false;
  if (await loadModels()) note("The server is back.");
}

function askKey(then) {
  pending = then;
  if (sessionStorage.getItem("vatra.key") !== null) {
    find("key-text").textContent = "That key was not accepted. It was printed where the server was started.";
  }
  if (!find("key").open) find("key").showModal();
}

// ---- The rest of the page ----------------------------------------------------------------------

const phone = matchMedia("(max-width: 760px)");

function toggleSidebar() {
  if (!phone.matches) {
    const hidden = document.body.classList.toggle("side-closed");
    if (!hidden) find("search").focus();
    return;
  }
  const open = document.body.classList.toggle("side-open");
  document.querySelector("main").inert = open;
  if (open) find("new").focus();
  else find("side-button").focus();
}

function closeDrawer() {
  if (document.body.classList.contains("side-open")) toggleSidebar();
}

function lastAnswer() {
  return current.path().findLast((message) => message.role === "assistant");
}

function neighbour(by) {
  const ordered = [...chats.values()].sort((a, b) => b.changed - a.changed);
  const next = ordered[ordered.indexOf(current) + by];
  if (next) show(next, true);
}

const openSettings = () => settings.open(current, chosenModel()?.recommended);

function search() {
  if (phone.matches ? !document.body.classList.contains("side-open") : document.body.classList.contains("side-closed")) toggleSidebar();
  find("search").focus();
}

listenForKeys({
  begin,
  search,
  newer: () => neighbour(-1),
  older: () => neighbour(1),
  sidebar: toggleSidebar,
  settings: openSettings,
  retry: () => lastAnswer() && retry(lastAnswer()),
  copy: () => lastAnswer() && copy(lastAnswer().content),
  write: () => composer.box.focus(),
  escape: (target) => {
    if (document.body.classList.contains("side-open")) closeDrawer();
    else if (runs.has(current.id)) stop();
    else if (target === find("search")) composer.box.focus();
  },
});

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button.copy");
  if (!button) return;
  copy(button.closest(".code").querySelector("code").textContent);
  copied(button);
});

find("bar").prepend(iconButton("menu", "List of chats", toggleSidebar, { id: "side-button" }));
find("bar").append(iconButton("sliders", "Settings of this chat", openSettings, { id: "settings-button" }));
find("new").prepend(icon("plus"));
find("new").addEventListener("click", begin);
find("search").before(icon("search"));
find("latest").prepend(icon("down"));
find("latest").addEventListener("click", () => ((following = true), follow()));
find("shade").addEventListener("click", closeDrawer);
find("keys").addEventListener("click", openKeys);
find("side-foot").append(
  themeButton(),
  iconButton("take", "Import chats", () => find("import").click()),
  iconButton("give", "Export all chats", () =>
    save("vatra-chats.json", "application/json", writeExport([...chats.values()]))),
  iconButton("keys", "Keys", openKeys),
);
for (const head of document.querySelectorAll(".dialog-head")) {
  head.append(iconButton("close", "Close", () => head.closest("dialog").close()));
}
for (const dialog of document.querySelectorAll("dialog")) {
  // A click beside it closes it, as Escape does.
  dialog.addEventListener("pointerdown", ({ clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    if (x < left || x > right || y < top || y > bottom) dialog.close();
  });
}
find("import").addEventListener("change", async (event) => {
  for (const file of event.target.files) await importFile(file);
  event.target.value = "";
});
find("model").addEventListener("change", (event) => {
  current.model = event.target.value;
  if (!current.empty) keep(current);
  drawBar();
});
find("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  setKey(find("key-box").value.trim());
  find("key-box").value = "";
  find("key").close();
  const then = pending;
  if (await loadModels()) then?.();
});
find("key-cancel").addEventListener("click", () => find("key").close());
find("scroll").addEventListener("scroll", () => {
  const pane = find("scroll");
  following = pane.scrollHeight - pane.scrollTop - pane.clientHeight < NEAR;
  find("latest").hidden = following;
}, { passive: true });
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  composer.box.focus();
});
addEventListener("popstate", () => show(chats.get(location.hash.slice(1)) ?? new Conversation()));
phone.addEventListener("change", () => {
  document.body.classList.remove("side-open");
  document.querySelector("main").inert = false;
});

function greet() {
  const hour = new Date().getHours();
  const time = hour < 5 || hour >= 18 ? "evening" : hour < 12 ? "morning" : "afternoon";
  find("greeting").textContent = `Good ${time}.`;
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  find("where").textContent = here
    ? "The model runs on this machine, and what you write stays on it."
    : `The model runs at ${location.hostname}; chats are kept in this browser.`;
}

greet();
for (const chat of await store.all()) chats.set(chat.id, chat);
show(chats.get(location.hash.slice(1)) ?? current);
const asked = new URLSearchParams(location.search).get("q");
if (asked !== null) {
  // Another page may have made this link: its text is put into the box, and never sent by itself.
  composer.draft = { text: asked };
  history.replaceState(null, "", location.pathname + location.hash);
}
if (!store.lasting) note("This browser keeps no data for this page: chats last until it is closed.");
composer.box.focus();
await loadModels();
document.body.classList.add("ready");
