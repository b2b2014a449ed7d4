// The live page: rooms, messages, members. The token lives in memory only; text is shown as text, never as HTML.
// @ts-check

import { offerPairing } from "./browser.js";
import { acceptFiles, attachmentList } from "./files.js";

/** @type {string} */
let token = "";
/** @type {string | null} */
let room = null;
const shown = 500;
/** Number of the newest message in the room's history as it was fetched: the stream brings what is newer. */
let reached = 0;
/** Events of the room that came while its history was on its way. @type {any[] | null} */
let held = null;

/** @param {string} id @returns {HTMLElement} */
const el = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {string} text */
const say = (text) => { el("state").textContent = text; };

/** @param {string} path @param {RequestInit} [init] @returns {Promise<any>} */
async function api(path, init = {}) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(path, { ...init, headers });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

/** A request with the token, for what is not JSON. @param {string} path @param {RequestInit} [init] */
const ask = (path, init = {}) => fetch(path, { ...init, headers: { authorization: `Bearer ${token}` } });

async function logIn() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  history.replaceState(null, "", location.pathname);
  if (!code) { say("Not signed in. Run `mcp-bridge open` for a link."); return false; }
  try {
    const answer = await fetch("/v1/login", {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ code }),
    });
    const body = await answer.json();
    if (!answer.ok) { say(body.detail); return false; }
    token = body.token;
    return true;
  } catch { say("The hub does not answer."); return false; }
}

async function listRooms() {
  const page = await api("/v1/rooms");
  el("none").hidden = page.items.length > 0;
  el("rooms").replaceChildren(...page.items.map((/** @type {any} */ item) => {
    const button = document.createElement("button");
    button.append(item.room, Object.assign(document.createElement("small"), { textContent: `${item.members}` }));
    button.title = item.topic || `${item.members} members`;
    button.setAttribute("aria-current", String(item.room === room));
    button.onclick = () => enter(item.room);
    const li = document.createElement("li");
    li.append(button);
    return li;
  }));
}

/** @param {string} name */
async function enter(name) {
  room = name;
  held = [];
  el("title").textContent = name;
  el("write").hidden = false;
  const [history_, members] = await Promise.all([
    api(`/v1/rooms/${name}/messages?limit=200`), api(`/v1/rooms/${name}/members`), listRooms(),
  ]);
  if (room !== name) return; // another room was chosen meanwhile
  reached = history_.items.at(-1)?.seq ?? 0;
  el("messages").replaceChildren(...history_.items.map(messageLine));
  const came = held;
  held = null;
  show(came);
  el("members").replaceChildren(...members.items.map(memberLine));
  el("messages").scrollTop = el("messages").scrollHeight;
  listDecisions(name);
}

/** @param {string} name */
async function listDecisions(name) {
  const page = await api(`/v1/rooms/${name}/decisions?current=true&limit=20`);
  if (room === name) el("decisions").replaceChildren(...page.items.map(decisionLine));
}

/** @param {any} decision */
function decisionLine(decision) {
  const li = document.createElement("li");
  const outcome = decision.outcome === "recorded" ? "" : `: ${decision.outcome}`;
  li.textContent = `${decision.what}${outcome}`;
  li.title = `${decision.at.slice(0, 10)}, by ${decision.by.join(", ")}`;
  return li;
}

/** @param {any} member */
function memberLine(member) {
  const li = document.createElement("li");
  const dot = document.createElement("span");
  dot.className = `dot ${member.presence}`;
  dot.title = `${member.presence}, reached by ${member.reach}`;
  li.append(dot, member.agent, member.role ? ` (${member.role})` : "");
  return li;
}

/** @param {any} message */
function messageLine(message) {
  const li = document.createElement("li");
  const time = Object.assign(document.createElement("time"), { textContent: message.at.slice(11, 19) });
  const who = Object.assign(document.createElement("b"), { textContent: message.from });
  const to = message.to.length ? `→ ${message.to.join(", ")}: ` : "";
  li.append(time, who, message.tombstone ? `(${message.tombstone})` : to + message.text);
  if (message.attachments?.length && !message.tombstone) li.append(attachmentList(message.room, message.attachments, ask, say));
  return li;
}

/** @param {any} event */
function eventLine(event) {
  if (event.type === "message.posted" && !event.tombstone) return messageLine(event.data);
  const li = document.createElement("li");
  li.className = "fact";
  li.textContent = `${event.at.slice(11, 19)} · ${event.type} by ${event.actor}`;
  return li;
}

/** @param {any[]} events */
function show(events) {
  const list = el("messages");
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
  const here = events.filter((event) => event.room === room);
  if (held) { held.push(...here); return; }
  const mine = here.filter((event) => event.seq > reached);
  list.append(...mine.map(eventLine));
  while (list.childElementCount > shown) list.firstElementChild?.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
  if (mine.some((event) => ["proposal.closed", "decision.recorded"].includes(event.type)) && room) listDecisions(room);
  if (mine.some((event) => event.type.startsWith("member.")) && room) {
    api(`/v1/rooms/${room}/members`).then((page) => el("members").replaceChildren(...page.items.map(memberLine)));
  }
}

// SSE over fetch, because EventSource cannot send the Authorization header.
async function follow() {
  let cursor = "";
  for (;;) {
    try {
      const headers = { authorization: `Bearer ${token}`, ...(cursor ? { "last-event-id": cursor } : {}) };
      const answer = await fetch("/v1/stream", { headers });
      if (answer.status === 401) { say("Signed out. Run `mcp-bridge open` for a new link."); return; }
      if (!answer.ok || !answer.body) throw new Error(answer.statusText);
      say("Live");
      let rest = "";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop() ?? "";
        const events = [];
        for (const block of blocks) {
          for (const line of block.split("\n")) {
            if (line.startsWith("id: ")) cursor = line.slice(4);
            if (line.startsWith("data: ")) events.push(JSON.parse(line.slice(6)));
          }
        }
        const facts = events.filter((event) => event.type);
        if (facts.length) show(facts);
        if (facts.some((event) => event.type !== "message.posted")) listRooms();
      }
    } catch { /* the hub restarts or the network is away: resume from the cursor */ }
    say("Reconnecting…");
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

el("write").onsubmit = async (submit) => {
  submit.preventDefault();
  const input = /** @type {HTMLInputElement} */ (el("text"));
  const text = input.value.trim();
  if (!text || !room) return;
  try {
    await api(`/v1/rooms/${room}/messages`, { method: "POST", body: JSON.stringify({ text }) });
    input.value = "";
  } catch (error) { say(String(error)); }
};

acceptFiles(el("conversation"), /** @type {HTMLInputElement} */ (el("file")), ask, () => room, say);

if (await logIn()) {
  await listRooms();
  const first = /** @type {HTMLButtonElement | null} */ (document.querySelector("#rooms button"));
  if (first) first.click();
  follow();
  offerPairing(el("pair"), say, () => api("/v1/browsers/pair", { method: "POST", body: "{}" }));
}
