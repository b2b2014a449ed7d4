// @ts-check
// What outlives the worker, in chrome.storage.local, readable by the extension's own pages and worker only.

/** @typedef {import("./types.js").State} State */

export const TIMINGS = {
  readyMs: 20_000, buttonMs: 5_000, sendMs: 30_000, quietMs: 600, graceMs: 10_000, partialMs: 1_000, lostNetMs: 20_000,
  emptyMs: 5_000, silentMs: 15 * 60_000, artifactMs: 5_000, findMs: 15_000, uploadMs: 30_000, healthMs: 3_000, portMs: 10_000,
};

/** @returns {State} */
const fresh = () => ({
  install: crypto.randomUUID().replaceAll("-", ""), paired: null,
  options: { autoPerHour: 30, pinned: "", selectors: "", timings: {} },
  slots: {}, tabs: {}, jobs: {}, last: {}, autoSent: [],
});

/** @type {Promise<State> | null} */
let loading = null;

/** The state, read once per life of the worker. @returns {Promise<State>} */
export function load() {
  loading ??= (async () => {
    await chrome.storage.local.setAccessLevel({ accessLevel: "TRUSTED_CONTEXTS" });
    const kept = await chrome.storage.local.get("state");
    const made = fresh();
    const state = { ...made, .../** @type {Partial<State>} */ (kept.state ?? {}) };
    state.options = { ...made.options, ...state.options };
    if (!kept.state) await chrome.storage.local.set({ state });
    return state;
  })();
  return loading;
}

/** Change it and have the change on disk before going on. @param {(state: State) => void} change */
export async function update(change) {
  const state = await load();
  change(state);
  await chrome.storage.local.set({ state });
  for (const listener of listeners) listener(state);
  return state;
}

/** @type {Set<(state: State) => void>} */
const listeners = new Set();

/** @param {(state: State) => void} listener */
export const onChange = (listener) => listeners.add(listener);

/** After a browser start no tab is what it was: no tab is joined, and none sends by itself. */
export async function forgetTabs() {
  await update((state) => { state.tabs = {}; });
}
