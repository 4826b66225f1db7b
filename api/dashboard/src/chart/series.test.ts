import { expect, test } from "vitest";
import { alone, asked, burnDown, burnTicks, firstCovered, gaps, meanRate, measured, rate, sparkRuns, stepFor, unexplained } from "./series";

test("steps are of a size a person would choose", () => {
  expect(stepFor(3600)).toBe(15);
  expect(stepFor(180)).toBe(10);
  expect(stepFor(180, 1)).toBe(1);
  expect(stepFor(30 * 86_400)).toBe(14_400);
  expect(stepFor(400 * 86_400)).toBe(86_400);
});

test("neighbouring steps without data are one gap", () => {
  expect(gaps([10, 20, 30, 40, 50], [1, 0, null, 0.5, undefined], 10)).toEqual([[10, 30], [40, 50]]);
  expect(gaps([10, 20], [1, 0.1], 10)).toEqual([]);
});

test("time before the first step is a gap of a chart that begins earlier", () => {
  expect(gaps([40, 50], [0, 1], 10, 0)).toEqual([[0, 40]]);
  expect(gaps([40], [1], 10, 0)).toEqual([[0, 30]]);
  expect(gaps([10], [1], 10, 0)).toEqual([]);
});

test("a chart covers what it was asked for, however little there is", () => {
  expect(asked([990, 1000], 600, 5)).toEqual([400, 1000]);
  expect(asked([], 600, 1000)).toEqual([400, 1000]);
});

test("a point without neighbours is a dot", () => {
  expect(alone([1, null, 2, 3, undefined, 4])).toEqual([0, 5]);
  expect(alone([7])).toEqual([0]);
});

test("spending evenly begins when measuring does", () => {
  expect(burnDown([0, 10, 20, 30], [0, 0, 1, 1], [null, 0, 1, 1], 4).ideal).toEqual([null, 1, 0.5, 0]);
});

test("what was not measured is not drawn, whatever stands in its place", () => {
  expect(measured([0, 3, 0, null], [1, 0, null, 1])).toEqual([0, null, null, null]);
});

test("the first measured step is found", () => {
  expect(firstCovered([null, 0, 0.2, 1])).toBe(2);
  expect(firstCovered([null, 0])).toBe(-1);
});

test("a gap does not refill the budget, and is not drawn", () => {
  const { left, ideal } = burnDown([0, 10, 20, 30, 40], [1, 1, 0, 4, 6], [1, 1, 0, 1, 1], 10);
  expect(left).toEqual([0.9, 0.8, null, 0.4, -0.19999999999999996]);
  expect(ideal).toEqual([1, 0.75, 0.5, 0.25, 0]);
});

test("without a budget there is no line", () => {
  expect(burnDown([0, 10], [0, 0], [1, 1], 0).left).toEqual([null, null]);
});

test("what was not measured has no rate", () => {
  expect(rate([10, 0, null], 5)).toEqual([2, 0, null]);
});

test("time that was not measured dilutes no rate", () => {
  expect(meanRate([100, null, 0, 50], [1, null, 0, 0.5], 10)).toEqual({ rate: 10, seconds: 15 });
  expect(meanRate([null], [0], 10)).toEqual({ rate: null, seconds: 0 });
});

test("burn ticks thin out when the range is wide", () => {
  expect(burnTicks(16)).toEqual([0, 1, 2, 5, 10]);
  expect(burnTicks(800)).toEqual([0, 1, 10, 100]);
});

test("a sparkline breaks at gaps and stays in its box", () => {
  expect(sparkRuns([0, 2, null, 4, 1], 2)).toEqual([[[0, 1], [0.25, 0]], [[0.75, 0], [1, 0.5]]]);
  expect(sparkRuns([null], 1)).toEqual([]);
});

test("a gap that a correction explains is none", () => {
  expect(unexplained([[0, 30], [100, 200]], [[5, 25]], 10)).toEqual([[100, 200]]);
  expect(unexplained([[0, 60]], [[5, 25]], 10)).toEqual([[0, 60]]);
});
