// @ts-check
// Wires the page's parts to the service worker over one port, and takes itself out when the extension was updated.

(() => {
  const page = document;
  const marker = "bridgeEnd";
  /** @type {any} */ (globalThis)[marker]?.();

  /** @type {chrome.runtime.Port | null} */
  let port = null;
  /** @type {Driver | null} */
  let driver = null;
  /** @type {Finder | null} */
  let finder = null;
  let ended = false, auto = false, wanted = false;
  const banner = createBanner(page);

  /** @param {Record<string, any>} message */
  const say = (message) => {
    try { port?.postMessage(message); } catch { connect(); }
  };

  function end() {
    ended = true;
    driver?.end();
    banner.hide();
    port?.disconnect();
  }
  /** @type {any} */ (globalThis)[marker] = end;

  function connect() {
    if (ended || port) return;
    if (!chrome.runtime?.id) { end(); return; } // orphaned by an update: the new version has its own script here
    try {
      port = chrome.runtime.connect({ name: "tab" });
    } catch { end(); return; }
    port.onMessage.addListener(heard);
    port.onDisconnect.addListener(() => {
      void chrome.runtime?.lastError;
      port = null;
      if (wanted) setTimeout(connect, 200); // revives a worker that was put to sleep
    });
    hello();
  }

  function hello() {
    say({
      type: "hello", path: location.pathname, origin: performance.timeOrigin, title: page.title,
      current: driver?.current() ?? null,
    });
  }

  /** @param {SelectorList} list @param {Timings} timings */
  function prepare(list, timings) {
    if (driver) return;
    finder = createFinder(list, page);
    const editor = createEditor(finder, page);
    driver = createDriver({ finder, editor, turns: createTurns(finder), banner, page, say, timings });
  }

  /** Whether the page's parts are where the list says, once it had time to draw itself. */
  function report() {
    if (!finder || !driver) return;
    say({ type: "health", ...healthOf(finder.list, finder.selfTest(), driver.problem()) });
  }

  function showMode() {
    if (!auto) { if (!driver?.current()) banner.hide(); return; }
    if (!driver?.current()) {
      banner.show("Multi-Agent Bridge sends in this tab by itself.", [{ label: "Stop", act: () => say({ type: "assist" }) }], true);
    }
  }

  /** @param {any} message */
  function heard(message) {
    switch (message.type) {
      case "welcome":
        prepare(message.selectors, message.timings);
        auto = message.mode === "auto";
        driver?.resay();
        showMode();
        setTimeout(report, message.timings.healthMs);
        return;
      case "ping": say({ type: "pong" }); return;
      case "tick": driver?.poke(); return;
      case "job": driver?.start(message.job); return;
      case "watch": driver?.watch(message.job); return;
      case "go": driver?.go(message.id, message.word); return;
      case "hold": driver?.hold(message.id, message.why); return;
      case "heard": driver?.heard(message.what); return;
      case "closed": driver?.closed(message.id); showMode(); return;
      case "drop": driver?.drop(message.id); return;
      case "stop": driver?.stop(); return;
      case "net": driver?.net(message.state); return;
      case "selftest": report(); return;
      case "mode": auto = message.mode === "auto"; showMode(); return;
      case "bye": wanted = false; driver?.end(); driver = null; banner.hide(); port?.disconnect(); port = null; return;
    }
  }

  // A tab that did not join keeps no port open, so it keeps no worker awake.
  chrome.runtime.onMessage.addListener((message, sender) => {
    if (ended || sender.id !== chrome.runtime.id || message?.type !== "connect") return;
    wanted = true;
    connect();
  });
  chrome.runtime.sendMessage({ type: "present" }).then((answer) => {
    if (!answer?.joined) return;
    wanted = true;
    connect();
  }).catch(() => {});
})();
