import { describe, expect, it } from "vitest";
import { partWords } from "./evidence";

const part = { objective: "web-answers", weight: 2, burn_rate: 5, good: 380, bad: 20, bad_needed: 11, unit: 1 };

describe("what a part adds to the evidence of its composite", () => {
  it("is what it counted, and what was needed of it", () => {
    expect(partWords(part, true)).toBe("20 bad of 400, burning at 5×; 11 are evidence beside the others");
    expect(partWords({ ...part, bad_needed: 1 }, true)).toBe("20 bad of 400, burning at 5×; 1 is evidence beside the others");
    expect(partWords({ ...part, bad_needed: 0 }, true)).toBe("20 bad of 400, burning at 5×; the others are evidence without it");
    expect(partWords({ ...part, bad_needed: null }, true)).toBe("20 bad of 400, burning at 5×; not even all of them would be evidence");
  });

  it("says nothing of what was needed where nothing was to be decided", () => {
    expect(partWords({ ...part, bad_needed: null }, false)).toBe("20 bad of 400, burning at 5×");
    expect(partWords({ ...part, good: 0, bad: 0, burn_rate: null }, true)).toBe("nothing counted");
  });

  it("counts slices where it is slices that are partly bad", () => {
    const slices = { ...part, good: 4_400_000_000, bad: 600_000_000, bad_needed: 3_000_000_000, unit: 1_000_000_000 };
    expect(partWords(slices, true)).toBe("0.6 bad of 5 slices, burning at 5×; 3 are evidence beside the others");
  });
});
