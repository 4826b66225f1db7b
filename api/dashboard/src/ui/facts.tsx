/** A JSON object of the API as a list of names and values: intents, results, the data of an event. */

import * as format from "../format";

type Json = unknown;

export function Facts({ of }: { of: Json }) {
  const rows = flatten(of);
  if (rows.length === 0) return <p className="note">nothing recorded</p>;
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function flatten(value: Json, name = ""): [string, string][] {
  if (value === null || value === undefined) return name ? [[name, format.UNKNOWN]] : [];
  if (Array.isArray(value)) {
    if (value.every((each) => typeof each !== "object" || each === null)) return [[name || "list", value.map(String).join(" ") || "none"]];
    return value.flatMap((each, i) => flatten(each, `${name} ${i + 1}`.trim()));
  }
  if (typeof value === "object") {
    return Object.entries(value).flatMap(([key, inner]) => {
      const plain = format.words(key);
      return flatten(inner, name ? `${name} ${plain}` : plain);
    });
  }
  return [[name || "value", spell(name, value)]];
}

/** Units are in the names, as everywhere in this API. */
function spell(name: string, value: Json): string {
  if (typeof value === "number") {
    if (/ per second$/.test(name)) return format.perSecond(value);
    if (/ ms$/.test(name)) return format.latency(value);
    if (/ seconds$/.test(name)) return format.duration(value);
    if (/burn rate/.test(name)) return format.burn(value);
    if (/share|ratio|remaining|coverage/.test(name)) return format.percent(value);
    return Number.isInteger(value) && !/ id$|^id$|port|status|code/.test(name) ? format.count(value) : String(value);
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/.test(value)) {
    return format.clock(new Date(value), new Date());
  }
  return String(value);
}
