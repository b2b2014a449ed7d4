// @ts-check
// What the extension's pages share: asking the worker, making elements, saying what went wrong.

/** @typedef {Awaited<ReturnType<import("../worker/bridge.js").Bridge["view"]>>} View */

/** What the worker answers; throws its sentence when it refuses. @param {Record<string, any>} message @returns {Promise<any>} */
export async function ask(message) {
  const answer = await chrome.runtime.sendMessage(message);
  if (answer?.error) throw new Error(answer.error);
  return answer?.ok;
}

/** @param {string} id @returns {any} */
export const el = (id) => document.getElementById(id);

/**
 * @param {string} tag @param {Record<string, any>} [properties] @param {(Node | string)[]} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Run something the person asked for; a failure is said where they look. @param {() => Promise<any>} act @param {HTMLElement} where */
export async function attempt(act, where) {
  where.textContent = "";
  try {
    return await act();
  } catch (error) {
    where.className = "problem";
    where.textContent = error instanceof Error ? error.message : String(error);
    return undefined;
  }
}

/** @param {Record<string, any> | null} health */
export function healthLine(health) {
  if (!health) return "The page has not been looked at yet.";
  if (health.problem === "not-logged-in") return "Not logged in: log in on the page.";
  if (health.missing.length || health.problem) return `The page changed: ${health.missing.join(", ") || health.problem} not found (list of ${health.selectors}).`;
  const spare = health.fallback.length ? ` Found by a spare selector: ${health.fallback.join(", ")}.` : "";
  return `The page is as expected (list of ${health.selectors}).${spare}`;
}
