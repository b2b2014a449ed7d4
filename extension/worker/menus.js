// @ts-check
// "Send selection / page to room", from any page. The click itself is the permission (activeTab); nothing stands open.

import { load } from "./store.js";

/** @typedef {import("./bridge.js").Bridge} Bridge */

const MOST_CHARS = 60_000;

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
  await bridge.wake();
  const room = (await chrome.storage.session.get("room")).room ?? (await bridge.rooms())[0];
  if (!room || !bridge.person) return;
  let text = info.selectionText ?? "";
  if (info.menuItemId === "page" && tab?.id !== undefined) {
    const [got] = await chrome.scripting.executeScript({ target: { tabId: tab.id }, func: pageText }).catch(() => []);
    text = got?.result ?? "";
  }
  if (!text.trim()) return;
  const key = crypto.randomUUID();
  await bridge.person.insist("messages.post", { room, text: quotation(text, tab?.title ?? "a page", tab?.url ?? "") }, key);
}
