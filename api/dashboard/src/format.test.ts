import { describe, expect, test } from "vitest";
import * as format from "./format";

/** Expectations are written with plain spaces. */
const plain = (text: string) => text.replaceAll(format.THIN, " ").replaceAll(format.MINUS, "-");
const table = (name: string, spell: (value: never) => string, rows: [unknown, string][]) =>
  describe(name, () => {
    test.each(rows)("%s is %s", (value, text) => expect(plain(spell(value as never))).toBe(text));
  });

table("count", format.count, [
  [0, "0"], [999, "999"], [1000, "1 000"], [1234567, "1 234 567"], [-1200, "-1 200"], [null, "–"], [undefined, "–"],
]);
table("events", format.events, [
  [0, "0"], [12.5, "12.5"], [12.04, "12"], [1204.6, "1 205"], [-3.25, "-3.3"], [NaN, "–"],
]);
table("target keeps what was written", format.target, [
  [0.999, "99.9 %"], [0.9995, "99.95 %"], [0.99999, "99.999 %"], [0.9, "90 %"], [0.95, "95 %"], [0.1, "10 %"],
]);
table("sli never rounds up to 100", (r: number) => format.sli(r), [
  [1, "100 %"], [0.9995, "99.950 %"], [0.999996, "99.9996 %".replace("96", "960")], [0.99, "99.00 %"],
  [0.5, "50.00 %"], [0, "0.00 %"], [0.9999999999, "99.99999999 %"], [0.99999999999999, "99.99999999 %"], [null, "–"],
]);
test("sli shows on which side of the target it is", () => {
  expect(plain(format.sli(0.98996, 0.99))).toBe("98.996 %");
  expect(plain(format.sli(0.899996, 0.9))).toBe("89.9996 %");
  expect(plain(format.sli(0.9, 0.9))).toBe("90.00 %");
});
table("percent", format.percent, [
  [0, "0 %"], [1, "100 %"], [0.621, "62.1 %"], [0.9995, "99.95 %"], [0.99996, "99.996 %"], [0.0004, "0.04 %"],
  [-0.372, "-37.2 %"], [-0.0002, "-0.02 %"], [-12.4, "-1 240 %"], [1.0004, "100.04 %"], [1e-9, "<0.0001 %"], [-1e-9, ">-0.0001 %"],
]);
table("percentTick", format.percentTick, [[0.8, "80 %"], [0.1 + 0.2, "30 %"], [0.725, "72.5 %"], [-0.2, "-20 %"]]);
table("burn", format.burn, [
  [0, "0×"], [0.004, "<0.01×"], [0.42, "0.42×"], [1, "1×"], [3.14159, "3.14×"], [9.999, "10×"], [14.4, "14.4×"], [120.4, "120×"],
  [1000, "1 000×"], [null, "–"],
]);
table("perSecond", format.perSecond, [
  [0, "0/s"], [0.001, "<0.01/s"], [0.314, "0.31/s"], [50, "50/s"], [1204.4, "1 204/s"],
]);
table("latency", format.latency, [
  [0, "0 ms"], [0.0004, "<1 µs"], [0.0042, "4.2 µs"], [0.05, "50 µs"], [0.27, "0.27 ms"], [9.996, "10.0 ms"], [12.44, "12.4 ms"],
  [512, "512 ms"], [999.7, "1 s"], [1200, "1.2 s"], [61000, "1 min 1 s"],
]);
table("duration", format.duration, [
  [0, "0 s"], [0.25, "250 ms"], [0.9999, "1 s"], [1.23, "1.2 s"], [59.7, "1 min"], [72, "1 min 12 s"], [3599.9, "1 h"],
  [7500, "2 h 5 min"], [86399, "1 d"], [90000, "1 d 1 h"], [2592000, "30 d"], [-5, "-5 s"], [null, "–"],
]);
table("window", format.window, [
  [1, "1 s"], [300, "5 min"], [3600, "1 h"], [5400, "90 min"], [2592000, "30 d"], [0.5, "500 ms"],
]);
table("countdown", format.countdown, [
  [-3, "0:00"], [6.2, "0:07"], [252, "4:12"], [3723, "1:02:03"],
]);
table("ago", format.ago, [
  [0.3, "just now"], [12, "12 s ago"], [80, "80 s ago"], [180, "3 min ago"], [7200, "2 h ago"], [200000, "2 d ago"], [-14400, "in 4 h"],
]);
test("clock gives the date once it is not today", () => {
  const now = new Date(2026, 8, 4, 15, 0, 0);
  expect(format.clock(new Date(2026, 8, 4, 9, 5, 7), now)).toBe("09:05:07");
  expect(format.clock(new Date(2026, 8, 3, 9, 5, 7), now, false)).toBe("3 Sep 09:05");
  expect(format.clock(new Date(2025, 11, 31, 23, 59, 0), now, false)).toBe("31 Dec 2025 23:59");
});
test("plural and words", () => {
  expect(format.plural(1, "limit")).toBe("1 limit");
  expect(plain(format.plural(1200, "query", "queries"))).toBe("1 200 queries");
  expect(format.words("xdp_limit")).toBe("xdp limit");
});

test("bytes change their unit before they have four digits", () => {
  expect([0, 999, 1_000, 99_940, 99_960, 999_400, 999_600, 5_300_000, null].map(format.bytes)).toEqual(
    ["0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB", "5.3 MB", "–"].map((text) => text.replace(" ", format.THIN)),
  );
});
