// @ts-check
// The strip at the top of the page: what the bridge is doing in this tab, and how to stop it.

/**
 * @param {Document} page
 */
function createBanner(page) {
  page.querySelectorAll("[data-bridge=banner]").forEach((old) => old.remove());
  const host = page.createElement("div");
  host.setAttribute("data-bridge", "banner");
  const root = host.attachShadow({ mode: "closed" });
  const style = new CSSStyleSheet();
  style.replaceSync(`
    :host { all: initial; }
    .strip { position: fixed; z-index: 2147483000; top: 8px; left: 50%; transform: translateX(-50%); display: flex; gap: 12px;
      align-items: center; max-width: 90vw; padding: 8px 14px; border-radius: 10px; font: 14px/1.4 system-ui, sans-serif;
      background: #1d2733; color: #f4f7fa; box-shadow: 0 2px 12px rgb(0 0 0 / 35%); }
    .auto { background: #7a3b00; }
    button { font: inherit; padding: 4px 10px; border-radius: 6px; border: 1px solid currentColor; background: none;
      color: inherit; cursor: pointer; }
    button:focus-visible { outline: 2px solid #ffd166; outline-offset: 2px; }`);
  root.adoptedStyleSheets = [style];
  const strip = page.createElement("div");
  strip.className = "strip";
  strip.setAttribute("role", "status");
  root.append(strip);

  return {
    /**
     * @param {string} text
     * @param {{label: string, act: () => void}[]} buttons
     * @param {boolean} auto
     */
    show(text, buttons, auto) {
      strip.className = auto ? "strip auto" : "strip";
      const words = page.createElement("span");
      words.textContent = text;
      const made = buttons.map(({ label, act }) => {
        const button = page.createElement("button");
        button.textContent = label;
        button.type = "button";
        button.addEventListener("click", (event) => { if (event.isTrusted) act(); });
        return button;
      });
      strip.replaceChildren(words, ...made);
      if (!host.isConnected) page.documentElement.append(host);
    },
    hide() {
      host.remove();
    },
  };
}

/** @typedef {ReturnType<typeof createBanner>} Banner */
