import { expect, test } from "vitest";
import { goneSince } from "./endpoints";

const now = Date.parse("2026-11-27T12:00:00Z");
const at = (time: string) => `2026-11-27T${time}Z`;
const seen = (...times: string[]) => goneSince(times.map((time) => ({ last_seen_at: at(time), gone_at: null })), now);

test("a service is gone when none of its endpoints was seen lately", () => {
  expect(seen()).toBeNull();
  expect(seen("11:59:00", "09:00:00")).toBeNull();
  expect(seen("11:57:40")).toBeNull();
  expect(seen("09:00:00", "11:57:00")).toBe(at("11:57:00"));
});

test("a service is gone as soon as its source says so of all its endpoints", () => {
  const gone = { last_seen_at: at("11:59:00"), gone_at: at("11:59:58") };
  expect(goneSince([gone], now)).toBe(at("11:59:58"));
  expect(goneSince([gone, { last_seen_at: at("11:59:00"), gone_at: null }], now)).toBeNull();
  expect(goneSince([gone, { last_seen_at: at("09:00:00"), gone_at: null }], now)).toBe(at("11:59:58"));
});
