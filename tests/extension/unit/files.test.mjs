// Names of shared artifacts, menu quotations, the self-test of selectors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import vm from "node:vm";
import { fileName, toBase64 } from "../../../extension/worker/files.js";
import { quotation } from "../../../extension/worker/menus.js";
import { checkSelectors } from "../../../extension/worker/requests.js";

const root = new URL("../../../extension/", import.meta.url);
const list = JSON.parse(readFileSync(new URL("selectors.json", root), "utf8"));

test("an artifact's title becomes one path segment with an ending", () => {
  assert.equal(fileName({ title: "My page", language: "html", content: "" }), "My page.html");
  assert.equal(fileName({ title: "a.py", language: "html", content: "" }), "a.py");
  assert.equal(fileName({ title: "../../etc/passwd\n", language: "", content: "" }), "-..-etc-passwd-.txt");
  assert.equal(fileName({ title: "   ", language: "odd", content: "" }), "artifact.txt");
  assert.ok(fileName({ title: "x".repeat(500), language: "c", content: "" }).length < 130);
});

test("bytes of any size become base64", () => {
  const bytes = Uint8Array.from({ length: 100_003 }, (_, i) => i % 256);
  assert.deepEqual(new Uint8Array(Buffer.from(toBase64(bytes.buffer), "base64")), bytes);
});

test("a quotation names its source and is cut when it is very long", () => {
  assert.equal(quotation("a\n\nb", "T [x]", "https://e.example/"), "From [T x](https://e.example/):\n\n> a\n>\n> b");
  assert.ok(quotation("x".repeat(100_000), "T", "u").endsWith("> (cut here)"));
});

test("selectors typed by hand are lists by part, or refused with how they should look", () => {
  checkSelectors('{"send": ["button.send", "button"]}');
  for (const wrong of ["[", "[]", '{"send": "x"}', '{"send": [1]}', '{"send": [""]}', "null"]) assert.throws(() => checkSelectors(wrong), Error, wrong);
});

test("every part of the dated list has selectors, and what must be there at load is one of them", () => {
  assert.match(list.date, /^\d{4}-\d\d-\d\d$/);
  for (const [part, selectors] of Object.entries(list.parts)) assert.ok(selectors.length && selectors.every(Boolean), part);
  for (const part of [...list.atLoad, ...list.optional]) assert.ok(part in list.parts, part);
});

test("the report tells what is missing, what a spare selector found, and survives a selector that is none", () => {
  const context = vm.createContext({});
  vm.runInContext(readFileSync(new URL("content/find.js", root), "utf8"), context);
  const page = { querySelectorAll: (s) => { if (s === "((") throw new Error("not valid"); return ["#b", "#c"].includes(s) ? [{}] : []; } };
  const own = { date: "d", parts: { one: ["#a"], two: ["((", "#b"], three: ["#c"] }, atLoad: ["one", "two"], optional: ["three"] };
  const finder = context.createFinder(own, page);
  const health = JSON.parse(JSON.stringify(context.healthOf(own, finder.selfTest(), "")));
  assert.deepEqual(health, { selectors: "d", found: ["two", "three"], missing: ["one"], fallback: ["two"], problem: "" });
});
