// @ts-check
// A local page offered to pair; a person decides.

import { ask, attempt, el } from "./ui.js";

const offer = await ask({ type: "offer" });
el("url").textContent = offer?.url ?? "(nothing to confirm)";
el("yes").disabled = !offer;
el("yes").onclick = () => attempt(async () => {
  const agent = await ask({ type: "accept" });
  Object.assign(el("said"), { className: "fine", textContent: `Connected as ${agent}. You can close this page.` });
  el("yes").disabled = true;
}, el("said"));
el("no").onclick = async () => { await ask({ type: "refuse" }); window.close(); };
