/**
 * A chart over time, drawn by uPlot. Its legend is its readout: the newest values, or those under
 * the pointer or the arrow keys. The same numbers are a table below, for who cannot see a line.
 */

import { useEffect, useId, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import * as format from "../format";
import type { Maybe } from "../format";
import { alone, type Range } from "./series";

export type Line = {
  label: string;
  values: Maybe<number>[];
  tone: "ink" | "accent" | "good" | "warn" | "bad" | "muted" | "second";
  spell: (value: Maybe<number>) => string;
  dash?: boolean;
  fill?: boolean;
  /** Drawn, but not worth a place in the readout. */
  quiet?: boolean;
};
/** A moment that somebody marked. */
export type Mark = { at: number; label: string };
/** A horizontal line that means something. */
export type Level = { value: number; label: string; tone: Line["tone"] };

type Props = {
  title: string;
  at: number[];
  /** What the x axis covers: the time that was asked for, also where there is no point. */
  range: Range;
  lines: Line[];
  gaps?: Range[];
  levels?: Level[];
  marks?: Mark[];
  /** Time that corrections leave out. */
  leftOut?: Range[];
  yTicks?: (min: number, max: number) => number[];
  yRange?: (min: number, max: number) => [number, number];
  /** Even near zero, logarithmic far from it. */
  wide?: boolean;
  spellTick: (value: number) => string;
  height?: number;
  note?: React.ReactNode;
};

const TABLE_ROWS = 60;

export function TimeChart(props: Props) {
  const { title, at, range, lines, gaps = [], levels = [], marks = [], leftOut = [], height = 220, note } = props;
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [pointed, setPointed] = useState<number | null>(null);
  const id = useId();
  const scheme = useScheme();

  const shape = lines.map((line) => [line.label, line.tone, line.dash, line.fill].join()).join("|") + (props.wide ? "w" : "") + scheme;
  const data = useMemo(() => [at, ...lines.map((line) => line.values.map((v) => v ?? null))] as uPlot.AlignedData, [at, lines]);

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const made = new uPlot(options(element, height, () => latest.current, setPointed), data, element);
    made.setScale("x", { min: latest.current.range[0], max: latest.current.range[1] });
    plot.current = made;
    const resized = new ResizeObserver(() => {
      if (element.clientWidth !== made.width) made.setSize({ width: element.clientWidth, height });
    });
    resized.observe(element);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
    // New data goes in below; only what changes the drawing itself makes a new chart.
  }, [shape, height]);

  useEffect(() => {
    plot.current?.batch((u: uPlot) => {
      // Left alone, uPlot stretches its axis to the points, and a single one to years.
      u.setData(data, false);
      u.setScale("x", { min: range[0], max: range[1] });
    });
  }, [data, range[0], range[1], JSON.stringify(gaps), JSON.stringify(levels), JSON.stringify(marks), JSON.stringify(leftOut)]);

  const shown = pointed !== null && pointed < at.length ? pointed : lastKnown(lines, at.length);
  const move = (event: React.KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -at.length, End: at.length }[event.key];
    if (event.key === "Escape") plot.current?.setCursor({ left: -10, top: -10 });
    if (by === undefined || !plot.current) return;
    event.preventDefault();
    const index = Math.min(at.length - 1, Math.max(0, shown + by));
    plot.current.setCursor({ left: plot.current.valToPos(at[index]!, "x"), top: 10 });
    setPointed(index);
  };

  return (
    <figure className="chart" aria-labelledby={id}>
      <figcaption>
        <span className="chart-head">
          <span id={id} className="chart-title">{title}</span>
          {gaps.length > 0 && <span className="key"><i className="hatch" aria-hidden="true" />not measured</span>}
          {leftOut.some(([from, to]) => from < range[1] && to > range[0]) && <span className="key"><i className="left-out" aria-hidden="true" />left out</span>}
        </span>
        <span className="readout" aria-live={pointed === null ? "off" : "polite"}>
          <span className="when num">{at[shown] === undefined ? "" : pointed === null ? "newest" : spellTime(at[shown]!, true)}</span>
          {lines.filter((line) => !line.quiet).map((line) => (
            <span key={line.label} className="key">
              <svg width="16" height="8" aria-hidden="true" className={`tone-${line.tone}`}>
                <path d="M0 4H16" className="swatch" strokeDasharray={line.dash ? "4 3" : undefined} />
              </svg>
              {line.label} <b className="num">{line.spell(line.values[shown])}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={box} className="plot" tabIndex={0} role="application" aria-roledescription="chart" aria-label={`${title}. Arrow keys read its values.`} onKeyDown={move} />
      {note && <p className="note">{note}</p>}
      <Table {...props} />
    </figure>
  );
}

function Table({ title, at, lines }: Props) {
  const [open, setOpen] = useState(false);
  const every = Math.max(1, Math.ceil(at.length / TABLE_ROWS));
  return (
    <details className="as-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && (
        <div className="scroll short" tabIndex={0}>
          <table>
            <caption className="sr-only">{title}</caption>
            <thead>
              <tr><th scope="col">Time</th>{lines.map((line) => <th key={line.label} scope="col" className="right">{line.label}</th>)}</tr>
            </thead>
            <tbody>
              {at.map((time, i) => ((at.length - 1 - i) % every ? null : (
                <tr key={time}>
                  <th scope="row" className="num">{spellTime(time, true)}</th>
                  {lines.map((line) => <td key={line.label} className="num right">{line.spell(line.values[i])}</td>)}
                </tr>
              ))).reverse()}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function options(element: HTMLElement, height: number, props: () => Props, point: (index: number | null) => void): uPlot.Options {
  const style = getComputedStyle(element);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  const font = `11px ${style.fontFamily}`;
  const axis: uPlot.Axis = {
    stroke: colour("muted"),
    font,
    grid: { stroke: colour("hairline"), width: 1 },
    ticks: { show: false },
  };
  const { wide, lines } = props();
  return {
    width: Math.max(120, element.clientWidth),
    height,
    // Half of the last label of the time axis hangs over the plot's edge.
    padding: [10, 38, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: {
      x: { time: true },
      y: {
        ...(wide ? { distr: 4 as const, asinh: 1 } : {}),
        range: (_, min, max) => {
          const { yRange } = props();
          return yRange ? yRange(min ?? 0, max ?? 1) : [Math.min(0, min ?? 0), (max || 1) * 1.12];
        },
      },
    },
    axes: [
      { ...axis, space: 84, size: 26, gap: 6, values: (_, splits, __, ___, step) => splits.map((time) => spellTime(time, step < 60, step >= 86_400)) },
      {
        ...axis,
        size: 54,
        gap: 6,
        space: 34,
        values: (_, splits) => splits.map((value) => (value === null ? "" : props().spellTick(value))),
        ...(props().yTicks ? { splits: (_: uPlot, __: number, min: number, max: number) => props().yTicks!(min, max) } : {}),
        // uPlot drops most ticks of an uneven scale; ours are chosen to be few.
        filter: (_, splits) => splits,
      },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => ({
        label: line.label,
        stroke: colour(line.tone),
        width: line.dash ? 1.25 : 1.75,
        spanGaps: false,
        points: {
          show: true,
          size: 6,
          width: 0,
          fill: colour(line.tone),
          filter: (u, index) => alone(u.data[index] as Maybe<number>[]),
        },
        ...(line.dash ? { dash: [5, 4] } : {}),
        ...(line.fill ? { fill: colour(`${line.tone}-wash`), fillTo: 0 } : {}),
      })),
    ],
    hooks: {
      drawClear: [
        (u) => drawLeftOut(u, props().leftOut ?? [], colour("hatch")),
        (u) => drawGaps(u, props().gaps ?? [], colour("hatch")),
      ],
      draw: [(u) => drawLevels(u, props().levels ?? [], colour, font), (u) => drawMarks(u, props().marks ?? [], colour, font)],
      setCursor: [(u) => point(u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null)],
    },
  };
}

function drawGaps(u: uPlot, gaps: Range[], colour: string): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = devicePixelRatio;
  for (const [from, to] of gaps) {
    const left = Math.max(bbox.left, u.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
    if (right <= left) continue;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, bbox.top, Math.max(right - left, 1), bbox.height);
    ctx.clip();
    ctx.beginPath();
    const gap = 6 * devicePixelRatio;
    // Anchored to the plot, so that the hatching does not crawl while time moves on.
    const start = bbox.left + Math.floor((left - bbox.height - bbox.left) / gap) * gap;
    for (let x = start; x < right; x += gap) {
      ctx.moveTo(x, bbox.top + bbox.height);
      ctx.lineTo(x + bbox.height, bbox.top);
    }
    ctx.stroke();
    ctx.restore();
  }
  ctx.restore();
}

function drawLeftOut(u: uPlot, spans: Range[], colour: string): void {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = colour;
  ctx.globalAlpha = 0.5;
  for (const [from, to] of spans) {
    const left = Math.max(bbox.left, u.valToPos(from, "x", true));
    const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
  }
  ctx.restore();
}

/** A line each, and its words where they find room; all of them are told below the charts. */
function drawMarks(u: uPlot, marks: Mark[], colour: (name: string) => string, font: string): void {
  const { ctx, bbox } = u;
  const px = devicePixelRatio;
  ctx.save();
  ctx.font = font.replace("11px", `${11 * px}px`);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.strokeStyle = ctx.fillStyle = colour("muted");
  ctx.lineWidth = px;
  let free = bbox.left;
  for (const { at, label } of [...marks].sort((a, b) => a.at - b.at)) {
    const x = Math.round(u.valToPos(at, "x", true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(label).width + 4 * px;
    if (x < free || x + width > bbox.left + bbox.width) continue;
    ctx.fillText(label, x + 3 * px, bbox.top + bbox.height - 2 * px);
    free = x + width;
  }
  ctx.restore();
}

function drawLevels(u: uPlot, levels: Level[], colour: (name: string) => string, font: string): void {
  const { ctx, bbox } = u;
  const px = devicePixelRatio;
  const right = bbox.left + bbox.width;
  ctx.save();
  ctx.font = font.replace("11px", `${11 * px}px`);
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  const shown = [...levels]
    .sort((a, b) => a.value - b.value)
    .map((level) => ({ ...level, y: Math.round(u.valToPos(level.value, "y", true)) + 0.5 }))
    .filter(({ y }) => y >= bbox.top - 1 && y <= bbox.top + bbox.height + 1);
  ctx.lineWidth = px;
  ctx.setLineDash([2 * px, 3 * px]);
  for (const { tone, y } of shown) {
    ctx.strokeStyle = colour(tone);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
  }
  const height = 14 * px;
  const placed: { left: number; right: number; top: number }[] = [];
  for (const { label, tone, y } of shown) {
    const top = y - height - 2 * px < bbox.top ? y + 2 * px : y - height - 2 * px;
    const width = ctx.measureText(label).width + 8 * px;
    let left = bbox.left + 3 * px;
    // A label that would lie on another stands beside it; where no room is left, the table of tiers has it.
    for (const other of placed.filter((each) => Math.abs(each.top - top) < height).sort((a, b) => a.left - b.left)) {
      if (left < other.right && other.left < left + width) left = other.right + 4 * px;
    }
    if (left + width > right && placed.length > 0) continue;
    placed.push({ left, right: left + width, top });
    ctx.fillStyle = colour("ground");
    ctx.fillRect(left, top, width, height);
    ctx.fillStyle = colour(tone);
    ctx.fillText(label, left + 4 * px, top + height / 2 + 0.5 * px);
  }
  ctx.restore();
}

function spellTime(seconds: number, withSeconds: boolean, dateOnly = false): string {
  const at = new Date(seconds * 1000);
  return dateOnly ? format.day(at, new Date()) : format.clock(at, new Date(), withSeconds);
}

function lastKnown(lines: Line[], length: number): number {
  const line = lines.find((each) => !each.quiet);
  for (let i = length - 1; i >= 0; i -= 1) {
    if (line?.values[i] !== null && line?.values[i] !== undefined) return i;
  }
  return Math.max(0, length - 1);
}

function useScheme(): string {
  const query = useMemo(() => matchMedia("(prefers-color-scheme: dark)"), []);
  const [scheme, setScheme] = useState(query.matches ? "dark" : "light");
  useEffect(() => {
    const changed = () => setScheme(query.matches ? "dark" : "light");
    query.addEventListener("change", changed);
    return () => query.removeEventListener("change", changed);
  }, [query]);
  return scheme;
}
