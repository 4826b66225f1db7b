import { describe, expect, it } from "vitest";
import type { Overview } from "../data/client";
import { headline } from "./headline";

const NOW = Date.parse("2026-11-26T12:00:00Z");

function said(items: object[], alerts: object[] = [], unreadable: object[] = []): string {
  return headline({ items, alerts, unreadable } as Pick<Overview, "items" | "alerts" | "unreadable">, NOW);
}

const calm = { name: "checkout-latency", display_name: "", state: "ok", exhausts_at: null };

describe("the overview's title", () => {
  it("is calm only where nothing ends", () => {
    expect(said([calm, calm])).toBe("All 2 objectives are within budget");
    const ending = { ...calm, display_name: "Search", exhausts_at: "2026-11-29T17:00:00Z" };
    const later = { ...calm, exhausts_at: "2026-12-20T00:00:00Z" };
    const left = "3\u202fd 5\u202fh";
    expect(said([later, ending, calm])).toBe(`All 3 objectives are within budget; the budget of Search would last ${left} at this rate`);
    expect(said([ending])).toBe(`The objective is within its budget, which would last ${left} at this rate`);
  });

  it("says what is loudest, and what is not known", () => {
    expect(said([])).toBe("Nothing to watch yet");
    expect(said([{ ...calm, state: "no_data" }])).toBe("Nothing was measured yet");
    expect(said([calm, { ...calm, state: "no_data" }], [{ state: "pending" }])).toBe("1 of 2 objectives are within budget, 1 without data, one alert is pending");
    expect(said([calm, calm], [], [{ name: "two" }])).toBe("2 of 3 objectives are within budget, 1 cannot be read");
    expect(said([], [], [{ name: "two" }])).toBe("No objective can be read");
    expect(said([calm, { ...calm, state: "firing" }, { ...calm, name: "b", state: "exhausted" }])).toBe("Firing: checkout-latency. Budget spent: b");
  });
});
