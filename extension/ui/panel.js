// @ts-check
// The side panel: the live room, to read and to write in as the person.

import { ask, attempt, el, make } from "./ui.js";

/** @typedef {import("./ui.js").View} View */

const SHOWN = 300;
let room = "";
/** Number of the newest message shown, so that history and stream overlap without a double. */
let reached = 0;

/** @param {any} message */
function line(message) {
  const to = message.to.length ? ` → ${message.to.join(", ")}` : "";
  return make("li", { className: message.kind },
    make("div", { className: "head" }, make("b", {}, message.from), make("span", { className: "soft" }, to), make("small", {}, message.at.slice(11, 16))),
    make("div", { className: "text" }, message.tombstone ? `(${message.tombstone})` : message.text));
}

/** @param {any[]} messages */
function add(messages) {
  const fresh = messages.filter((message) => message.seq > reached);
  if (!fresh.length) return;
  const list = el("messages");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
  list.append(...fresh.map(line));
  reached = fresh.at(-1).seq;
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
  if (message.type !== "events") return;
  const here = message.events.filter((/** @type {any} */ e) => e.room === room && e.type === "message.posted" && !e.tombstone);
  add(here.map((/** @type {any} */ e) => ({ ...e.data, seq: e.seq, at: e.at })));
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
