// An imitation of claude.ai's conversation page, to its published markup: a real TipTap editor, Send and Stop, answers
// rendered again with every piece, old turns taken out of the page, an address that changes without loading.
import { Editor } from "@tiptap/core";
import StarterKit from "@tiptap/starter-kit";
import { Marked } from "marked";

const ORG = "/api/organizations/o1/chat_conversations";
const SHOWN = 8; // turns kept in the page
const root = document.getElementById("root");
const state = { id: null, turns: [], streaming: false, abort: null, files: [] };
const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// --- rendering -----------------------------------------------------------------------------------------------------

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
const tex = (source, display) => {
  const inner = `<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow>`
    + `<annotation encoding="application/x-tex">${escaped(source)}</annotation></semantics></math></span>`
    + `<span class="katex-html" aria-hidden="true">drawn</span></span>`;
  return display ? `<span class="katex-display">${inner}</span>` : inner;
};
const math = {
  extensions: [
    { name: "displayMath", level: "block", start: (s) => s.indexOf("$$"), tokenizer(s) {
      const m = /^\$\$\n([\s\S]+?)\n\$\$(?:\n|$)/.exec(s); return m && { type: "displayMath", raw: m[0], text: m[1] }; },
      renderer: (t) => `<p>${tex(t.text, true)}</p>` },
    { name: "inlineMath", level: "inline", start: (s) => s.indexOf("$"), tokenizer(s) {
      const m = /^\$([^$\n]+?)\$/.exec(s); return m && { type: "inlineMath", raw: m[0], text: m[1] }; },
      renderer: (t) => tex(t.text, false) },
  ],
};
const code = {
  renderer: {
    code({ text, lang }) {
      const words = escaped(text).split(/(\s+)/).map((w) => (/\S/.test(w) ? `<span class="token">${w}</span>` : w)).join("");
      const label = lang ? `<div class="text-text-500 font-small">${lang}</div>` : "";
      return `<div class="relative group/copy">${label}<div class="sticky"><button aria-label="Copy to clipboard">Copy</button></div>`
        + `<div class="overflow-x-auto"><pre class="code-block__code"><code class="${lang ? `language-${lang}` : ""}">${words}\n</code></pre></div></div>`;
    },
  },
};
const marked = new Marked(math, code);
const ARTIFACT = /<artifact title="([^"]*)" language="([^"]*)">\n([\s\S]*?)\n<\/artifact>/g;

function renderAnswer(turn) {
  const box = make("div", { "data-is-streaming": String(Boolean(turn.streaming)), class: "group relative" });
  const body = make("div", { class: "font-claude-response" });
  const artifacts = [];
  const text = turn.text.replace(ARTIFACT, (_all, title, language, content) => { artifacts.push({ title, language, content }); return ""; });
  const files = [];
  const plain = text.replace(/<download name="([^"]*)"\/>/g, (_all, name) => { files.push(name); return ""; });
  const markdown = make("div", { class: "standard-markdown" });
  markdown.innerHTML = marked.parse(plain);
  body.append(markdown);
  for (const name of files) body.append(make("a", { download: name, href: `/api/files/${encodeURIComponent(name)}` }, `Download ${name}`));
  for (const artifact of artifacts) {
    const card = make("div", { class: "artifact-block-cell", role: "button", tabindex: "0", "data-title": artifact.title }, artifact.title);
    card.addEventListener("click", () => openPanel(artifact));
    body.append(card);
  }
  const retry = make("button", { "aria-label": "Retry" }, "Retry");
  retry.addEventListener("click", () => void again(turn));
  box.append(body, make("button", { "aria-label": "Copy" }, "Copy"), retry);
  return box;
}

function openPanel({ title, language, content }) {
  document.querySelector("[data-testid=artifact-panel]")?.remove();
  const close = make("button", { "aria-label": "Close" }, "×");
  const panel = make("div", { "data-testid": "artifact-panel" }, make("h2", {}, title), close,
    make("pre", {}, make("code", { class: `language-${language}` }, content)));
  close.addEventListener("click", () => panel.remove());
  document.body.append(panel);
}

function renderQuestion(turn) {
  const box = make("div", { "data-testid": "user-message", class: "font-user-message" });
  for (const paragraph of turn.text.split("\n\n")) box.append(make("p", { class: "whitespace-pre-wrap break-words" }, paragraph));
  return box;
}

const nodes = new Map();
function draw() {
  const list = document.getElementById("turns");
  const shown = state.turns.slice(-SHOWN);
  for (const [turn, node] of nodes) if (!shown.includes(turn)) { node.remove(); nodes.delete(turn); }
  for (const turn of shown) {
    const old = nodes.get(turn);
    if (old && turn.drawn === turn.text + turn.streaming) continue;
    const made = turn.sender === "human" ? renderQuestion(turn) : renderAnswer(turn);
    turn.drawn = turn.text + turn.streaming;
    if (old) old.replaceWith(made); else list.append(made);
    nodes.set(turn, made);
  }
  const button = document.getElementById("act");
  button.setAttribute("aria-label", state.streaming ? "Stop response" : NAME);
  button.disabled = !state.streaming && editor.isEmpty;
}

// --- talking -------------------------------------------------------------------------------------------------------

let editor;
async function send() {
  const text = editor.getText({ blockSeparator: "\n\n" });
  if (!text.trim() || state.streaming) return;
  editor.commands.clearContent(true);
  state.turns.push({ sender: "human", text });
  if (!state.id) {
    state.id = crypto.randomUUID();
    history.pushState({}, "", `/chat/${state.id}`);
  }
  await receive("completion", text);
}

async function again(turn) {
  const at = state.turns.indexOf(turn);
  if (state.streaming || at < 1) return;
  const { text } = state.turns[at - 1];
  state.turns.length = at; // what followed the question is gone
  await receive("retry_completion", text);
}

async function receive(way, text) {
  const answer = { sender: "assistant", text: "", streaming: true };
  state.streaming = true;
  draw();
  const here = state.id;
  const abort = state.abort = new AbortController();
  try {
    const reply = await fetch(`${ORG}/${state.id}/${way}`, {
      method: "POST", headers: { "content-type": "application/json" }, signal: abort.signal, body: JSON.stringify({ prompt: text, files: state.files.splice(0) }),
    });
    document.querySelectorAll(".attachment").forEach((shown) => shown.remove());
    if (reply.status === 429) {
      document.getElementById("note").replaceChildren(make("div", { "data-testid": "message-limit" }, "You are out of messages until 7 PM."));
      return;
    }
    state.turns.push(answer);
    const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) answer.text += JSON.parse(block.slice(6)).delta;
      if (here === state.id) draw();
    }
  } catch { /* stopped */ } finally {
    answer.streaming = false;
    if (here === state.id) { state.streaming = false; draw(); }
  }
}

async function show(path) {
  state.abort?.abort();
  Object.assign(state, { id: null, turns: [], streaming: false });
  document.getElementById("note").replaceChildren();
  const [, id] = /^\/chat\/(.+)/.exec(path) ?? [];
  if (id) {
    state.id = id;
    const { messages } = await (await fetch(`${ORG}/${id}`)).json();
    state.turns = messages.map((m) => ({ ...m }));
  }
  draw();
}

const OTHER = location.search; // a page whose parts are called something else
const NAME = /renamed|moved/.test(OTHER) ? "Absenden" : "Send message";
function frame() {
  const link = make("a", { href: "/new" }, "New chat");
  link.addEventListener("click", (event) => { event.preventDefault(); history.pushState({}, "", "/new"); void show("/new"); });
  const act = make("button", { id: "act", type: "button", "aria-label": NAME }, "↑");
  if (OTHER.includes("renamed")) act.setAttribute("data-testid", "send-button");
  act.addEventListener("click", () => (state.streaming ? state.abort.abort() : void send()));
  const upload = make("input", { type: "file", "data-testid": "file-upload", multiple: "" });
  upload.addEventListener("change", async () => {
    for (const file of upload.files) {
      state.files.push({ name: file.name, type: file.type, text: await file.text() });
      document.getElementById("note").append(make("div", { class: "attachment" }, file.name));
    }
    upload.value = "";
  });
  const box = make(OTHER.includes("moved") ? "section" : "fieldset", {}, make("div", { id: "box" }), act, upload);
  root.replaceChildren(make("nav", {}, link), make("main", {}, make("div", { id: "turns" })), make("div", { id: "note" }), box);
  editor = new Editor({
    element: document.getElementById("box"), extensions: [StarterKit.configure({ trailingNode: false })], injectCSS: false,
    editorProps: {
      attributes: { "data-testid": "chat-input", "aria-label": "Write your prompt to Claude" },
      handleKeyDown: (_view, event) => { if (event.key === "Enter" && !event.shiftKey) { void send(); return true; } return false; },
      handlePaste: (_view, event) => {
        const text = event.clipboardData?.getData("text/plain") ?? "";
        if (text.length < 4000) return false;
        document.getElementById("note").append(make("div", { class: "attachment" }, `PASTED ${text.length}`));
        return true;
      },
    },
    onUpdate: draw,
  });
  if (location.search.includes("mangle")) { // an editor with a shortcut that eats marks, whatever way they come
    editor.on("update", () => { const t = editor.getText(); if (t.includes("**")) editor.commands.setContent(`<p>${escaped(t.replaceAll("**", ""))}</p>`); });
  }
  window.addEventListener("popstate", () => void show(location.pathname));
  window.goTo = (path) => { history.pushState({}, "", path); void show(path); };
  void show(location.pathname);
}

if (location.pathname.startsWith("/login")) {
  root.replaceChildren(make("form", {}, make("input", { type: "email", name: "email" }), make("button", { "data-testid": "login-with-google" }, "Continue")));
} else if (location.pathname.startsWith("/changed")) {
  root.replaceChildren(make("main", {}, make("div", { role: "application" }, "A new kind of page")));
} else {
  frame();
}
