// @ts-check
// One prompt at a time through the page: put it in, have it sent, wait for its answer. The page's side of a job; the
// lease is the service worker's. Send is pressed only on the worker's word, and at most once per job.

/** @typedef {{path: string, origin: number, same: number}} Sent where a prompt went in: conversation, document, equals before */
/** @typedef {{id: string, text: string, from: string, room: string, fresh: boolean, sent: Sent | null, regenerate: boolean,
 *   files: {name: string, type: string, base64: string}[]}} PageJob */
/** @typedef {{code: string, outcome: "failed" | "unknown", message: string}} PageFailure */
/** @typedef {{startedAt: number, endedAt: number, status: number, error: string}} NetState */

/** @typedef {Record<"readyMs" | "buttonMs" | "sendMs" | "quietMs" | "graceMs" | "partialMs" | "lostNetMs" | "emptyMs" | "silentMs"
 *   | "artifactMs" | "findMs" | "healthMs" | "uploadMs", number>} Timings */

var MOST_DOWNLOAD_BYTES = 20 * 2 ** 20; // var: these scripts may be injected again into the same page

/** @param {string} code @param {string} message @param {"failed" | "unknown"} [outcome] */
function pageFailure(code, message, outcome = "failed") {
  return Object.assign(new Error(message), { failure: { code, message, outcome } });
}

function noNet() {
  return { startedAt: 0, endedAt: 0, status: 0, error: "" };
}

/**
 * @param {{finder: Finder, editor: Editor, turns: Turns, banner: Banner, page: Document,
 *   say: (message: Record<string, any>) => void, timings: Timings}} parts
 */
function createDriver({ finder, editor, turns, banner, page, say, timings }) {
  /** @type {PageJob | null} */
  let job = null;
  let phase = "idle";
  /** @type {"" | "send" | "assist"} the worker's word */
  let word = "";
  let dropped = false, declined = false, stopAsked = false;
  let pendingShown = "";
  /** @type {NetState} */
  let net = noNet();
  /** @type {Record<string, any> | null} what the worker must hear even after it was away */
  let unheard = null;
  /** @type {Set<() => void>} */
  const waiting = new Set();
  let typedAt = 0;
  let attached = ""; // the job whose files this page has

  const poke = () => { for (const look of [...waiting]) look(); };
  const observer = new MutationObserver(poke);
  observer.observe(page.documentElement, { subtree: true, childList: true, characterData: true, attributes: true });
  const typed = (/** @type {Event} */ event) => { if (event.isTrusted) typedAt = Date.now(); };
  page.addEventListener("keydown", typed, true);
  // A person's Stop is seen here too: the site's request may have ended while no worker was there to see it.
  const pressed = (/** @type {Event} */ event) => {
    const on = event.target instanceof Element ? event.target.closest("button") : null;
    if (event.isTrusted && phase !== "idle" && on && finder.all("stop").includes(on)) stopAsked = true;
  };
  page.addEventListener("click", pressed, true);

  /**
   * Wait until `check` gives something; null when the time is over. Throws when the job is dropped.
   * @template T
   * @param {() => T | null | false | undefined | ""} check
   * @param {number} [ms]
   * @returns {Promise<T | null>}
   */
  function until(check, ms = Infinity) {
    const began = Date.now();
    return new Promise((resolve, reject) => {
      const end = () => { waiting.delete(look); clearInterval(timer); };
      const look = () => {
        try {
          if (dropped) throw pageFailure("dropped", "the job was taken back");
          const found = check();
          if (found) { end(); resolve(found); } else if (Date.now() - began > ms) { end(); resolve(null); }
        } catch (error) { end(); reject(error); }
      };
      const timer = setInterval(look, 200);
      waiting.add(look);
      look();
    });
  }

  /** @param {Record<string, any>} message */
  function insist(message) {
    unheard = message;
    say(message);
  }

  /** @param {string} why */
  function pending(why) {
    if (why === pendingShown) return;
    pendingShown = why;
    say({ type: "pending", id: job?.id, why });
  }

  function problem() {
    if (editor.box()) return "";
    return finder.has("login") || page.location.pathname.startsWith("/login") ? "not-logged-in" : "page-changed";
  }

  const streaming = () => finder.has("streaming") || finder.has("stop");

  // --- before Send ------------------------------------------------------------------------------------------------

  async function pageReady() {
    const login = () => page.location.pathname.startsWith("/login") && finder.has("login");
    await until(() => editor.box() || login(), timings.readyMs);
    if (editor.box()) return;
    throw problem() === "not-logged-in"
      ? pageFailure("not-logged-in", "Claude is not logged in in this tab: a person must log in there.")
      : pageFailure("page-changed", "The page has no text box where one was expected: it changed, or it shows something else.");
  }

  async function newConversation(/** @type {PageJob} */ now) {
    if (!now.fresh || page.location.pathname === "/new") return;
    say({ type: "fresh", id: now.id });
    const link = finder.one("newChat");
    if (link) link.click();
    else page.location.assign("/new");
    await until(() => page.location.pathname === "/new" && editor.box() && !turns.questions().length, timings.readyMs);
  }

  async function boxFree(/** @type {PageJob} */ now) {
    await until(() => {
      if (streaming()) pending("waiting: another answer is being written in this tab");
      else if (!editor.isEmpty() && !editor.holds(now.text)) pending("waiting for a person: there is a draft in the box");
      else return true;
      return false;
    });
  }

  /** Give the page the question's files, as if a person chose them. */
  async function attach(/** @type {PageJob} */ now) {
    if (!now.files?.length) return;
    const input = /** @type {HTMLInputElement | null} */ (finder.one("upload"));
    if (!input) throw pageFailure("page-changed", "The page has no place for files where one was expected.");
    const data = new DataTransfer();
    for (const { name, type, base64 } of now.files) {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      data.items.add(new File([bytes], name, { type }));
    }
    input.files = data.files;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
    attached = now.id;
    const names = now.files.map((file) => file.name);
    const shown = await until(() => names.every((name) => (page.body.textContent ?? "").includes(name)), timings.uploadMs);
    if (!shown) throw pageFailure("page-changed", "The page did not take the question's files.");
  }

  async function putIn(/** @type {PageJob} */ now) {
    const began = Date.now();
    if (editor.holds(now.text) || await editor.insert(now.text)) return;
    if (typedAt >= began) throw pageFailure("person-took-over", "Someone typed in the tab while the prompt was put in.");
    throw pageFailure("insert-failed", "The page's text box did not take the prompt exactly, so nothing was sent.");
  }

  /** What a look at the page says about Send: our prompt went, something else went, or nothing yet. */
  function whatWent(/** @type {PageJob} */ now, /** @type {Set<Element>} */ before) {
    const last = turns.last();
    if (editor.holds(now.text) || !last || before.has(last)) return null;
    if (turns.asks(last, now.text)) return last;
    if (squeezed(plainText(last)) === "") return null; // drawn, not yet filled
    throw pageFailure("person-took-over", "A person sent something else in this tab, so this question was not asked.");
  }

  async function personSends(/** @type {PageJob} */ now, /** @type {Set<Element>} */ before) {
    pending("waiting for a person");
    banner.show(`${now.from} asks in ${now.room}: read it and press Send.`, [
      { label: "Decline", act: () => { declined = true; poke(); } },
    ], false);
    const question = await until(() => {
      limited();
      refused();
      if (editor.isEmpty() && !streaming() && page.location.pathname !== now.sent?.path && !turns.last()) return "again";
      return whatWent(now, before);
    });
    if (question === "again") return null; // the page moved on with an empty box: put it in again
    insist({ type: "sent", id: now.id, sent: now.sent });
    return /** @type {Element} */ (question);
  }

  async function pressSend(/** @type {PageJob} */ now, /** @type {Set<Element>} */ before) {
    if (!editor.holds(now.text)) throw pageFailure("person-took-over", "Someone changed the prompt before it was sent.");
    const button = await until(() => {
      const found = /** @type {HTMLButtonElement | null} */ (finder.one("send"));
      return found && !found.disabled && found.getAttribute("aria-disabled") !== "true" ? found : null;
    }, timings.buttonMs);
    if (!button) throw pageFailure("page-changed", "There is no Send button where one was expected.");
    phase = "sent"; // from here on never again
    net = noNet();
    button.click();
    const question = await until(() => { limited(); return whatWent(now, before); }, timings.sendMs);
    if (question) return question;
    if (editor.holds(now.text) && !net.startedAt) {
      throw pageFailure("not-sent", "Send was pressed once and the page did nothing.");
    }
    throw pageFailure("no-question", "Send was pressed, but the page does not show the question.", "unknown");
  }

  function refused() {
    if (!declined) return;
    throw stopAsked ? pageFailure("stopped", "The question was stopped before it was sent.")
      : pageFailure("declined", "The person at the browser declined the question.");
  }

  function limited() {
    if (net.status === 429) {
      const words = finder.one("limit")?.textContent?.trim();
      throw pageFailure("limit-reached", `Claude's usage limit is reached${words ? `: ${words}` : "."}`);
    }
    if (net.status >= 400) throw pageFailure("site-error", `The site answered with an error (${net.status}).`);
  }

  // --- after Send -------------------------------------------------------------------------------------------------

  /**
   * Wait for the end of the answer to `first`. `seen`: this page was there from the beginning.
   * @param {PageJob} now @param {Element} first @param {boolean} seen
   */
  async function answerTo(now, first, seen) {
    let question = first, path = page.location.pathname, before = "", partial = "";
    let changedAt = Date.now(), goneAt = 0, partialAt = 0, quietSince = 0;
    const answers = await until(() => {
      limited();
      const at = Date.now();
      if (!question.isConnected) question = turns.newest(now.text) ?? question;
      if (!question.isConnected) {
        goneAt ||= at;
        if (at - goneAt > timings.graceMs) {
          throw pageFailure("navigated-away", "The tab left the conversation before the answer was complete.", "unknown");
        }
        return null;
      }
      goneAt = 0;
      if (path !== page.location.pathname) {
        path = page.location.pathname;
        say({ type: "where", id: now.id, path });
      }
      const parts = turns.after(question);
      const raw = parts.map((part) => part.textContent).join("\n");
      if (raw !== before) { before = raw; changedAt = at; }
      const busy = streaming();
      if (busy) { seen = true; quietSince = 0; } else quietSince ||= at;
      if (raw && at - partialAt > timings.partialMs) {
        partialAt = at;
        const text = answerMarkdown(finder, parts);
        if (text !== partial) { partial = text; say({ type: "partial", id: now.id, text }); }
      }
      const quiet = at - Math.max(changedAt, quietSince || at) >= timings.quietMs && !busy;
      if (quiet && (net.error || stopAsked)) {
        throw pageFailure("stopped", stoppedText(answerMarkdown(finder, parts)));
      }
      const open = net.startedAt && !net.endedAt;
      if (quiet && raw && (!open || at - changedAt > timings.lostNetMs)) return parts;
      if (quiet && !raw && net.endedAt && at - net.endedAt > timings.emptyMs) {
        throw pageFailure("empty-answer", "Claude's answer was empty.");
      }
      if (at - changedAt > timings.silentMs) {
        throw pageFailure("timed-out", "Nothing happened for a long time; the answer may still come in the tab.", "unknown");
      }
      return null;
    });
    const text = answerMarkdown(finder, answers ?? []);
    const artifacts = [...await artifactsOf(answers ?? []), ...await downloadsOf(answers ?? [])];
    if (seen) return { outcome: "answered", text, error: "", artifacts };
    return {
      outcome: "unknown", error: "page-reloaded", artifacts,
      text: `The page was loaded again while Claude answered. What it shows may be incomplete:\n\n${text}`,
    };
  }

  /** @param {string} partial */
  function stoppedText(partial) {
    return partial ? `The answer was stopped. Until then it said:\n\n${partial}` : "The answer was stopped before it began.";
  }

  /** Artifacts stand beside the answer: open each, read it, close it. @param {Element[]} answers */
  async function artifactsOf(answers) {
    const found = [];
    for (const card of answers.flatMap((answer) => finder.all("artifactCard", answer))) {
      const title = card.getAttribute("data-title") || card.querySelector("h3, h4, [data-testid=artifact-title]")?.textContent?.trim()
        || "Artifact";
      /** @type {HTMLElement} */ (card.matches("button, [role=button]") ? card : card.querySelector("button, [role=button]") ?? card).click();
      const panel = await until(() => {
        const open = finder.one("artifactPanel");
        return open && open.querySelector("pre") && (open.textContent ?? "").includes(title) ? open : null;
      }, timings.artifactMs);
      const pre = panel?.querySelector("pre");
      if (!panel || !pre) { found.push({ title, language: "", content: "", missing: true }); continue; }
      const code = pre.querySelector("code") ?? pre;
      found.push({ title, language: languageOf(code, pre, panel), content: plainText(code).replace(/\n$/, "") });
      finder.one("artifactClose")?.click();
    }
    return found;
  }

  /** Files that the answer offers to download, read where the site keeps them. @param {Element[]} answers */
  async function downloadsOf(answers) {
    const found = new Map();
    for (const link of answers.flatMap((answer) => finder.all("download", answer))) {
      if (!(link instanceof HTMLAnchorElement) || found.has(link.href)) continue;
      const title = link.download || decodeURIComponent(new URL(link.href).pathname.split("/").pop() ?? "") || "download";
      const base64 = await bytesAt(link.href).catch(() => null);
      found.set(link.href, base64 === null
        ? { title, language: "", content: "", missing: true } : { title, language: "", content: "", base64 });
    }
    return [...found.values()];
  }

  /** Bytes of the site's own address, as base64. Throws when they are elsewhere or too many. @param {string} href */
  async function bytesAt(href) {
    if (!["blob:", "data:"].includes(new URL(href).protocol) && new URL(href).origin !== page.location.origin) throw new Error("elsewhere");
    const answer = await fetch(href);
    const blob = await answer.blob();
    if (!answer.ok || blob.size > MOST_DOWNLOAD_BYTES) throw new Error("not readable");
    const reader = new FileReader();
    await new Promise((done) => { reader.onloadend = done; reader.readAsDataURL(blob); });
    return String(reader.result).replace(/^[^,]*,?/, "");
  }

  // --- the job ----------------------------------------------------------------------------------------------------

  async function prompt(/** @type {PageJob} */ now) {
    await pageReady();
    if (now.sent && turns.count(now.text) > now.sent.same) { // an earlier attempt put it in and a person sent it
      insist({ type: "sent", id: now.id, sent: now.sent });
      return await look(now);
    }
    await newConversation(now);
    for (;;) {
      await boxFree(now);
      const before = new Set(turns.questions());
      now.sent = { path: page.location.pathname, origin: performance.timeOrigin, same: turns.count(now.text) };
      net = noNet();
      say({ type: "inserted", id: now.id, sent: now.sent });
      if (!(attached === now.id)) await attach(now);
      await putIn(now);
      const question = (await maySend(now)) ? await pressSend(now, before) : await personSends(now, before);
      if (!question) continue;
      return await answering(now, question);
    }
  }

  /** Whether the button may be pressed by itself, as the worker says; a person presses it otherwise. */
  async function maySend(/** @type {PageJob} */ now) {
    phase = "ready";
    word = "";
    insist({ type: "ask-send", id: now.id, sent: now.sent });
    await until(() => word || declined);
    refused();
    unheard = null;
    return /** @type {string} */ (word) === "send";
  }

  /** The answer that is being written to a question that was just put. */
  async function answering(/** @type {PageJob} */ now, /** @type {Element} */ question) {
    phase = "answering";
    pending("");
    banner.show(`Claude is answering ${now.from}.`, [{ label: "Stop", act: stop }], false);
    return await answerTo(now, question, true);
  }

  /** Another answer to the newest question on the page: Retry is pressed as Send is, on the worker's word or by a person. */
  async function again(/** @type {PageJob} */ now) {
    await pageReady();
    await until(() => !streaming() || void pending("waiting: another answer is being written in this tab"));
    const question = turns.last();
    if (!question || !turns.asks(question, now.text)) {
      throw pageFailure("nothing-to-regenerate", "The tab does not show that question as its newest any more.");
    }
    const old = turns.after(question);
    const before = old.map((part) => part.textContent).join("\n");
    now.sent = { path: page.location.pathname, origin: performance.timeOrigin, same: 0 };
    net = noNet();
    say({ type: "inserted", id: now.id, sent: now.sent });
    const alone = await maySend(now);
    if (alone) pressRetry(question);
    else {
      pending("waiting for a person");
      banner.show(`${now.from} in ${now.room} asks for another answer: press Retry under the last one.`, [
        { label: "Decline", act: () => { declined = true; poke(); } },
      ], false);
    }
    const begun = await until(() => {
      limited();
      refused();
      const last = turns.last();
      if (last && !turns.asks(last, now.text)) {
        throw pageFailure("person-took-over", "A person sent something else in this tab, so this question was not asked.");
      }
      const parts = turns.after(last ?? question);
      return streaming() || parts.some((part) => !old.includes(part)) || parts.map((part) => part.textContent).join("\n") !== before;
    }, alone ? timings.sendMs : Infinity);
    if (!begun && net.startedAt) throw pageFailure("no-trace", "Retry was pressed, but the page shows no new answer.", "unknown");
    if (!begun) throw pageFailure("not-sent", "Retry was pressed once and the page did nothing.");
    if (!alone) insist({ type: "sent", id: now.id, sent: now.sent });
    return await answering(now, turns.newest(now.text) ?? question);
  }

  function pressRetry(/** @type {Element} */ question) {
    const button = finder.all("retry").reverse()
      .find((one) => question.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
    if (!button) throw pageFailure("page-changed", "There is no Retry button where one was expected.");
    phase = "sent"; // from here on never again
    net = noNet();
    /** @type {HTMLElement} */ (button).click();
  }

  /** An earlier attempt sent the prompt: find its answer, never send. */
  async function look(/** @type {PageJob} */ now) {
    phase = "answering";
    await pageReady();
    const { path, origin, same } = now.sent ?? { path: "", origin: 0, same: 0 };
    const elsewhere = path.startsWith("/chat/") && page.location.pathname !== path;
    const question = elsewhere ? null : await until(
      () => (turns.count(now.text) > same ? turns.newest(now.text) : null), timings.findMs);
    if (!question) {
      throw pageFailure("no-trace", "The prompt was sent, but the tab does not show it any more, so its answer is unknown.", "unknown");
    }
    const ended = net.endedAt > 0 && net.status === 200; // the site had finished before the page was loaded again
    if (now.regenerate && !ended && !streaming()) { // what stands there may be the answer that was not wanted
      throw pageFailure("no-trace", "Another answer was asked for, but the page does not tell it from the one before.", "unknown");
    }
    return await answerTo(now, question, ended || origin === performance.timeOrigin);
  }

  /** @param {PageJob} now @param {(now: PageJob) => Promise<{outcome: string, text: string, error: string, artifacts: any[]}>} way */
  async function work(now, way) {
    job = now;
    phase = "inserting";
    [dropped, declined, stopAsked, pendingShown, word, unheard] = [false, false, false, "", "", null];
    let result;
    try {
      result = await way(now);
    } catch (error) {
      const failure = /** @type {any} */ (error).failure ?? { code: "extension-error", outcome: "unknown", message: String(error) };
      if (editor.holds(now.text)) editor.clear();
      result = failure.code === "dropped" ? null : { outcome: failure.outcome, text: failure.message, error: failure.code };
    }
    banner.hide();
    phase = "done";
    if (result) insist({ type: "done", id: now.id, ...result });
    else idle();
  }

  function idle() {
    job = null;
    phase = "idle";
    unheard = null;
    say({ type: "idle" });
  }

  function stop() {
    stopAsked = true;
    finder.one("stop")?.click();
    if (phase === "ready" || phase === "inserting") { declined = true; }
    poke();
  }

  return {
    problem,
    poke,
    stop,
    current: () => (job ? { id: job.id, phase } : null),
    start: (/** @type {PageJob} */ now) => { if (!job) void work(now, now.regenerate ? again : prompt); },
    watch: (/** @type {PageJob} */ now) => { if (!job) void work(now, look); },
    go: (/** @type {string} */ id, /** @type {"send" | "assist"} */ said) => {
      if (job?.id === id && phase === "ready" && !word) { word = said; poke(); }
    },
    hold: (/** @type {string} */ id, /** @type {string} */ why) => { if (job?.id === id) pending(why); },
    drop: (/** @type {string} */ id) => {
      if (job?.id !== id) return;
      if (phase === "answering") finder.one("stop")?.click(); // nobody waits for it any more
      dropped = true;
      poke();
      if (phase === "done") idle();
    },
    closed: (/** @type {string} */ id) => { if (job?.id === id && phase === "done") idle(); },
    heard: (/** @type {string} */ type) => { if (unheard?.type === type) unheard = null; },
    resay: () => { if (unheard) say(unheard); },
    net: (/** @type {NetState} */ state) => { net = state; poke(); },
    end: () => {
      observer.disconnect();
      page.removeEventListener("keydown", typed, true);
      page.removeEventListener("click", pressed, true);
      banner.hide();
      dropped = true;
      poke();
    },
  };
}

/** @typedef {ReturnType<typeof createDriver>} Driver */
