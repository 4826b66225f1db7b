import { expect, test } from "vitest";
import { THIN } from "../format";
import { facts } from "./facts";

const plain = (value: unknown) => facts(value).map(([name, lines]) => [name, ...lines.map((line) => line.replaceAll(THIN, " "))]);

test("units are read off the names", () => {
  expect(plain({ rate_per_second: 50, window_seconds: 90, rtt_ms: 0.084, share: 0.913, burn_rate: 14.4, limit_id: 1234, good: 25140, helped: true })).toEqual([
    ["rate per second", "50/s"], ["window seconds", "1 min 30 s"], ["rtt ms", "84 µs"], ["share", "91.3 %"], ["burn rate", "14.4×"],
    ["limit id", "1234"], ["good", "25 140"], ["helped", "yes"],
  ]);
});

test("a list is told line by line, what lies deeper in one line", () => {
  expect(plain({ limits: [{ source: "10.0.0.9/32", burst: 100 }, { source: "10.0.0.8/32", burst: null }], command: ["scale", "5"], left_alone: [], after: { good: 1 } })).toEqual([
    ["limits", "source 10.0.0.9/32, burst 100", "source 10.0.0.8/32, burst –"], ["command", "scale 5"], ["left alone", "none"], ["after", "good 1"],
  ]);
});

test("nothing is nothing", () => {
  expect(facts(null)).toEqual([]);
  expect(facts({})).toEqual([]);
  expect(plain("stopped")).toEqual([["value", "stopped"]]);
});
