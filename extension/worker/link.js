// @ts-check
// One WebSocket to the hub for one agent: calls with answers, events from a cursor, and coming back after anything.

import { backoffMs, PING_MS, protocols, socketUrl } from "./wire.js";

/** What the hub refused, with its stable code. */
export class Refused extends Error {
  /** @param {{code: string, detail?: string, status?: number}} problem */
  constructor(problem) {
    super(problem.detail ?? problem.code);
    this.code = problem.code;
    this.status = problem.status ?? 0;
  }
}

/** The socket broke before the answer came: whether it happened is unknown, so the same call is repeated. */
export class Unknown extends Error {}

/**
 * @typedef {{url: string, token: string, rooms: boolean, cursor: string,
 *   onOpen: () => void, onEvents: (events: any[], cursor: string) => void, onSignal?: (signal: any) => void, onTick: () => void,
 *   onState: (state: "open" | "closed") => void, onRefused: () => void}} LinkParts
 */

export class Link {
  /** @param {LinkParts} parts */
  constructor(parts) {
    this.parts = parts;
    this.cursor = parts.cursor;
    /** @type {WebSocket | null} */
    this.socket = null;
    /** @type {Map<number, {ok: (value: any) => void, fail: (error: Error) => void}>} */
    this.calls = new Map();
    /** @type {Set<() => void>} */
    this.opened = new Set();
    this.number = 0;
    this.tries = 0;
    this.stopped = false;
    this.retryAt = 0;
    this.pinging = setInterval(() => this.tick(), PING_MS);
    this.connect();
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  stop() {
    this.stopped = true;
    clearInterval(this.pinging);
    this.socket?.close();
    this.broke();
  }

  /** The alarm's leg: a timer may have died with an earlier worker. */
  ensure() {
    if (!this.socket && Date.now() >= this.retryAt) this.connect();
  }

  /** Another connection found the hub back: no need to wait any longer. */
  hurry() {
    if (!this.socket && this.tries) this.connect();
  }

  connect() {
    if (this.stopped || this.socket) return;
    const socket = new WebSocket(socketUrl(this.parts.url), protocols(this.parts.token));
    this.socket = socket;
    socket.onopen = () => this.opens();
    socket.onmessage = (event) => this.hears(JSON.parse(event.data));
    socket.onclose = () => { if (this.socket === socket) void this.closes(); };
  }

  async opens() {
    this.tries = 0;
    try {
      if (this.parts.rooms) {
        const cursor = this.cursor ? { cursor: this.cursor } : {};
        const answer = await this.call("subscribe", { cursors: null, batch: true, ...cursor });
        this.cursor = answer.cursor;
      }
    } catch (error) {
      if (error instanceof Refused) this.cursor = ""; // another hub's, or of a room that is gone
      this.socket?.close();
      return;
    }
    for (const go of this.opened) go();
    this.opened.clear();
    this.parts.onState("open");
    this.parts.onOpen();
  }

  async closes() {
    this.socket = null;
    this.broke();
    this.parts.onState("closed");
    if (this.stopped) return;
    const wait = backoffMs(this.tries++, Math.random());
    this.retryAt = Date.now() + wait;
    setTimeout(() => this.connect(), wait);
    if (await this.refused()) { this.stop(); this.parts.onRefused(); }
  }

  /** A browser does not say why a handshake failed; an ordinary request does. */
  async refused() {
    try {
      const headers = { authorization: `Bearer ${this.parts.token}` };
      return (await fetch(`${this.parts.url}/v1/agents/me`, { headers })).status === 401;
    } catch {
      return false;
    }
  }

  broke() {
    for (const call of this.calls.values()) call.fail(new Unknown("the connection ended before the answer"));
    this.calls.clear();
  }

  tick() {
    this.ensure();
    if (this.open) void this.call("inbox.unread", {}).then(() => this.parts.onTick(), () => {});
  }

  /** @param {any} frame */
  hears(frame) {
    if (frame.events) {
      this.cursor = frame.cursor;
      this.parts.onEvents(frame.events, frame.cursor);
    }
    if (frame.signal) this.parts.onSignal?.(frame.signal);
    const call = this.calls.get(frame.re);
    if (!call) return;
    this.calls.delete(frame.re);
    if (frame.problem) call.fail(new Refused(frame.problem));
    else call.ok(frame.ok);
  }

  /**
   * One operation. Throws Refused, or Unknown when the connection is away.
   * @param {string} op @param {Record<string, any>} fields @param {string} [key] makes a repeated write safe
   * @returns {Promise<any>}
   */
  call(op, fields, key) {
    const socket = this.socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return Promise.reject(new Unknown("not connected"));
    const id = ++this.number;
    return new Promise((ok, fail) => {
      this.calls.set(id, { ok, fail });
      socket.send(JSON.stringify({ id, op, ...(key ? { idempotency_key: key } : {}), ...fields }));
    });
  }

  /**
   * The same call until the hub has answered it, over restarts and rate limits.
   * @param {string} op @param {Record<string, any>} fields @param {string} key
   */
  async insist(op, fields, key) {
    for (;;) {
      try {
        return await this.call(op, fields, key);
      } catch (error) {
        if (this.stopped) throw error;
        if (error instanceof Refused && ![429, 503, 507, 500].includes(error.status) && error.code !== "still-running") throw error;
      }
      await (this.open ? new Promise((go) => setTimeout(go, 500)) : this.whenOpen());
    }
  }

  /** Whether the connection is there, at the latest after `ms`. @param {number} ms */
  async openWithin(ms) {
    await Promise.race([this.whenOpen(), new Promise((go) => setTimeout(go, ms))]);
    return this.open;
  }

  /** @returns {Promise<void>} */
  whenOpen() {
    return this.open ? Promise.resolve() : new Promise((go) => { this.opened.add(go); });
  }
}
