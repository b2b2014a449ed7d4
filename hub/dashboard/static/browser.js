// Pairs the browser extension with this hub: one click, when the extension is there.
// @ts-check

const EXTENSION = "jlobenjgedfgfcjmcklhmfoildicnhoj"; // fixed by the key in the extension's manifest

/** @param {any} message @returns {Promise<any>} */
const tell = (message) => /** @type {any} */ (globalThis).chrome.runtime.sendMessage(EXTENSION, message);

/**
 * Show the button when the extension answers; a click gives it a token of its own.
 * @param {HTMLElement} button
 * @param {(text: string) => void} say
 * @param {() => Promise<{token: string}>} issue
 */
export async function offerPairing(button, say, issue) {
  try {
    await tell({ type: "here" });
  } catch { return; } // no extension, or another browser
  button.hidden = false;
  button.onclick = async () => {
    try {
      const answer = await tell({ type: "pair", token: (await issue()).token });
      if (answer.error) throw new Error(answer.error);
      say(answer.confirm ? "Confirm it in the tab that opened." : "This browser is connected. Open claude.ai and use the extension there.");
    } catch (error) { say(error instanceof Error ? error.message : String(error)); }
  };
}
