// @ts-check
// "Send selection / page to room", from any page. The click itself is the permission (activeTab); nothing stands open.

import { load } from "./store.js";

/** @typedef {import("./bridge.js").Bridge} Bridge */

const MOST_CHARS = 60_000;
const OPEN_MS = 5000; // the click may have woken the worker just now

export async function menus() {
  await chrome.contextMenus.removeAll();
  chrome.contextMenus.create({ id: "selection", title: "Send selection to the room", contexts: ["selection"] });
  chrome.contextMenus.create({ id: "page", title: "Send this page to the room", contexts: ["page"] });
}

/** The page as text; runs in the page. */
function pageText() {
  const main = document.querySelector("main, article, [role=main]") ?? document.body;
  return /** @type {HTMLElement} */ (main).innerText;
}

/** Text as a quotation with its source. @param {string} text @param {string} title @param {string} url */
export function quotation(text, title, url) {
  const cut = text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}\n(cut here)` : text;
  const quoted = cut.trim().split("\n").map((line) => (line ? `> ${line}` : ">")).join("\n");
  return `From [${title.replace(/[[\]]/g, "")}](${url}):\n\n${quoted}`;
}

/** @param {Bridge} bridge @param {chrome.contextMenus.OnClickData} info @param {chrome.tabs.Tab} [tab] */
export async function shared(bridge, info, tab) {
  if (!(await load()).paired) { await chrome.runtime.openOptionsPage(); return; }
  try {
    await bridge.say(true, `Sent to the room "${await send(bridge, info, tab)}"`);
  } catch (error) {
    await bridge.say(false, error instanceof Error ? error.message : String(error));
  }
}

/** Post it; the room's name. Throws with a sentence for the person. @param {Bridge} bridge @param {chrome.contextMenus.OnClickData} info @param {chrome.tabs.Tab} [tab] */
async function send(bridge, info, tab) {
  const text = info.menuItemId === "page" ? await textOf(tab) : info.selectionText ?? "";
  if (!text.trim()) throw new Error("There is no text to send here.");
  await bridge.wake();
  const open = await bridge.person?.openWithin(OPEN_MS);
  if (!bridge.person || !open) throw new Error("Not sent: the hub does not answer. Start it with: mcp-bridge up");
  const rooms = await bridge.rooms();
  const kept = (await chrome.storage.session.get("room")).room;
  const room = rooms.includes(kept) ? kept : rooms[0];
  if (!room) throw new Error("Not sent: you are in no room yet. Make one: mcp-bridge rooms join lobby --create");
  const said = { room, text: quotation(text, tab?.title ?? "a page", tab?.url ?? "") };
  await bridge.person.insist("messages.post", said, crypto.randomUUID());
  return room;
}

/** What stands on a page. @param {chrome.tabs.Tab} [tab] */
async function textOf(tab) {
  try {
    const [got] = await chrome.scripting.executeScript({ target: { tabId: tab?.id ?? -1 }, func: pageText });
    return got?.result ?? "";
  } catch {
    throw new Error("The browser lets no extension read this page.");
  }
}
