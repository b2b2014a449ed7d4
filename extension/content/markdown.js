// @ts-check
// From the rendered answer back to the Markdown it was written in. Turndown was considered: it escapes what the model
// wrote plainly and needs a plugin for tables; the page's vocabulary is small enough to do exactly.

/** Text of an element without its buttons and hidden copies. @param {Node} node @returns {string} */
function plainText(node) {
  if (node.nodeType === 3) return node.nodeValue ?? "";
  if (node.nodeType !== 1) return "";
  const element = /** @type {Element} */ (node);
  if (isDecoration(element)) return "";
  if (element.tagName === "BR") return "\n";
  return [...element.childNodes].map(plainText).join("");
}

/** @param {Element} element */
function isDecoration(element) {
  return ["BUTTON", "SVG", "svg", "STYLE", "SCRIPT", "TEXTAREA", "SELECT"].includes(element.tagName)
    || element.hasAttribute("data-bridge") || element.classList.contains("sr-only");
}

/**
 * Markdown of a rendered answer.
 * @param {Element} root
 * @returns {string}
 */
function toMarkdown(root) {
  return blocksOf(root).join("\n\n").replace(/[ \t]+$/gm, (spaces) => (spaces === "  " ? spaces : "")).trim();
}

/** @param {Node} node */
function isBlock(node) {
  if (node.nodeType !== 1) return false;
  const element = /** @type {Element} */ (node);
  return blockNames().includes(element.tagName) || element.classList.contains("katex-display");
}

function blockNames() {
  return ["P", "DIV", "SECTION", "ARTICLE", "H1", "H2", "H3", "H4", "H5", "H6", "UL", "OL", "PRE", "BLOCKQUOTE", "TABLE",
    "HR", "FIGURE", "DETAILS"];
}

/** The blocks inside an element; loose inline runs become paragraphs. @param {Element} element @returns {string[]} */
function blocksOf(element) {
  /** @type {string[]} */
  const out = [];
  /** @type {Node[]} */
  let run = [];
  const flush = () => {
    const text = run.map(inline).join("").trim();
    if (text) out.push(text);
    run = [];
  };
  for (const child of element.childNodes) {
    if (isBlock(child)) {
      flush();
      out.push(...block(/** @type {Element} */ (child)));
    } else {
      run.push(child);
    }
  }
  flush();
  return out;
}

/** @param {Element} element @returns {string[]} */
function block(element) {
  if (isDecoration(element)) return [];
  if (element.classList.contains("katex-display")) return [`$$\n${texOf(element).trim()}\n$$`];
  const heading = /^H([1-6])$/.exec(element.tagName);
  if (heading) return one("#".repeat(Number(heading[1])) + " " + inlineOf(element));
  switch (element.tagName) {
    case "P": return paragraph(element);
    case "UL":
    case "OL": return one(listOf(element));
    case "PRE": return [codeBlock(element)];
    case "BLOCKQUOTE": return one(prefixed(blocksOf(element).join("\n\n"), "> ", ">"));
    case "TABLE": return one(tableOf(element));
    case "HR": return ["---"];
    default: return wrappedCode(element) ?? blocksOf(element);
  }
}

/** @param {string} text @returns {string[]} */
function one(text) {
  return text.trim() ? [text] : [];
}

/** A paragraph; display math inside it stands as a block of its own. @param {Element} element */
function paragraph(element) {
  if (element.querySelector(".katex-display")) return blocksOf(element);
  return one(inlineOf(element));
}

/** The page wraps code in a box with the language and a copy button. @param {Element} element */
function wrappedCode(element) {
  const pres = element.querySelectorAll("pre");
  const pre = pres[0];
  if (pres.length !== 1 || !pre || element.querySelector("p, ul, ol, table, blockquote, h1, h2, h3, h4, h5, h6")) return null;
  return [codeBlock(pre, element)];
}

/** @param {Element} pre @param {Element} [box] */
function codeBlock(pre, box = pre) {
  const code = pre.querySelector("code") ?? pre;
  const text = plainText(code).replace(/\n$/, "");
  const fence = "`".repeat(Math.max(3, longestRun(text, "`") + 1));
  return `${fence}${languageOf(code, pre, box)}\n${text}${text ? "\n" : ""}${fence}`;
}

/** @param {Element} code @param {Element} pre @param {Element} box */
function languageOf(code, pre, box) {
  for (const element of [code, pre]) {
    const named = [...element.classList].find((name) => name.startsWith("language-"));
    if (named) return named.slice("language-".length);
  }
  const label = [...box.querySelectorAll("div, span")].find((e) => !pre.contains(e) && !e.children.length && plainText(e).trim());
  const text = label ? plainText(label).trim().toLowerCase() : "";
  return /^[a-z0-9+#._-]{1,20}$/.test(text) && text !== "plaintext" && text !== "text" ? text : "";
}

/** @param {string} text @param {string} char */
function longestRun(text, char) {
  let longest = 0;
  for (const run of text.match(new RegExp(`${char}+`, "g")) ?? []) longest = Math.max(longest, run.length);
  return longest;
}

/** @param {string} text @param {string} prefix @param {string} [empty] prefix of empty lines */
function prefixed(text, prefix, empty = prefix) {
  return text.split("\n").map((line) => (line ? prefix + line : empty)).join("\n");
}

/** @param {Element} list @returns {string} */
function listOf(list) {
  const items = [...list.children].filter((child) => child.tagName === "LI");
  let number = Number(list.getAttribute("start") ?? 1);
  const loose = items.some((item) => [...item.children].some((child) => child.tagName === "P"));
  return items.map((item) => {
    const marker = list.tagName === "OL" ? `${number++}. ` : "- ";
    const task = item.querySelector(":scope > input[type=checkbox], :scope > p > input[type=checkbox]");
    const box = task ? (/** @type {HTMLInputElement} */ (task).checked ? "[x] " : "[ ] ") : "";
    const [first = "", ...rest] = blocksOf(item);
    const body = [first, ...rest].join("\n\n");
    const tight = loose ? body : tighten(first, rest, item);
    return marker + box + indented(tight, " ".repeat(marker.length));
  }).join(loose ? "\n\n" : "\n");
}

/** In a tight list a nested list follows its item without an empty line. @param {string} first @param {string[]} rest @param {Element} item */
function tighten(first, rest, item) {
  const nested = [...item.children].every((c) => !isBlock(c) || ["UL", "OL"].includes(c.tagName));
  return [first, ...rest].join(nested ? "\n" : "\n\n");
}

/** All lines but the first, moved in. @param {string} text @param {string} by */
function indented(text, by) {
  return text.split("\n").map((line, i) => (i && line ? by + line : line)).join("\n");
}

/** @param {Element} table */
function tableOf(table) {
  const rows = [...table.querySelectorAll("tr")].map((row) => [...row.children]);
  const head = rows[0] ?? [];
  const line = (/** @type {Element[]} */ cells) =>
    `| ${cells.map((c) => inlineOf(c).replaceAll("\n", " ").replace(/(?<!\\)\|/g, "\\|")).join(" | ")} |`;
  const rule = `| ${head.map(alignment).join(" | ")} |`;
  return [line(head), rule, ...rows.slice(1).map(line)].join("\n");
}

/** @param {Element} cell */
function alignment(cell) {
  const align = /** @type {HTMLElement} */ (cell).style.textAlign || cell.getAttribute("align") || "";
  return { left: ":---", right: "---:", center: ":---:" }[align] ?? "---";
}

/** @param {Element} element */
function inlineOf(element) {
  return [...element.childNodes].map(inline).join("").trim();
}

/** @param {Node} node @returns {string} */
function inline(node) {
  if (node.nodeType === 3) return (node.nodeValue ?? "").replace(/[ \t\n]+/g, " ");
  if (node.nodeType !== 1) return "";
  const element = /** @type {Element} */ (node);
  if (isDecoration(element)) return "";
  if (element.classList.contains("katex")) return `$${texOf(element).trim()}$`;
  const text = () => [...element.childNodes].map(inline).join("");
  switch (element.tagName) {
    case "BR": return "  \n";
    case "STRONG":
    case "B": return around(text(), "**");
    case "EM":
    case "I": return around(text(), "*");
    case "DEL":
    case "S": return around(text(), "~~");
    case "CODE": return codeSpan(plainText(element));
    case "A": return link(element, text());
    case "IMG": return `![${element.getAttribute("alt") ?? ""}](${element.getAttribute("src") ?? ""})`;
    case "SUP": return `<sup>${text()}</sup>`;
    case "SUB": return `<sub>${text()}</sub>`;
    case "KBD": return `<kbd>${text()}</kbd>`;
    case "INPUT": return "";
    default: return text();
  }
}

/** Marks inside the spaces, so that they stay marks. @param {string} text @param {string} mark */
function around(text, mark) {
  const [, before = "", body = "", after = ""] = /^(\s*)([\s\S]*?)(\s*)$/.exec(text) ?? [];
  return body ? before + mark + body + mark + after : text;
}

/** @param {string} text */
function codeSpan(text) {
  const fence = "`".repeat(longestRun(text, "`") === 0 ? 1 : longestRun(text, "`") + 1);
  const pad = text.startsWith("`") || text.endsWith("`") ? " " : "";
  return fence + pad + text + pad + fence;
}

/** @param {Element} element @param {string} text */
function link(element, text) {
  const href = element.getAttribute("href") ?? "";
  if (!href) return text;
  if (text === href || `mailto:${text}` === href) return /^(https?:|mailto:)/.test(text) ? text : `<${text}>`;
  const title = element.getAttribute("title");
  return `[${text}](${href}${title ? ` "${title}"` : ""})`;
}

/** The TeX source that KaTeX keeps beside what it draws. @param {Element} element */
function texOf(element) {
  return element.querySelector('annotation[encoding="application/x-tex"]')?.textContent ?? plainText(element);
}
