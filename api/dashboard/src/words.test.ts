import { expect, test } from "vitest";
import { deliverySays, stepWord } from "./words";

const page = { kind: "page", state: "applied", intent: { target: "on-call" } };
const to = (target: string, state: string, more = {}) => ({ target, action: "trigger", state, attempts: 1, last_error: null, ...more });

test.each([
  ["delivered", [to("on-call", "delivered")], "Delivered"],
  ["waits", [to("on-call", "pending", { attempts: 0 })], "Queued"],
  ["is tried again", [to("on-call", "pending", { last_error: "connection refused" })], "Retrying"],
  ["was given up", [to("on-call", "failed", { last_error: "403" })], "Failed"],
  ["is tried again, once of two", [to("on-call", "delivered"), to("on-call", "pending", { last_error: "502" })], "Retrying"],
  ["another target's fails", [to("on-call", "delivered"), to("channel", "failed")], "Delivered"],
  ["its resolve waits", [to("on-call", "delivered"), to("on-call", "pending", { action: "resolve", attempts: 0 })], "Delivered"],
  ["nobody knows of any", [], "Done"],
])("a page step says how its delivery goes: it %s", (_, deliveries, said) => {
  expect(stepWord(page, deliveries).text).toBe(said);
});

test("other steps say their own state", () => {
  expect(stepWord({ kind: "page", state: "shadowed" }, [to("on-call", "failed")]).text).toBe("Shadowed");
  expect(stepWord({ kind: "verify", state: "applied" }, []).text).toBe("Done");
  expect(stepWord({ kind: "xdp_limit", state: "applied" }, []).text).toBe("Applied");
});

test("what is tried again or given up says why", () => {
  expect(deliverySays(to("on-call", "pending", { last_error: "connection refused" }))).toBe("retrying: connection refused");
  expect(deliverySays(to("on-call", "failed", { last_error: "answered 403" }))).toBe("failed: answered 403");
  expect(deliverySays(to("on-call", "delivered", { last_error: "answered 502" }))).toBe("delivered");
});
