// @ts-check
// One joined tab: an agent of its own with its own connection, and one job at a time. The lease and the record of what
// was sent are kept here; the page only does what it is told. Everything is written down before it is acted on, so a
// worker that dies anywhere goes on where it was.

import { fetchFiles, shareArtifact } from "./files.js";
import { Link, Refused, Unknown } from "./link.js";
import { load, TIMINGS, update } from "./store.js";
import { autoBudget, identity } from "./wire.js";

/** @typedef {import("./types.js").InHand} InHand */
/** @typedef {import("./types.js").Finished} Finished */
/** @typedef {import("./types.js").Tab} Tab */

const LEASE_S = 90;
const MOST_CHARS = 200_000;

/** Answers may be long; a hub's message holds 256 KiB. @param {string} text */
function fitting(text) {
  return text.length <= MOST_CHARS ? text : `${text.slice(0, MOST_CHARS)}\n\n(cut here: the answer is longer than a message)`;
}

/** @type {Finished} */
const NOT_THE_LAST = {
  outcome: "failed", error: "nothing-to-regenerate",
  text: "Only the newest question of a tab can be answered again, by the tab that answered it. Ask it anew.",
};

/**
 * Whether an event asks to stop the job: an answer to its question that says so, by who asked it or by a person.
 * @param {any} event @param {InHand} job
 */
const stops = ({ type, data }, job) => type === "message.posted" && data?.reply_to === job.job
  && data.metadata?.browser?.stop === true && (data.from === job.from || data.from_kind === "human");

/** What is known of the site's own request. */
const noNet = () => ({ startedAt: 0, endedAt: 0, status: 0, error: "" });

export class TabAgent {
  /**
   * @param {number} id the tab's @param {number} slot
   * @param {{changed: () => void, hubIsBack: () => void, selectors: () => Promise<any>, context: (room: string) => Promise<string>,
   *   personRooms: () => Promise<string[]>, left: (agent: TabAgent) => void}} around
   */
  constructor(id, slot, around) {
    this.id = id;
    this.slot = slot;
    this.around = around;
    /** @type {Link | null} */
    this.link = null;
    /** @type {chrome.runtime.Port | null} */
    this.port = null;
    /** @type {{id: string, phase: string} | null} what the page says it is doing */
    this.pageJob = null;
    this.net = noNet();
    this.request = "";
    /** @type {Record<string, any> | null} */
    this.health = null;
    this.welcomed = false; // the page takes no job before it was told its selectors
    this.pumping = false;
    this.again = false;
    this.gone = false;
    this.partial = "";
    this.told = "";
    this.ticking = setInterval(() => this.tick(), 1000);
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.losing = undefined;
    this.rooms = new Set();
  }

  get agent() {
    return this.name ?? "";
  }

  /** @type {string | undefined} */
  name = undefined;

  async tab() {
    return (await load()).tabs[this.id] ?? null;
  }

  async job() {
    return (await load()).jobs[this.slot] ?? null;
  }

  // --- the hub's side ---------------------------------------------------------------------------------------------

  async start() {
    const state = await load();
    if (this.gone || this.link || !state.paired) return;
    const slot = state.slots[this.slot] ?? (await this.enter());
    if (this.gone || this.link || !slot) return;
    this.name = slot.agent;
    this.link = new Link({
      url: state.paired.url,
      token: slot.token,
      rooms: true,
      cursor: slot.cursor,
      onOpen: () => void this.opened(),
      onEvents: (events, cursor) => void this.events(events, cursor),
      onTick: () => void this.keep(),
      onState: () => this.around.changed(),
      onRefused: () => void this.enterAgain(),
    });
  }

  /** A name and a token from the hub for this place. Null when the hub is away: the alarm tries again. */
  async enter() {
    const { paired, install } = await load();
    if (!paired) return null;
    try {
      const answer = await fetch(`${paired.url}/v1/browsers/enter`, {
        method: "POST",
        headers: { authorization: `Bearer ${paired.token}`, "content-type": "application/json" },
        body: JSON.stringify({ identity: await identity(install, this.slot), name: `browser-${this.slot}` }),
      });
      if (!answer.ok) return null;
      const { agent, token } = await answer.json();
      const slot = { agent, token, cursor: "" };
      await update((state) => { state.slots[this.slot] = slot; });
      return slot;
    } catch {
      return null;
    }
  }

  async enterAgain() {
    this.link?.stop();
    this.link = null;
    await update((state) => { delete state.slots[this.slot]; });
    await this.start();
  }

  async opened() {
    this.around.hubIsBack();
    await this.join();
    await this.keep();
    if (this.health) void this.link?.call("browsers.report", this.health).catch(() => {});
    await this.pump();
  }

  /** Be in the rooms the person chose: one, or all of theirs. */
  async join() {
    const tab = await this.tab();
    if (!tab || !this.link?.open) return;
    try {
      const mine = new Set((await this.link.call("rooms.list", {})).items.map((/** @type {any} */ r) => r.room));
      const wanted = tab.room ? [tab.room] : await this.around.personRooms();
      for (const room of wanted.filter((r) => !mine.has(r))) {
        await this.link.call("rooms.join", { room }).then(() => mine.add(room), () => {});
      }
      if (tab.room) {
        for (const room of [...mine].filter((r) => r !== tab.room)) {
          await this.link.call("rooms.leave", { room }).then(() => mine.delete(room), () => {});
        }
      }
      this.rooms = mine;
      this.around.changed();
    } catch (error) {
      if (!(error instanceof Unknown || error instanceof Refused)) throw error;
    }
  }

  /** @param {any[]} events @param {string} cursor */
  async events(events, cursor) {
    const mine = events.some((e) => e.type === "message.posted" && e.data?.kind === "question" && e.data.to?.includes(this.agent));
    await update((state) => { const slot = state.slots[this.slot]; if (slot) slot.cursor = cursor; });
    const job = await this.job();
    const closed = job !== null && events.some((e) => e.data?.message === job.job || e.data?.reply_to === job.job);
    if (job && events.some((e) => stops(e, job))) this.stop();
    if (mine) await this.pump();
    if (closed) await this.keep(); // taken back, or answered by hand: the hub says whether the job still stands
  }

  /** Every 20 s: keep the lease, join new rooms, look for work that no event told of. */
  async keep() {
    const job = await this.job();
    if (job && !job.result) await this.fenced(job, "jobs.extend", { lease_s: LEASE_S }, false);
    else await this.pump();
    await this.join();
  }

  /**
   * A step under the job's lease; false when the lease is lost and the job with it.
   * @param {InHand} job @param {string} op @param {Record<string, any>} fields @param {boolean} must
   */
  async fenced(job, op, fields, must) {
    const { room, lease_token } = job;
    const all = { room, job: job.job, lease_token, ...fields };
    try {
      await (must ? this.link?.insist(op, all, `${op}-${lease_token}`) : this.link?.call(op, all));
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) return true; // away: the job goes on, the hub hears of it later
      await this.forget(job, "closed elsewhere");
      return false;
    }
  }

  /** Take the next job, or go on with the one in hand. */
  async pump() {
    this.again = true;
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (this.again && !this.gone) {
        this.again = false;
        await this.step();
      }
    } finally {
      this.pumping = false;
    }
  }

  async step() {
    const job = (await this.job()) ?? (await this.claim());
    if (!job) return;
    if (job.result) await this.finish(job, job.result);
    else await this.hand(job);
  }

  async claim() {
    const tab = await this.tab();
    if (!tab || tab.paused || !this.port || !this.welcomed || !this.link?.open) return null;
    let claimed;
    try {
      claimed = await this.link.insist("jobs.claim", { lease_s: LEASE_S }, `claim-${crypto.randomUUID()}`);
    } catch {
      return null;
    }
    const leased = claimed.items[0];
    if (!leased) return null;
    const { conversation: wants, regenerate } = leased.question.metadata?.browser ?? {};
    const earlier = regenerate ? (await load()).last[this.slot] : undefined;
    const attached = leased.question.attachments ?? [];
    const chosen = tab.context ? (tab.files ?? []).filter((file) => file.room === leased.room && !attached.includes(file.id)) : [];
    const context = tab.context && !regenerate ? await this.around.context(leased.room) : "";
    /** @type {InHand} */
    const job = {
      job: leased.job, room: leased.room, lease_token: leased.lease_token, text: leased.question.text,
      prompt: earlier?.prompt ?? (context ? `${context}\n\n${leased.question.text}` : leased.question.text),
      from: leased.question.from, files: regenerate ? [] : [...attached, ...chosen.map((file) => file.id)], regenerate: Boolean(regenerate),
      fresh: !regenerate && (wants === "new" || (tab.fresh && wants !== "current")),
      submitted: leased.submitted, sent: null, pending: "", partial: "", at: Date.now(),
      result: regenerate && earlier?.job !== regenerate ? NOT_THE_LAST : null,
    };
    await update((state) => { state.jobs[this.slot] = job; });
    this.partial = this.told = "";
    this.around.changed();
    return job;
  }

  /** Give the page the job, unless it has it. @param {InHand} job */
  async hand(job) {
    if (!this.port || !this.welcomed || this.pageJob?.id === job.job) return;
    if (this.pageJob) this.post({ type: "drop", id: this.pageJob.id });
    const { prompt, from, room, fresh, sent, regenerate } = job;
    this.pageJob = { id: job.job, phase: "handed" };
    const files = job.submitted ? [] : await this.filesOf(job);
    if (!files) return;
    this.post({ type: job.submitted ? "watch" : "job", job: { id: job.job, text: prompt, from, room, fresh, sent, files, regenerate: Boolean(regenerate) } });
  }

  /** What the question brings along; null when it cannot be had, and the job has ended with that. @param {InHand} job */
  async filesOf(job) {
    try {
      const hub = await this.hub();
      return hub && job.files.length ? await fetchFiles(hub, job.room, job.files) : [];
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.pageJob = null;
      this.again = true;
      const failed = { outcome: "failed", error: "no-file", text };
      await update((state) => { const kept = state.jobs[this.slot]; if (kept?.job === job.job) kept.result ??= failed; });
      return null;
    }
  }

  async hub() {
    const { paired, slots } = await load();
    const slot = slots[this.slot];
    return paired && slot ? { url: paired.url, token: slot.token } : null;
  }

  /** Artifacts become files of the room; one that cannot be shared stands in the text. @param {InHand} job @param {Finished} result */
  async shared(job, result) {
    const hub = await this.hub();
    let text = result.text;
    const attachments = [];
    for (const [i, artifact] of (result.artifacts ?? []).entries()) {
      const listed = `\n\n**${artifact.title}**`;
      if (artifact.missing) { text += `${listed}: it could not be read; it is in the tab`; continue; }
      const file = hub && (await shareArtifact(hub, job.room, artifact, `artifact-${job.lease_token}-${i}`).catch(() => null));
      if (file) attachments.push(file.id);
      if (file || artifact.base64 !== undefined) {
        text += file ? `${listed}: file ${file.name}` : `${listed}: a file that the room did not take; it is in the tab`;
        continue;
      }
      const fence = "`".repeat(Math.max(3, ...(artifact.content.match(/`+/g) ?? []).map((run) => run.length + 1)));
      text += `${listed}\n\n${fence}${artifact.language}\n${artifact.content}\n${fence}`;
    }
    return { text: text.trim(), attachments };
  }

  /** @param {InHand} job @param {Finished} result */
  async finish(job, result) {
    const { text, attachments } = await this.shared(job, result);
    const fields = {
      room: job.room, job: job.job, lease_token: job.lease_token, outcome: result.outcome,
      text: fitting(text || "(no text)"), error: result.error, attachments,
    };
    try {
      await this.link?.insist("jobs.finish", fields, `finish-${job.lease_token}`);
    } catch (error) {
      if (!(error instanceof Refused)) return; // stopped: the result stays written down for the next worker
    }
    await this.forget(job, result.outcome, result.error);
  }

  /** The job is over here. @param {InHand} job @param {string} outcome @param {string} [error] */
  async forget(job, outcome, error = "") {
    await update((state) => {
      if (state.jobs[this.slot]?.job === job.job) delete state.jobs[this.slot];
      const { room, from, prompt } = job;
      state.last[this.slot] = { job: job.job, room, from, outcome, error, at: Date.now(), prompt };
    });
    if (this.pageJob?.id === job.job) {
      this.post({ type: "closed", id: job.job });
      this.post({ type: "drop", id: job.job });
      this.pageJob = null;
    }
    this.around.changed();
    void this.pump();
  }

  /** End the job in hand from here. @param {"failed" | "unknown"} outcome @param {string} error @param {string} text */
  async end(outcome, error, text) {
    const job = await this.job();
    if (!job || job.result) return;
    await this.result(job, { outcome, error, text });
  }

  /** @param {InHand} job @param {Finished} result */
  async result(job, result) {
    await update((state) => { const kept = state.jobs[this.slot]; if (kept?.job === job.job) kept.result ??= result; });
    await this.pump();
  }

  // --- the page's side --------------------------------------------------------------------------------------------

  /** @param {Record<string, any>} message */
  post(message) {
    try { this.port?.postMessage(message); } catch { this.port = null; }
  }

  /** @param {chrome.runtime.Port} port @param {any[]} early what it said before its tab was known */
  attach(port, early) {
    clearTimeout(this.losing);
    this.port = port;
    this.welcomed = false;
    this.pageJob = null;
    port.onDisconnect.addListener(() => {
      void chrome.runtime.lastError;
      if (this.port !== port) return;
      this.port = null;
      this.pageJob = null;
      void this.watchLoss();
      this.around.changed();
    });
    port.onMessage.addListener((message) => void this.heard(message, port));
    for (const message of early) void this.heard(message, port);
  }

  /** The page has had no script of ours for a while: gone, or somewhere else. */
  async lost() {
    if (this.port || this.gone) return;
    const tab = await chrome.tabs.get(this.id).catch(() => null);
    if (!tab?.url?.startsWith("https://claude.ai/")) { this.around.left(this); return; }
    await inject(this.id);
    await this.watchLoss();
  }

  async watchLoss() {
    const { options } = await load();
    clearTimeout(this.losing);
    this.losing = setTimeout(() => void this.lost(), options.timings.portMs ?? TIMINGS.portMs);
  }

  /** @param {any} message @param {chrome.runtime.Port} port */
  async heard(message, port) {
    if (this.port !== port) return;
    const job = await this.job();
    const ours = job !== null && message.id === job.job;
    switch (message.type) {
      case "hello": return await this.hello(message);
      case "idle": this.pageJob = null; return await this.pump();
      case "health": return this.reported(message);
      case "assist": return await this.setMode("assist"); // a page may only take the leave away, never give it
      case "inserted": if (ours) await this.note(job, { sent: message.sent }); return;
      case "where": if (ours && job.sent) await this.note(job, { sent: { ...job.sent, path: message.path } }); return;
      case "fresh": if (ours) await this.note(job, { fresh: false }); return;
      case "pending": if (ours) await this.progress(job, message.why, this.partial); return;
      case "partial": if (ours) await this.progress(job, "", message.text); return;
      case "ask-send": if (ours) await this.maySend(job); return;
      case "sent": if (ours) await this.wasSent(job, message.sent); return;
      case "done":
        if (!ours) { this.post({ type: "closed", id: message.id }); return; }
        return await this.result(job, {
          outcome: message.outcome, text: message.text, error: message.error, artifacts: message.artifacts ?? [],
        });
    }
  }

  /** @param {any} message */
  async hello(message) {
    const port = this.port;
    this.pageJob = message.current;
    const { options } = await load();
    const tab = await this.tab();
    await update((state) => { const t = state.tabs[this.id]; if (t) t.path = message.path; });
    this.post({
      type: "welcome", selectors: await this.around.selectors(), timings: { ...TIMINGS, ...options.timings },
      mode: tab?.mode ?? "assist", agent: this.agent,
    });
    this.welcomed = this.port === port;
    // A new page knows nothing of a request that ended with the old one; a new worker knows nothing of one under way.
    this.post({ type: "net", state: this.net.error && !message.current ? noNet() : this.net });
    const job = await this.job();
    if (message.current && message.current.id !== job?.job) {
      this.post({ type: "closed", id: message.current.id });
      this.post({ type: "drop", id: message.current.id });
      this.pageJob = null;
    }
    this.around.changed();
    await this.pump();
  }

  /** @param {any} message */
  reported({ type: _type, ...found }) {
    const health = { version: chrome.runtime.getManifest().version, ...found };
    this.health = health;
    void this.link?.call("browsers.report", health).catch(() => {});
    this.around.changed();
  }

  /** @param {InHand} job @param {Partial<InHand>} change */
  async note(job, change) {
    await update((state) => { const kept = state.jobs[this.slot]; if (kept?.job === job.job) Object.assign(kept, change); });
  }

  /** @param {InHand} job @param {string} pending @param {string} partial */
  async progress(job, pending, partial) {
    this.partial = partial;
    if (job.pending !== pending) { await this.note(job, { pending }); this.around.changed(); }
    void this.fenced(job, "jobs.progress", { pending, partial: fitting(partial), lease_s: LEASE_S }, false);
  }

  /** Assist: the person presses Send. Auto: first record at the hub that it is about to be sent, then say so. @param {InHand} job */
  async maySend(job) {
    const tab = await this.tab();
    if (tab?.mode !== "auto") { this.post({ type: "go", id: job.job, word: "assist" }); return; }
    const { autoSent, options } = await load();
    const { recent, waitMs } = autoBudget(autoSent, options.autoPerHour, Date.now());
    if (waitMs > 0 && !job.submitted) {
      this.post({ type: "hold", id: job.job, why: `waiting: ${options.autoPerHour} prompts an hour are sent by themselves` });
      setTimeout(() => void this.maySendLater(job.job), Math.min(waitMs, 30_000));
      return;
    }
    if (!(await this.fenced(job, "jobs.submit", {}, true))) return;
    await update((state) => {
      const kept = state.jobs[this.slot];
      if (kept?.job === job.job) kept.submitted = true;
      state.autoSent = [...recent, Date.now()];
    });
    this.net = noNet();
    this.post({ type: "go", id: job.job, word: (await this.tab())?.mode === "auto" ? "send" : "assist" });
  }

  /** @param {string} id */
  async maySendLater(id) {
    const job = await this.job();
    if (job?.job === id && !job.result) await this.maySend(job);
  }

  /** @param {InHand} job @param {import("./types.js").Sent} sent */
  async wasSent(job, sent) {
    await this.note(job, { submitted: true, sent });
    if (await this.fenced(job, "jobs.submit", {}, true)) this.post({ type: "heard", what: "sent" });
  }

  /** The site's own requests say when an answer begins and ends, without any selector. */
  network(/** @type {"start" | "end" | "error"} */ what, /** @type {string} */ request, /** @type {number} */ status, /** @type {string} */ error) {
    if (what === "start") {
      this.request = request;
      this.net = { startedAt: Date.now(), endedAt: 0, status: 0, error: "" };
    } else if (request === this.request || !this.request) { // or it began before this worker was there
      this.net = { ...this.net, endedAt: Date.now(), status, error };
    }
    this.post({ type: "net", state: this.net });
  }

  tick() {
    if (this.pageJob) this.post({ type: "tick" });
  }

  // --- what the person does ---------------------------------------------------------------------------------------

  /** @param {import("./types.js").Mode} mode */
  async setMode(mode) {
    await update((state) => { const tab = state.tabs[this.id]; if (tab) tab.mode = mode; });
    this.post({ type: "mode", mode });
    this.around.changed();
  }

  stop() {
    this.post({ type: "stop" });
  }

  /** Close the tab's part: whoever waits for it gets an answer now, not never. @param {string} error @param {string} text */
  async leave(error, text) {
    this.gone = true;
    clearInterval(this.ticking);
    clearTimeout(this.losing);
    this.post({ type: "bye" });
    const job = await this.job();
    const link = this.link;
    if (job) await this.finish(job, job.result ?? { outcome: job.submitted ? "unknown" : "failed", error, text });
    for (let i = 0; link?.open && i < 50; i++) {
      const leased = (await link.call("jobs.claim", { lease_s: LEASE_S }).catch(() => null))?.items[0];
      if (!leased) break;
      const { room, job: id, lease_token } = leased;
      await link.call("jobs.finish", { room, job: id, lease_token, outcome: "failed", error, text }).catch(() => {});
    }
    link?.stop();
    this.link = null;
  }
}

/** Put the page's scripts into a tab that has none: opened before the installation, or orphaned by an update. @param {number} tabId */
export async function inject(tabId) {
  const files = chrome.runtime.getManifest().content_scripts?.[0]?.js ?? [];
  await chrome.scripting.executeScript({ target: { tabId }, files }).catch(() => {});
}
