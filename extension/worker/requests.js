// @ts-check
// What the extension's own pages may ask of the worker.

import { load, TIMINGS, update } from "./store.js";

/** @typedef {import("./bridge.js").Bridge} Bridge */

const READS = ["rooms.list", "rooms.get", "messages.list", "members.list", "jobs.get", "files.list"];

/** @param {Bridge} bridge @param {any} message @returns {Promise<any>} */
export async function request(bridge, message) {
  const agent = () => {
    const found = bridge.agents.get(message.tab);
    if (!found) throw new Error("This tab has not joined.");
    return found;
  };
  switch (message.type) {
    case "view": await bridge.wake(); return await bridge.view();
    case "pair": return await bridge.pair(message.url, message.token);
    case "offer": return (await chrome.storage.session.get("offer")).offer ?? null;
    case "accept": return await accept(bridge);
    case "refuse": return await chrome.storage.session.remove("offer");
    case "unpair": return await bridge.unpair();
    case "join": return await bridge.join(message.tab);
    case "leave": return await bridge.leave(message.tab, "disconnected", "The person took the tab out of the room.");
    case "mode": return await agent().setMode(message.mode === "auto" ? "auto" : "assist");
    case "tab": return await setTab(bridge, message.tab, message.change);
    case "stop": return agent().stop();
    case "again": return await again(bridge, message.tab);
    case "selftest": return agent().post({ type: "selftest" });
    case "options": return await setOptions(message.options);
    case "read":
      if (!READS.includes(message.op)) throw new Error(`not readable: ${message.op}`);
      return await need(bridge).call(message.op, message.fields);
    case "post":
      return await need(bridge).call("messages.post", { room: message.room, text: message.text }, message.key);
    default: throw new Error("unknown request");
  }
}

/** @param {Bridge} bridge */
function need(bridge) {
  if (!bridge.person?.open) throw new Error("The hub does not answer. Start it with: mcp-bridge up");
  return bridge.person;
}

/** Ask for another answer to the tab's newest question, in the room, as the person. @param {Bridge} bridge @param {number} id */
async function again(bridge, id) {
  const state = await load();
  const slot = state.tabs[id]?.slot ?? 0;
  const last = state.last[slot];
  const name = state.slots[slot]?.agent;
  if (!last || !name) throw new Error("There is no question yet that could be answered again.");
  const question = {
    room: last.room, kind: "question", intent: "request", to: [name], reply_to: last.job, text: "Another answer to this, please.",
    metadata: { browser: { regenerate: last.job } },
  };
  return await need(bridge).call("messages.post", question, crypto.randomUUID());
}

/** @param {Bridge} bridge */
async function accept(bridge) {
  const { offer } = await chrome.storage.session.get("offer");
  if (!offer) throw new Error("There is nothing to confirm any more.");
  await chrome.storage.session.remove("offer");
  const { url, token } = /** @type {{url: string, token: string}} */ (offer);
  return await bridge.pair(url, token);
}

/** @param {Bridge} bridge @param {number} id @param {Record<string, any>} change */
async function setTab(bridge, id, change) {
  const { room, fresh, paused, context, files } = change;
  await update((state) => {
    const tab = state.tabs[id];
    if (!tab) return;
    if (typeof room === "string") tab.room = room;
    if (typeof fresh === "boolean") tab.fresh = fresh;
    if (typeof paused === "boolean") tab.paused = paused;
    if (typeof context === "boolean") tab.context = context;
    if (Array.isArray(files)) tab.files = files.map(({ room: of, id: file, name }) => ({ room: String(of), id: String(file), name: String(name) })).slice(0, 20);
  });
  const agent = bridge.agents.get(id);
  await agent?.join();
  await agent?.pump();
  bridge.changed();
}

/** @param {Record<string, any>} given */
async function setOptions(given) {
  const own = String(given.selectors ?? "").trim();
  if (own) checkSelectors(own);
  const perHour = Number(given.autoPerHour);
  if (!(Number.isInteger(perHour) && perHour >= 1 && perHour <= 600)) throw new Error("Prompts an hour: a number from 1 to 600.");
  await update((state) => {
    state.options = { ...state.options, timings: patience(given.timings ?? state.options.timings), autoPerHour: perHour, pinned: String(given.pinned ?? "").slice(0, 20_000), selectors: own };
  });
  return (await load()).options;
}

/** How long to wait for what, in milliseconds, where a site needs other values than the built-in ones. @param {Record<string, any>} given */
function patience(given) {
  return Object.fromEntries(Object.entries(given).filter(([name, ms]) => name in TIMINGS && Number.isFinite(ms) && ms > 0));
}

/** @param {string} text */
export function checkSelectors(text) {
  let own;
  try { own = JSON.parse(text); } catch { throw new Error("The selectors are not valid JSON."); }
  const fine = own && typeof own === "object" && !Array.isArray(own)
    && Object.values(own).every((list) => Array.isArray(list) && list.every((s) => typeof s === "string" && s));
  if (!fine) throw new Error('Selectors are lists by part, like {"send": ["button.send"]}.');
}
