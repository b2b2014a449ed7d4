// @ts-check
// The side panel: the live room, to read and to write in as the person.

import { ask, attempt, el, make } from "./ui.js";

/** @typedef {import("./ui.js").View} View */

const SHOWN = 300;
const SHOWN_CHARS = 600; // of an answer that is being written: its end
const SILENT_MS = 60_000;
let room = "";
/** Number of the newest message shown, so that history and stream overlap without a double. */
let reached = 0;

/** @param {any} message */
function line(message) {
  const to = message.to.length ? ` → ${message.to.join(", ")}` : "";
  const item = make("li", { className: message.kind },
    make("div", { className: "head" }, make("b", {}, message.from), make("span", { className: "soft" }, to), make("small", {}, message.at.slice(11, 16))),
    make("div", { className: "text" }, message.tombstone ? `(${message.tombstone})` : message.text));
  item.dataset.message = message.id;
  return item;
}

/** What a message says from now on, where it is shown. @param {string} id @param {string} text */
function rewrite(id, text) {
  const shown = el("messages").querySelector(`[data-message="${CSS.escape(id)}"] .text`);
  if (shown) shown.textContent = text;
}

/** Answers that are being written, by question and agent. @type {Map<string, {item: HTMLElement, over: number}>} */
const writing = new Map();

/** @param {any} signal */
function progress({ job, agent, pending, offset, text }) {
  const key = `${job} ${agent}`;
  const known = writing.get(key);
  const item = known?.item ?? make("li");
  const end = text.slice(-SHOWN_CHARS);
  item.replaceChildren(make("b", {}, agent), ` ${pending || "is writing"}`,
    ...(end ? [make("div", { className: "text" }, (offset || end.length < text.length ? "…" : "") + end)] : []));
  if (!known) el("writing").append(item);
  clearTimeout(known?.over);
  writing.set(key, { item, over: setTimeout(() => written(key), SILENT_MS) });
}

/** The answer is there, or nothing more is heard of it. @param {string} key */
function written(key) {
  const known = writing.get(key);
  clearTimeout(known?.over);
  known?.item.remove();
  writing.delete(key);
}

/** @param {any[]} messages */
function add(messages) {
  const fresh = messages.filter((message) => message.seq > reached);
  if (!fresh.length) return;
  const list = el("messages");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
  list.append(...fresh.map(line));
  reached = fresh.at(-1).seq;
  for (const message of fresh) written(`${message.reply_to} ${message.from}`);
  while (list.childElementCount > SHOWN) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** @param {string} name */
async function enter(name) {
  room = name;
  await chrome.storage.session.set({ room: name });
  const page = await ask({ type: "read", op: "messages.list", fields: { room: name, limit: 100 } });
  if (room !== name) return;
  reached = 0;
  el("messages").replaceChildren();
  for (const key of [...writing.keys()]) written(key);
  add(page.items);
  el("messages").scrollTop = el("messages").scrollHeight;
}

async function listRooms() {
  const page = await ask({ type: "read", op: "rooms.list", fields: {} });
  const names = page.items.map((/** @type {any} */ item) => item.room);
  el("room").replaceChildren(...names.map((/** @type {string} */ name) => make("option", { value: name }, name)));
  const kept = (await chrome.storage.session.get("room")).room;
  const chosen = names.includes(room) ? room : names.includes(kept) ? kept : names[0];
  if (!chosen) { el("messages").replaceChildren(make("li", { className: "soft" }, "No room yet. Make one: mcp-bridge rooms join lobby --create")); return; }
  el("room").value = chosen;
  if (chosen !== room) await enter(chosen);
}

/** @param {View} view */
function show(view) {
  el("hub").textContent = view.hub;
  el("dot").className = `dot ${view.hub === "connected" ? "good" : "bad"}`;
  el("tabs").textContent = view.tabs.map((tab) => `${tab.agent}: ${tab.job ? tab.job.pending || "answering" : "idle"}`).join(" · ");
  if (view.hub === "connected" && !room) void attempt(listRooms, el("problem"));
}

/** @param {any} message */
function heard(message) {
  if (message.type === "view") show(message.view);
  if (message.type === "signal" && message.signal.type === "job.progress" && message.signal.room === room) progress(message.signal);
  if (message.type !== "events") return;
  const here = message.events.filter((/** @type {any} */ e) => e.room === room);
  add(here.filter((/** @type {any} */ e) => e.type === "message.posted" && !e.tombstone).map((/** @type {any} */ e) => ({ ...e.data, seq: e.seq, at: e.at })));
  for (const { type, data } of here) {
    if (type === "message.redacted") rewrite(data.message, "(redacted)");
    if (type === "message.edited") rewrite(data.message, data.text);
  }
}

function connect() {
  const port = chrome.runtime.connect({ name: "panel" });
  port.onMessage.addListener(heard);
  port.onDisconnect.addListener(() => setTimeout(async () => { connect(); if (room) await attempt(() => enter(room), el("problem")); }, 300));
}

el("room").onchange = () => attempt(() => enter(el("room").value), el("problem"));
el("write").onsubmit = async (/** @type {Event} */ event) => {
  event.preventDefault();
  const text = el("text").value.trim();
  if (!text || !room) return;
  await attempt(async () => {
    await ask({ type: "post", room, text, key: crypto.randomUUID() });
    el("text").value = "";
  }, el("problem"));
};
connect();
await attempt(async () => show(await ask({ type: "view" })), el("problem"));
