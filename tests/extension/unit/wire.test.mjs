// The link's pure pieces.
import assert from "node:assert/strict";
import test from "node:test";
import { autoBudget, backoffMs, hubUrl, identity, LONGEST_WAIT_MS, pairsAtOnce, protocols, socketUrl } from "../../../extension/worker/wire.js";

test("the token travels as a subprotocol, never in the address", () => {
  const [name, token] = protocols("mab_1_a+b/c?");
  assert.equal(name, "bridge.v1");
  assert.match(token, /^token\.[A-Za-z0-9_-]+$/);
  assert.equal(atob(token.slice(6).replaceAll("-", "+").replaceAll("_", "/")), "mab_1_a+b/c?");
  assert.equal(socketUrl("https://hub.example/"), "wss://hub.example/v1/ws");
});

test("waiting doubles, varies, and stays below the thirty seconds after which an idle worker ends", () => {
  assert.deepEqual([0, 1, 2].map((n) => backoffMs(n, 1)), [500, 1000, 2000]);
  assert.equal(backoffMs(3, 0), 2000);
  for (let n = 0; n < 100; n++) assert.ok(backoffMs(n, 1) <= LONGEST_WAIT_MS && backoffMs(n, 0) >= 250);
});

test("a hub is this machine, or reached by https", () => {
  assert.equal(hubUrl("127.0.0.1:7411"), "http://127.0.0.1:7411");
  assert.equal(hubUrl("https://hub.example/x?y"), "https://hub.example");
  for (const wrong of ["http://hub.example", "http://127.0.0.1.evil.example", "ftp://127.0.0.1", "http://user@evil.example", ""]) {
    assert.throws(() => hubUrl(wrong), Error, wrong);
  }
});

test("only the standard hub's page pairs at once while nothing is paired; then only the paired one", () => {
  assert.equal(pairsAtOnce("http://127.0.0.1:7411", null), true);
  assert.equal(pairsAtOnce("http://127.0.0.1:3000", null), false);
  assert.equal(pairsAtOnce("http://127.0.0.1:7411", "http://127.0.0.1:9000"), false);
  assert.equal(pairsAtOnce("http://127.0.0.1:9000", "http://127.0.0.1:9000"), true);
});

test("sending by itself ends at the hourly limit and goes on when the oldest is an hour old", () => {
  const now = 10_000_000;
  assert.deepEqual(autoBudget([now - 3_600_001, now - 5], 2, now), { recent: [now - 5], waitMs: 0 });
  assert.equal(autoBudget([now - 1000, now - 5], 2, now).waitMs, 3_599_000);
});

test("a place keeps its identity and shares it with no other", async () => {
  assert.equal(await identity("a", 1), await identity("a", 1));
  assert.match(await identity("a", 1), /^[0-9a-f]{64}$/);
  assert.notEqual(await identity("a", 1), await identity("a", 2));
  assert.notEqual(await identity("a", 1), await identity("b", 1));
});
