/** The overview's title: the answer to the question it was opened with. */

import type { Overview, SloSummary } from "../data/client";
import * as format from "../format";

/** `now` is milliseconds of the server's clock. */
export function headline({ items, alerts, unreadable = [] }: Pick<Overview, "items" | "alerts" | "unreadable">, now: number): string {
  if (items.length === 0) return unreadable.length ? "No objective can be read" : "Nothing to watch yet";
  const of = (state: SloSummary["state"]) => items.filter((slo) => slo.state === state);
  const unknown = of("no_data");
  if (unknown.length === items.length) return "Nothing was measured yet";
  const loud = [named("Firing", of("firing")), named("Budget spent", of("exhausted")), named("Burning", of("burning"))].filter(Boolean);
  if (loud.length) return loud.slice(0, 2).join(". ");
  const pending = alerts.some((alert) => alert.state === "pending") ? ", one alert is pending" : "";
  const measured = items.length - unknown.length;
  const missing = [unknown.length && `${unknown.length} without data`, unreadable.length && `${unreadable.length} cannot be read`].filter(Boolean);
  const within = missing.length
    ? `${measured} of ${items.length + unreadable.length} objectives are within budget, ${missing.join(", ")}`
    : items.length === 1
      ? "The objective is within its budget"
      : `All ${items.length} objectives are within budget`;
  return within + pending + endingSoonest(items, now);
}

/** Within budget is not well while one burns it faster than it lasts. */
function endingSoonest(items: SloSummary[], now: number): string {
  const ends = (slo: SloSummary) => (slo.exhausts_at ? Date.parse(slo.exhausts_at) : Infinity);
  const soonest = items.reduce((first, slo) => (ends(slo) < ends(first) ? slo : first));
  if (!Number.isFinite(ends(soonest))) return "";
  const left = format.duration(Math.max(0, ends(soonest) - now) / 1000);
  return items.length === 1 ? `, which would last ${left} at this rate` : `; the budget of ${nameOf(soonest)} would last ${left} at this rate`;
}

function named(what: string, slos: SloSummary[]): string | null {
  if (slos.length === 0) return null;
  return `${what}: ${slos.length <= 2 ? slos.map(nameOf).join(", ") : format.plural(slos.length, "objective")}`;
}

function nameOf(slo: SloSummary): string {
  return slo.display_name || slo.name;
}
