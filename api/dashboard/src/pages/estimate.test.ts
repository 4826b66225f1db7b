import { describe, expect, it } from "vitest";
import { goodBefore, leftWithBefore } from "./estimate";

const NOW = new Date("2026-11-26T15:00:00");

const told = {
  from: "2026-11-25T09:00:00",
  to: "2026-11-26T14:02:00",
  good_min: 9912, good_max: 9931, bad_min: 69, bad_max: 88,
  sli_min: 0.9912, sli_max: 0.9931,
  budget_remaining_min: 0.12, budget_remaining_max: 0.31,
};

describe("the time before counts begin", () => {
  it("is told as an interval, and as estimated", () => {
    const slo = { target: 0.99, estimated: told };
    expect(goodBefore(slo, NOW)).toBe("Before 14:02: 99.12\u202f% to 99.31\u202f% good, estimated from histograms");
    expect(leftWithBefore(slo)).toBe("estimated for the whole period: 12.0\u202f% to 31.0\u202f%");
  });

  it("is one number where both ends are", () => {
    const slo = { target: 0.99, estimated: { ...told, sli_max: 0.9912, budget_remaining_max: 0.12 } };
    expect(goodBefore(slo, NOW)).toBe("Before 14:02: 99.12\u202f% good, estimated from histograms");
    expect(leftWithBefore(slo)).toBe("estimated for the whole period: 12.0\u202f%");
    // Nothing surely counts, and nothing can be bad.
    expect(goodBefore({ target: 0.99, estimated: { ...told, sli_min: null, sli_max: 1 } }, NOW)).toMatch(/^Before 14:02: 100\u202f% good/);
  });

  it("is not told where all is counted, or nothing is known", () => {
    expect(goodBefore({ target: 0.99, estimated: null }, NOW)).toBeNull();
    expect(leftWithBefore({ target: 0.99 } as Parameters<typeof leftWithBefore>[0])).toBeNull();
  });
});
