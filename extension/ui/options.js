// @ts-check
// Options: pairing by token, limits, pinned text, selectors, how well each tab finds its way.

import { ask, attempt, el, healthLine, make } from "./ui.js";

/** @typedef {import("./ui.js").View} View */

/** @param {View} view */
function show(view) {
  el("state").textContent = view.url ? `${view.hub}: ${view.url} as ${view.agent}` : "Not paired.";
  el("unpair").hidden = !view.url;
  el("version").textContent = `Version ${view.version}.`;
  const rows = view.tabs.map((tab) => make("tr", {}, make("td", {}, make("b", {}, tab.agent)), make("td", {}, tab.mode === "auto" ? "sends by itself" : "you press Send"), make("td", {}, healthLine(tab.health))));
  el("tabs").replaceChildren(rows.length ? make("table", {}, make("tbody", {}, ...rows)) : make("p", { className: "soft" }, "No tab has joined. Open claude.ai and use the popup there."));
}

async function refresh() {
  const view = await ask({ type: "view" });
  show(view);
  return view;
}

el("pair").onsubmit = async (/** @type {Event} */ event) => {
  event.preventDefault();
  const url = el("url").value, token = el("token").value;
  await attempt(async () => {
    // A hub on another machine is reached only after the person allowed that very address.
    const origin = new URL(url.includes("://") ? url : `http://${url}`).origin;
    if (origin.startsWith("https:") && !(await chrome.permissions.request({ origins: [`${origin}/*`] }))) throw new Error(`Not allowed to reach ${origin}.`);
    const agent = await ask({ type: "pair", url, token });
    el("token").value = "";
    await refresh();
    Object.assign(el("paired-said"), { className: "fine", textContent: `Paired as ${agent}.` });
  }, el("paired-said"));
};
el("unpair").onclick = () => attempt(async () => { await ask({ type: "unpair" }); await refresh(); }, el("paired-said"));
el("options").onsubmit = async (/** @type {Event} */ event) => {
  event.preventDefault();
  await attempt(async () => {
    await ask({ type: "options", options: { autoPerHour: Number(el("perHour").value), pinned: el("pinned").value, selectors: el("selectors").value } });
    Object.assign(el("saved"), { className: "fine", textContent: "Saved. Tabs use new selectors after they are loaded again." });
  }, el("saved"));
};

const view = await refresh();
if (view.url) el("url").value = view.url;
el("perHour").value = view.options.autoPerHour;
el("pinned").value = view.options.pinned;
el("selectors").value = view.options.selectors;
el("date").textContent = (await (await fetch("../selectors.json")).json()).date;
chrome.runtime.connect({ name: "view" }).onMessage.addListener((message) => { if (message.type === "view") show(message.view); });
