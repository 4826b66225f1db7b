/** A JSON object of the API as a list of names and values: intents, results, the data of an event. */

import * as format from "../format";
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
  return Object.entries(value).map(([key, inner]) => [format.words(key), lines(format.words(key), inner)]);
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
