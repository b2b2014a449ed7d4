// @ts-check
// The popup: this tab, what it is doing, and the person's hand on it.

import { ask, attempt, el, healthLine, make } from "./ui.js";

/** @typedef {import("./ui.js").View} View */

const wanted = Number(new URLSearchParams(location.search).get("tab"));
const [active] = await chrome.tabs.query(wanted ? {} : { active: true, currentWindow: true })
  .then((tabs) => (wanted ? tabs.filter((t) => t.id === wanted) : tabs));
const tabId = active?.id ?? -1;
/** @type {string[] | null} */
let rooms = null;
/** @type {Record<string, {id: string, name: string}[]>} the newest files, by room */
const files = {};

/** @param {Record<string, any>} message */
const act = (message) => attempt(async () => { await ask(message); await refresh(); }, el("problem"));

/** @param {View} view */
function show(view) {
  el("hub").textContent = view.hub;
  el("dot").className = `dot ${view.hub === "connected" ? "good" : view.hub === "not paired" ? "" : "bad"}`;
  el("unpaired").hidden = Boolean(view.url);
  el("here").hidden = !view.url;
  const mine = view.tabs.find((tab) => tab.id === tabId);
  keepingFocus(el("here"), () => el("here").replaceChildren(...(mine ? joined(mine) : notJoined())));
  const others = view.tabs.filter((tab) => tab.id !== tabId);
  el("others").hidden = !others.length;
  el("others").replaceChildren(make("h2", {}, "Other tabs"), ...others.map(otherLine));
  el("panel").textContent = view.unread ? `Open the room (${view.unread} new)` : "Open the room";
}

/** Whoever works by keyboard stays where they were. @param {HTMLElement} within @param {() => void} redraw */
function keepingFocus(within, redraw) {
  const named = (/** @type {Element | null} */ e) => (e?.closest("label") ?? e)?.textContent ?? "";
  const before = within.contains(document.activeElement) ? named(document.activeElement) : null;
  redraw();
  const same = [...within.querySelectorAll("button, input, select")].find((e) => named(e) === before);
  if (before !== null) /** @type {HTMLElement | undefined} */ (same)?.focus();
}

function notJoined() {
  const claude = active?.url?.startsWith("https://claude.ai/");
  if (!claude) return [make("h2", {}, "Not a Claude tab"), make("p", { className: "soft" }, "Open claude.ai in a tab; there you can let it join your rooms.")];
  const button = make("button", { className: "main", type: "button", onclick: () => act({ type: "join", tab: tabId }) }, "Let this tab join");
  return [
    make("h2", {}, "This tab"),
    make("p", {}, "Your agents can then put questions to Claude here. Nothing is sent without you: you press Send."),
    button,
  ];
}

/** @param {View["tabs"][number]} tab */
function joined(tab) {
  const auto = tab.mode === "auto";
  return [
    make("div", { className: "row between" },
      make("h2", {}, tab.agent),
      make("span", { className: "row" }, make("span", { className: `dot ${tab.online ? "good" : "bad"}` }), tab.online ? (tab.paused ? "paused" : "in the room") : "connecting…")),
    ...jobLines(tab),
    roomChoice(tab),
    check("New conversation for each question", tab.fresh, (on) => act({ type: "tab", tab: tab.id, change: { fresh: on } })),
    check("Give Claude the room's context", tab.context, (on) => act({ type: "tab", tab: tab.id, change: { context: on } })),
    ...(tab.context ? fileChoice(tab) : []),
    check("Send by itself", auto, (on) => (on ? confirmAuto(tab.id) : act({ type: "mode", tab: tab.id, mode: "assist" }))),
    make("div", { id: "confirm" }),
    make("p", { className: tab.health?.missing?.length || tab.health?.problem ? "problem" : "soft" }, healthLine(tab.health)),
    make("div", { className: "row" },
      make("button", { type: "button", disabled: !tab.job, onclick: () => act({ type: "stop", tab: tab.id }) }, "Stop"),
      make("button", { type: "button", disabled: Boolean(tab.job) || !tab.last, onclick: () => act({ type: "again", tab: tab.id }) }, "Another answer"),
      make("button", { type: "button", onclick: () => act({ type: "tab", tab: tab.id, change: { paused: !tab.paused } }) }, tab.paused ? "Go on" : "Pause"),
      make("button", { type: "button", onclick: () => act({ type: "selftest", tab: tab.id }) }, "Check the page"),
      make("button", { type: "button", onclick: () => act({ type: "leave", tab: tab.id }) }, "Leave")),
  ];
}

/** @param {View["tabs"][number]} tab */
function jobLines(tab) {
  if (tab.job) {
    const what = tab.job.pending || "Claude is at it";
    return [make("p", { className: tab.job.pending ? "wait" : "" }, what), make("p", { className: "soft" }, `${tab.job.from} in ${tab.job.room}: ${tab.job.text.slice(0, 140)}`)];
  }
  if (!tab.last) return [make("p", { className: "soft" }, "No question yet.")];
  const { outcome, error, from, at } = tab.last;
  return [make("p", { className: "soft" }, `Last: ${from}, ${outcome}${error ? ` (${error})` : ""}, ${new Date(at).toLocaleTimeString()}`)];
}

/** @param {View["tabs"][number]} tab */
function roomChoice(tab) {
  const select = make("select", { id: "room", onchange: () => act({ type: "tab", tab: tab.id, change: { room: select.value } }) },
    make("option", { value: "" }, "All my rooms"), ...(rooms ?? []).map((room) => make("option", { value: room }, room)));
  select.value = tab.room;
  return make("label", {}, "Room ", select);
}

/** Files of the tab's rooms that go to Claude with each question. @param {View["tabs"][number]} tab */
function fileChoice(tab) {
  const chosen = tab.files ?? [];
  const all = Object.entries(files).flatMap(([room, some]) => some.map(({ id, name }) => ({ room, id, name })));
  const gone = chosen.filter((file) => !all.some(({ id }) => id === file.id));
  if (!all.length && !gone.length) return [];
  const boxes = [...gone, ...all].map((file) => check(`${file.name} (${file.room})`, chosen.some(({ id }) => id === file.id), (on) => act({
    type: "tab", tab: tab.id, change: { files: on ? [...chosen, file] : chosen.filter(({ id }) => id !== file.id) },
  })));
  return [make("fieldset", { className: "files" }, make("legend", {}, "Files that go with each question"), ...boxes)];
}

/** @param {View["tabs"][number]} tab */
async function listFiles(tab) {
  for (const room of tab.room ? [tab.room] : tab.rooms.slice(0, 5)) {
    const page = await ask({ type: "read", op: "files.list", fields: { room, limit: 30 } }).catch(() => null);
    files[room] = page?.items ?? [];
  }
}

/** @param {string} text @param {boolean} on @param {(on: boolean) => any} change */
function check(text, on, change) {
  const box = make("input", { type: "checkbox", checked: on, onchange: () => change(box.checked) });
  return make("label", { className: "check" }, box, text);
}

/** @param {number} id */
function confirmAuto(id) {
  el("confirm").replaceChildren(make("div", { className: "card", role: "alertdialog" },
    make("p", {}, "Questions from your rooms will be sent in this tab without you. Check that the site's terms allow that for your account; "
      + "whoever can write in the room then uses your account. It ends when the browser closes."),
    make("div", { className: "row" },
      make("button", { type: "button", className: "warn", id: "yes", onclick: () => act({ type: "mode", tab: id, mode: "auto" }) }, "Send by itself in this tab"),
      make("button", { type: "button", onclick: () => refresh() }, "Cancel"))));
  el("yes").focus();
}

/** @param {View["tabs"][number]} tab */
function otherLine(tab) {
  return make("div", { className: "row between card" }, make("b", {}, tab.agent), make("span", { className: tab.job?.pending ? "wait" : "soft" }, tab.job ? tab.job.pending || "answering" : "idle"),
    make("button", { type: "button", onclick: () => chrome.tabs.update(tab.id, { active: true }) }, "Show"));
}

async function refresh() {
  const view = await ask({ type: "view" });
  if (view.hub === "connected") rooms ??= (await ask({ type: "read", op: "rooms.list", fields: {} }).catch(() => null))?.items.map((/** @type {any} */ r) => r.room) ?? null;
  const mine = view.tabs.find((/** @type {View["tabs"][number]} */ tab) => tab.id === tabId);
  if (mine?.context) await listFiles(mine);
  show(view);
}

el("options").onclick = el("options-first").onclick = () => chrome.runtime.openOptionsPage();
el("panel").onclick = () => { if (active?.windowId !== undefined) void chrome.sidePanel.open({ windowId: active.windowId }); };
const port = chrome.runtime.connect({ name: "view" });
port.onMessage.addListener(({ view }) => {
  if (document.getElementById("yes") || document.activeElement?.id === "room") return;
  if (view.hub === "connected" && !rooms) void attempt(refresh, el("problem")); // the hub was away when this was opened
  else show(view);
});
await attempt(refresh, el("problem"));
