// Shapes shared by the worker's parts. Types only.
export {};

/** @typedef {"assist" | "auto"} Mode */
/** @typedef {{url: string, token: string, agent: string}} Paired */
/** @typedef {{agent: string, token: string, cursor: string}} Slot one place for a tab; its agent keeps name and token */
/** @typedef {{slot: number, mode: Mode, fresh: boolean, room: string, paused: boolean, path: string, context: boolean,
 *   files: ChosenFile[]}} Tab */
/** @typedef {{room: string, id: string, name: string}} ChosenFile of a room, given to Claude with its questions */
/** @typedef {{path: string, origin: number, same: number}} Sent */
/** @typedef {import("./files.js").Artifact} Artifact */
/** @typedef {{outcome: string, text: string, error: string, artifacts?: Artifact[]}} Finished */
/**
 * A job in hand, kept over the worker's death: what was leased, how far it is, and its result until the hub has it.
 * @typedef {{job: string, room: string, lease_token: string, text: string, prompt: string, from: string, fresh: boolean, regenerate: boolean, files: string[],
 *   submitted: boolean, sent: Sent | null, result: Finished | null, pending: string, partial: string, at: number}} InHand
 */
/** @typedef {{job: string, room: string, from: string, outcome: string, error: string, at: number, prompt: string}} LastJob what it was asked, so that it can be asked again */
/** @typedef {{autoPerHour: number, pinned: string, selectors: string, timings: Record<string, number>}} Options */
/**
 * @typedef {{install: string, paired: Paired | null, options: Options, slots: Record<string, Slot>, tabs: Record<string, Tab>,
 *   jobs: Record<string, InHand>, last: Record<string, LastJob>, autoSent: number[]}} State
 */
