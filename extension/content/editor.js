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

  /** Type it: a paragraph per empty line, a line break per line. @param {string} wanted @param {boolean} guarded */
  function type(wanted, guarded) {
    const put = (/** @type {string} */ line) => {
      if (!line) return;
      if (!guarded) {
        page.execCommand("insertText", false, line);
        return;
      }
      // The shortcuts look at what stands before the caret: a letter there hides the mark that would set one off.
      page.execCommand("insertText", false, line + "x");
      page.execCommand("delete");
    };
    wanted.split("\n\n").forEach((paragraph, i) => {
      if (i) page.execCommand("insertParagraph");
      paragraph.split("\n").forEach((line, j) => {
        if (j) page.execCommand("insertLineBreak");
        put(line);
      });
    });
  }

  /** @param {string} wanted */
  function paste(wanted) {
    const data = new DataTransfer();
    data.setData("text/plain", wanted);
    box()?.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  }

  const settled = () => new Promise((resolve) => { queueMicrotask(() => setTimeout(resolve, 0)); });

  /**
   * Put the text in and read it back; true when the box holds exactly it. On false the box is empty again.
   * @param {string} wanted
   */
  async function insert(wanted) {
    const ways = [() => type(wanted, false), () => type(wanted, true), () => paste(wanted)];
    for (const way of ways) {
      clear();
      await settled();
      if (!focus()) return false;
      way();
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
