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

test("what a limit meant and did is told in words", () => {
  expect(plain({ limits: [{ source: "10.0.0.9/32", rate_per_second: 50, burst: 100, mode: "generic" }], rate_because: "as the runbook says", left_alone: [{ source: "fd73::1", share: 0.042, because: "share" }, { source: "fd73::2", share: 0.03, because: "share" }, { source: "10.0.0.2", share: 0.5, because: "allow list" }] })).toEqual([
    ["limits", "`10.0.0.9/32` to 50/s, burst 100, generic XDP"], ["why this rate", "as the runbook says"],
    ["left alone", "2 sources below the share, at most 4.2 % each", "1 source on the allow list, 50.0 %"],
  ]);
  expect(plain({ undone: { released: [{ id: 1, source: "10.0.0.9/32", passed: null, dropped: null }, { id: 2, source: "10.0.0.8/32", passed: 7, dropped: 1234 }] } })).toEqual([
    ["released", "`10.0.0.9/32`: counts not known", "`10.0.0.8/32`: 1 234 packets dropped, 7 passed"],
  ]);
});

test("a verification says how fast it burned, on which counts", () => {
  expect(plain({ verdict: "no_effect", before: { burn_rate: "4.887406172", good: 90, bad: 10 }, after: { burn_rate: null, good: 0, bad: 0, coverage: "0.5" } })).toEqual([
    ["verdict", "no effect"], ["before", "4.89×, 10 bad of 100"], ["after", "burn not known, 0 bad of 0, 50.0 % measured"],
  ]);
});

test("nothing is nothing", () => {
  expect(facts(null)).toEqual([]);
  expect(facts({})).toEqual([]);
  expect(plain("stopped")).toEqual([["value", "stopped"]]);
});
