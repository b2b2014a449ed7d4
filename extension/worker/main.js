// @ts-check
// The service worker's entry: every listener stands here, at the top level, so that any of them can wake it.

import { Bridge } from "./bridge.js";
import { menus, shared } from "./menus.js";
import { request } from "./requests.js";
import { forgetTabs, load } from "./store.js";
import { inject } from "./tab.js";
import { pairsAtOnce } from "./wire.js";

const bridge = new Bridge();
const ANSWERS = "https://claude.ai/api/organizations/*/chat_conversations/*/*completion*";

chrome.runtime.onInstalled.addListener(async () => {
  await menus();
  await chrome.alarms.create("wake", { periodInMinutes: 0.5 });
  for (const id of Object.keys((await load()).tabs)) await inject(Number(id)); // an update orphaned their scripts
  await bridge.wake();
});
chrome.runtime.onStartup.addListener(async () => {
  await forgetTabs();
  await chrome.alarms.create("wake", { periodInMinutes: 0.5 });
  await bridge.wake();
});
chrome.alarms.onAlarm.addListener(() => void bridge.wake());

chrome.runtime.onConnect.addListener((port) => {
  if (port.name === "tab") { void bridge.pagePort(port); return; }
  if (!port.sender || !ownPage(port.sender)) { port.disconnect(); return; }
  const viewers = port.name === "panel" ? bridge.panels : bridge.views;
  viewers.add(port);
  if (port.name === "panel") bridge.unread = 0;
  port.onDisconnect.addListener(() => viewers.delete(port));
  void bridge.wake().then(() => bridge.changed());
});

/** Whether a message comes from one of the extension's own pages. Only those may change anything. @param {chrome.runtime.MessageSender} sender */
function ownPage(sender) {
  return sender.id === chrome.runtime.id && (sender.url ?? "").startsWith(chrome.runtime.getURL(""));
}

chrome.runtime.onMessage.addListener((message, sender, answer) => {
  if (message?.type === "present") {
    void load().then((state) => answer({ joined: sender.tab?.id !== undefined && sender.tab.id in state.tabs }));
    return true;
  }
  if (!ownPage(sender)) { answer({ error: "only the extension's own pages may do this" }); return false; }
  request(bridge, message).then((ok) => answer({ ok }), (error) => answer({ error: error.message }));
  return true;
});

// The hub's page hands over a pairing token. That is all a web page can ever ask for; nothing else is looked at.
chrome.runtime.onMessageExternal.addListener((message, sender, answer) => {
  const origin = sender.origin ?? "";
  if (message?.type === "here") { answer({ version: chrome.runtime.getManifest().version }); return false; }
  if (message?.type !== "pair" || typeof message.token !== "string" || !origin) { answer({ error: "unknown request" }); return false; }
  void load().then(async (state) => {
    if (pairsAtOnce(origin, state.paired?.url ?? null)) {
      return answer(await bridge.pair(origin, message.token).then((agent) => ({ paired: agent }), (error) => ({ error: error.message })));
    }
    await chrome.storage.session.set({ offer: { url: origin, token: message.token } });
    await chrome.tabs.create({ url: chrome.runtime.getURL("ui/pair.html") });
    return answer({ confirm: true });
  });
  return true;
});

chrome.tabs.onRemoved.addListener((id) => {
  void load().then((state) => { if (state.tabs[id]) return bridge.wake().then(() => bridge.leave(id, "tab-closed", "The tab was closed before the question was answered.")); });
});

/** @param {number} tabId @param {"start" | "end" | "error"} what @param {string} id @param {number} [status] @param {string} [error] */
function network(tabId, what, id, status = 0, error = "") {
  void load().then((state) => {
    const tab = state.tabs[tabId];
    if (tab) bridge.agentOf(tabId, tab).network(what, id, status, error);
  });
}
const filter = { urls: [ANSWERS] };
chrome.webRequest.onBeforeRequest.addListener((d) => { if (d.method === "POST") network(d.tabId, "start", d.requestId); return undefined; }, filter);
chrome.webRequest.onCompleted.addListener((d) => network(d.tabId, "end", d.requestId, d.statusCode), filter);
chrome.webRequest.onErrorOccurred.addListener((d) => network(d.tabId, "error", d.requestId, 0, d.error), filter);

chrome.contextMenus.onClicked.addListener((info, tab) => void shared(bridge, info, tab));

void bridge.wake();
