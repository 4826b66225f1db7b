import { expect, test } from "vitest";
import { goneSince } from "./endpoints";

const now = Date.parse("2026-11-27T12:00:00Z");
const seen = (...times: string[]) => goneSince(times.map((time) => ({ last_seen_at: `2026-11-27T${time}Z` })), now);

test("a service is gone when none of its endpoints was seen lately", () => {
  expect(seen()).toBeNull();
  expect(seen("11:59:00", "09:00:00")).toBeNull();
  expect(seen("11:57:40")).toBeNull();
  expect(seen("09:00:00", "11:57:00")).toBe("2026-11-27T11:57:00Z");
});
