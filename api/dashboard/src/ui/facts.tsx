/** A JSON object of the API as a list of names and values: intents, results, the data of an event. */

import * as format from "../format";
import { stateWord } from "../words";
import { Said } from "./bits";

type Json = unknown;

export function Facts({ of }: { of: Json }) {
  const rows = facts(of);
  if (rows.length === 0) return <p className="note">nothing recorded</p>;
  return (
    <dl className="facts">
      {rows.map(([name, lines]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{lines.map((line, i) => <div key={i}><Said text={line} /></div>)}</dd>
        </div>
      ))}
    </dl>
  );
}

/** One row for each name at the top; what lies deeper is said in its line, a list line by line. */
export function facts(value: Json): [name: string, lines: string[]][] {
  if (value === null || value === undefined) return [];
  if (typeof value !== "object" || Array.isArray(value)) return [["value", lines("value", value)]];
  return Object.entries(value).flatMap(([key, inner]): [string, string[]][] => {
    const undone = key === "undone" ? object(inner) : null;
    if (undone) return facts(undone);
    return [[names[key] ?? format.words(key), known[key]?.(inner) ?? lines(format.words(key), inner)]];
  });
}

const names: Record<string, string> = { rate_because: "why this rate", nothing_done: "nothing done", exit_status: "exit status" };

/** Shapes that runs are known to write, in words; null where a value is of another shape. */
const known: Record<string, (value: Json) => string[] | null> = {
  limits: each((limit) => {
    if (typeof limit.source !== "string" || number(limit.rate_per_second) === null) return null;
    const mode = limit.mode === "allow_listed" ? ", not set: on the allow list" : typeof limit.mode === "string" ? `, ${limit.mode} XDP` : "";
    const share = number(limit.share) === null ? "" : `, sent ${format.percent(number(limit.share))} of everything`;
    return `\`${limit.source}\` to ${format.perSecond(number(limit.rate_per_second))}${number(limit.burst) === null ? "" : `, burst ${format.count(number(limit.burst))}`}${mode}${share}`;
  }),
  released: each((limit) => {
    if (typeof limit.source !== "string") return null;
    const passed = number(limit.passed);
    const dropped = number(limit.dropped);
    const counts = passed === null || dropped === null ? "counts not known" : `${format.count(dropped)} packets dropped, ${format.count(passed)} passed`;
    return `\`${limit.source}\`: ${counts}`;
  }),
  left_alone: leftAlone,
  before: burned,
  after: burned,
  verdict: (value) => (typeof value === "string" ? [stateWord(value).text.toLowerCase()] : null),
};

/** Longer lists are cut: the API has all of them. */
const LINES_MAX = 12;

function each(spellOne: (value: Record<string, Json>) => string | null): (value: Json) => string[] | null {
  return (value) => {
    if (!Array.isArray(value) || value.length === 0) return null;
    const all = value.map((one) => { const fields = object(one); return fields && spellOne(fields); });
    if (!all.every((line): line is string => line !== null)) return null;
    return all.length > LINES_MAX ? [...all.slice(0, LINES_MAX - 1), `and ${all.length - LINES_MAX + 1} more`] : all;
  };
}

const reasons: Record<string, string> = { share: "below the share", "allow list": "on the allow list", enough: "more than one step limits" };

/** Sources that were not limited, counted by why not. */
function leftAlone(value: Json): string[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  const shares = new Map<string, number[]>();
  for (const one of value) {
    const source = object(one);
    const share = number(source?.share);
    if (typeof source?.because !== "string" || share === null) return null;
    shares.set(source.because, [...(shares.get(source.because) ?? []), share]);
  }
  return [...shares].map(([because, of]) => {
    const most = Math.max(...of);
    return `${format.plural(of.length, "source")} ${reasons[because] ?? because}, ${of.length > 1 ? "at most " : ""}${format.percent(most)}${of.length > 1 ? " each" : ""}`;
  });
}

/** What a verification saw: how fast it burned, on which counts, and how much of it was measured. */
function burned(value: Json): string[] | null {
  const seen = object(value);
  if (!seen || !("burn_rate" in seen)) return null;
  const good = number(seen.good);
  const bad = number(seen.bad);
  const coverage = number(seen.coverage);
  const rate = number(seen.burn_rate);
  return [
    (rate === null ? "burn not known" : format.burn(rate)) +
      (good === null || bad === null ? "" : `, ${format.count(bad)} bad of ${format.count(good + bad)}`) +
      (coverage === null || coverage >= 0.995 ? "" : `, ${format.percent(coverage)} measured`),
  ];
}

function object(value: Json): Record<string, Json> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, Json>) : null;
}

/** Exact decimals are written as strings. */
function number(value: Json): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : null;
}

function lines(name: string, value: Json): string[] {
  if (Array.isArray(value)) {
    if (value.length === 0) return ["none"];
    return value.every(isPlain) ? [value.map((each) => spell(name, each)).join(" ")] : value.map((each) => inline(name, each));
  }
  return [inline(name, value)];
}

function inline(name: string, value: Json): string {
  if (isPlain(value)) return spell(name, value);
  if (Array.isArray(value)) return value.map((each) => inline(name, each)).join(" ") || "none";
  return Object.entries(value as object)
    .map(([key, inner]) => `${format.words(key)} ${inline(format.words(key), inner)}`)
    .join(", ");
}

function isPlain(value: Json): boolean {
  return typeof value !== "object" || value === null;
}

/** Units are in the names, as everywhere in this API. */
function spell(name: string, value: Json): string {
  if (value === null || value === undefined) return format.UNKNOWN;
  const exact = typeof value === "string" && /burn rate|share|coverage/.test(name) ? number(value) : null;
  if (exact !== null) return spell(name, exact);
  if (typeof value === "number") {
    if (/\bper second$/.test(name)) return format.perSecond(value);
    if (/\bms$/.test(name)) return format.latency(value);
    if (/\bseconds$/.test(name)) return format.duration(value);
    if (/burn rate/.test(name)) return format.burn(value);
    if (/share|ratio|remaining|coverage/.test(name)) return format.percent(value);
    return Number.isInteger(value) && !/\bid$|port|status|code/.test(name) ? format.count(value) : String(value);
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)) {
    return format.clock(new Date(value), new Date());
  }
  return String(value);
}
