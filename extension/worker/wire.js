// @ts-check
// Pure pieces of the link: the token as a subprotocol, how long to wait before trying again.

export const LONGEST_WAIT_MS = 25_000; // below the 30 s after which Chrome ends an idle worker
export const PING_MS = 20_000;

/** A token never stands in a URL: browsers can only add a subprotocol. @param {string} token */
export function protocols(token) {
  const base64 = btoa(token).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["bridge.v1", `token.${base64}`];
}

/** @param {string} url of the hub */
export function socketUrl(url) {
  return `${url.replace(/^http/, "ws").replace(/\/$/, "")}/v1/ws`;
}

/** Half to whole of 0.5 s × 2 per try, at most 25 s. @param {number} tries @param {number} random 0 to 1 */
export function backoffMs(tries, random) {
  const most = Math.min(LONGEST_WAIT_MS, 500 * 2 ** Math.min(tries, 10));
  return Math.round(most / 2 + (most / 2) * random);
}

/** A hub's address as typed: origin only; throws with what is wrong. @param {string} typed */
export function hubUrl(typed) {
  let url;
  try {
    url = new URL(typed.includes("://") ? typed : `http://${typed}`);
  } catch {
    throw new Error("That is no address. It looks like http://127.0.0.1:7411");
  }
  const local = ["127.0.0.1", "localhost"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && local)) {
    throw new Error("A hub on another machine needs https, so that its token does not travel in the clear.");
  }
  return url.origin;
}

/**
 * Whether a hub's page may pair at once: the page of the standard port while nothing is paired, or the paired hub's own.
 * Any other local page could be any program's, so a person confirms it.
 * @param {string} origin @param {string | null} paired the paired hub's address
 */
export function pairsAtOnce(origin, paired) {
  return paired === null ? ["http://127.0.0.1:7411", "http://localhost:7411"].includes(origin) : origin === paired;
}

/** Which prompts may still be sent by themselves this hour. @param {number[]} sentAt @param {number} perHour @param {number} now */
export function autoBudget(sentAt, perHour, now) {
  const recent = sentAt.filter((at) => at > now - 3_600_000);
  const oldest = recent[0];
  return recent.length < perHour || oldest === undefined
    ? { recent, waitMs: 0 }
    : { recent, waitMs: oldest + 3_600_000 - now };
}

/** A place's identity at the hub: the same for ever in this browser. @param {string} install @param {number} slot */
export async function identity(install, slot) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${install}/${slot}`));
  return [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
