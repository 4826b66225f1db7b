/** Turns the API's columns into what a chart draws. Gaps stay gaps: null is never joined and never zero. */

import type { Maybe } from "../format";

/** The length of a chart's steps: about `points` of them, in a size a person would choose. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];
export function stepFor(spanSeconds: number, leastSeconds = 10, points = 240): number {
  return STEPS.find((step) => step >= leastSeconds && spanSeconds / step <= points) ?? 86_400;
}

/** A column with what was not measured taken out: the ledger says 0 there, which a line must not. */
export function measured(values: Maybe<number>[], coverage: Maybe<number>[]): (number | null)[] {
  return values.map((value, i) => ((coverage[i] ?? 0) > 0 ? (value ?? null) : null));
}

export type Range = [from: number, to: number];

/** The time a chart was asked for: it ends with the newest step, however few steps there are. */
export function asked(at: number[], span: number, now: number): Range {
  const to = at.at(-1) ?? now;
  return [to - span, to];
}

/** Spans in which nothing was measured, as [from, to] in the chart's seconds; `since` is where the chart begins. */
export function gaps(at: number[], coverage: Maybe<number>[], step: number, since?: number): Range[] {
  const found: Range[] = [];
  const begins = at[0] === undefined ? undefined : at[0] - step;
  if (since !== undefined && begins !== undefined && begins > since) found.push([since, begins]);
  at.forEach((time, i) => {
    const covered = coverage[i];
    if (covered !== null && covered !== undefined && covered > 0) return;
    const last = found.at(-1);
    // A step's row stands at its end: it tells of the time since the one before.
    if (last && last[1] >= time - step) last[1] = time;
    else found.push([time - step, time]);
  });
  return found;
}

/** Index of the first step that measured anything, or -1. */
export function firstCovered(coverage: Maybe<number>[]): number {
  return coverage.findIndex((covered) => covered !== null && covered !== undefined && covered > 0);
}

export type BurnDown = { at: number[]; left: (number | null)[]; ideal: (number | null)[] };

/**
 * The budget of the whole span, spent event by event, beside spending it evenly since measuring began.
 * `total` is the budget in events; steps that were not measured leave a gap and spend nothing.
 */
export function burnDown(at: number[], bad: Maybe<number>[], coverage: Maybe<number>[], total: number): BurnDown {
  let spent = 0;
  const begins = Math.max(0, firstCovered(coverage) - 1);
  const first = at[begins] ?? 0;
  const span = (at.at(-1) ?? first) - first;
  const left = at.map((_, i) => {
    const covered = coverage[i];
    spent += bad[i] ?? 0;
    return covered === null || covered === undefined || covered <= 0 || total <= 0 ? null : 1 - spent / total;
  });
  return { at, left, ideal: at.map((time, i) => (i < begins || span === 0 ? null : 1 - (time - first) / span)) };
}

/** Points that no line reaches, since neither neighbour is known: they are drawn as dots. */
export function alone(values: Maybe<number>[]): number[] {
  const known = (i: number) => values[i] !== null && values[i] !== undefined;
  return values.flatMap((_, i) => (known(i) && !known(i - 1) && !known(i + 1) ? [i] : []));
}

/** Counts of a step as a rate; a step that was not measured has none. */
export function rate(counts: Maybe<number>[], stepSeconds: number): (number | null)[] {
  return counts.map((value) => (value === null || value === undefined ? null : value / stepSeconds));
}

/** Counts of a span as a rate over the part of it that was measured, and how long that is. */
export function meanRate(counts: Maybe<number>[], coverage: Maybe<number>[], step: number): { rate: number | null; seconds: number } {
  const seconds = coverage.reduce<number>((sum, covered) => sum + (covered ?? 0) * step, 0);
  const all = counts.reduce<number>((sum, value, i) => sum + ((coverage[i] ?? 0) > 0 ? (value ?? 0) : 0), 0);
  return { rate: seconds > 0 ? all / seconds : null, seconds };
}

/** Ticks for a scale that is even near zero and logarithmic far from it. */
export function burnTicks(max: number): number[] {
  const all = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
  const shown = all.filter((tick) => tick <= max);
  return shown.length > 7 ? shown.filter((tick) => tick === 0 || /^10*$/.test(String(tick))) : shown;
}

export type Dot = [x: number, y: number];
/** A sparkline's runs of points in a box of 1 by 1 (y down), broken at gaps. */
export function sparkRuns(values: Maybe<number>[], top: number): Dot[][] {
  const runs: Dot[][] = [];
  let run: Dot[] = [];
  const last = Math.max(1, values.length - 1);
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      if (run.length) runs.push(run);
      run = [];
      return;
    }
    run.push([i / last, 1 - Math.min(1, Math.max(0, value / (top || 1)))]);
  });
  if (run.length) runs.push(run);
  return runs;
}

/** Gaps that corrections do not explain: a step with an edge of one in it is explained, too. */
export function unexplained(gaps: Range[], leftOut: Range[], step: number): Range[] {
  return gaps.filter(([from, to]) => !leftOut.some(([start, end]) => start - step <= from && to <= end + step));
}
