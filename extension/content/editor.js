// @ts-check
// The page's text box (ProseMirror). What was put in is read back before anything is sent: the editor's shortcuts eat
// Markdown marks, and a mangled prompt must never leave.

/**
 * @param {Finder} finder
 * @param {Document} page
 */
function createEditor(finder, page) {
  const box = () => finder.one("editor");

  /** The text as the page will send it: paragraphs with an empty line between, line breaks inside. */
  function text() {
    const element = box();
    if (!element) return "";
    const blocks = [...element.children].filter((child) => !child.hasAttribute("data-bridge"));
    if (!blocks.length) return element.textContent ?? "";
    return blocks.map(lineOf).join("\n\n");
  }

  /** @param {Element} block */
  function lineOf(block) {
    if (block.tagName !== "P") return `<${block.tagName.toLowerCase()}>${block.textContent}`; // a list, a heading: mangled
    let line = "";
    const walk = (/** @type {Node} */ node) => {
      if (node.nodeType === 3) line += node.nodeValue;
      else if (node instanceof HTMLBRElement) line += node.classList.contains("ProseMirror-trailingBreak") ? "" : "\n";
      else if (node instanceof Element) {
        if (["STRONG", "EM", "CODE", "S", "U", "A"].includes(node.tagName)) line += `<${node.tagName.toLowerCase()}>`;
        node.childNodes.forEach(walk);
      }
    };
    block.childNodes.forEach(walk);
    return line;
  }

  function isEmpty() {
    return text().trim() === "";
  }

  function focus() {
    const element = box();
    if (!element) return false;
    element.focus();
    const range = page.createRange();
    range.selectNodeContents(element);
    const selection = page.getSelection();
    selection?.removeAllRanges();
    selection?.addRange(range);
    return true;
  }

  /** Take everything out. Only for what this extension put in. */
  function clear() {
    if (!focus()) return;
    page.execCommand("selectAll");
    page.execCommand("delete");
  }

  /** A line, and how to get to where it begins. @param {string} wanted */
  const lines = (wanted) => wanted.split("\n\n").flatMap((paragraph, i) =>
    paragraph.split("\n").map((line, j) => ({ line, step: j ? "insertLineBreak" : i ? "insertParagraph" : "" })));

  /** @param {string} text @param {string} [step] */
  const put = (text, step) => {
    if (step) page.execCommand(step);
    if (text) page.execCommand("insertText", false, text);
  };

  // The editor reads what changed when the script pauses, and its shortcuts then look at what stands before the caret:
  // a letter there, taken away only after that reading, hides the mark that would set one off.
  const GUARD = "x";

  /** All at once, so that it is read once, with a guard at the end. @param {string} wanted */
  async function whole(wanted) {
    for (const { line, step } of lines(wanted)) put(line, step);
    put(GUARD);
    await settled();
    page.execCommand("delete");
  }

  /** A guard after every line. @param {string} wanted */
  async function byLine(wanted) {
    for (const { line, step } of lines(wanted)) {
      put(line && line + GUARD, step);
      await read();
      if (line) page.execCommand("delete");
      await read();
    }
  }

  /** @param {string} wanted */
  function paste(wanted) {
    const data = new DataTransfer();
    data.setData("text/plain", wanted);
    box()?.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }

  const settled = () => new Promise((resolve) => { queueMicrotask(() => setTimeout(resolve, 0)); });
  /** The editor's observer has its turn; no timer, for those are slow in hidden tabs. */
  const read = async () => { for (let turn = 0; turn < 3; turn++) await null; };

  /**
   * Put the text in and read it back; true when the box holds exactly it. On false the box is empty again.
   * @param {string} wanted
   */
  async function insert(wanted) {
    for (const way of [whole, byLine, paste]) {
      clear();
      await settled();
      if (!focus()) return false;
      await way(wanted);
      await settled();
      if (holds(wanted)) return true;
    }
    clear();
    return false;
  }

  /** @param {string} wanted */
  function holds(wanted) {
    return text() === wanted;
  }

  return { box, text, isEmpty, clear, insert, holds };
}

/** @typedef {ReturnType<typeof createEditor>} Editor */
