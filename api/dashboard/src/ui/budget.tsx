/** The budget as a bar. Left of the zero mark is overspent, so that bars in a column compare at a glance. */

import type { SloSummary } from "../data/client";
import * as format from "../format";

/** Share of the track that lies left of zero, and what it stands for. */
const BELOW = 22;

export function budgetTone(remaining: number | null | undefined): string {
  if (remaining === null || remaining === undefined) return "muted";
  return remaining <= 0 ? "bad" : remaining < 0.25 ? "warn" : "good";
}

export function BudgetBar({ remaining, label }: { remaining: number | null | undefined; label?: string }) {
  const tone = budgetTone(remaining);
  const known = remaining !== null && remaining !== undefined;
  const over = known && remaining < 0;
  const width = !known ? 0 : over ? Math.min(1, -remaining) * BELOW : Math.min(1, remaining) * (100 - BELOW);
  return (
    <svg className={`budget-bar tone-${tone}`} role="img" aria-label={label ?? `budget left: ${known ? format.percent(remaining) : "unknown"}`} viewBox="0 0 100 8" preserveAspectRatio="none">
      <rect className={known ? "track" : "track unknown"} x={BELOW} y="1" width={100 - BELOW} height="6" />
      {known && <rect className="fill" x={over ? BELOW - width : BELOW} y="1" width={Math.max(width, 0.6)} height="6" />}
      <rect className="zero" x={BELOW - 0.25} y="0" width="0.5" height="8" />
    </svg>
  );
}

export function BudgetCell({ slo }: { slo: Pick<SloSummary, "budget_remaining"> }) {
  const tone = budgetTone(slo.budget_remaining);
  return (
    <span className="budget-cell">
      <span className={`num strong tone-${tone === "good" ? "ink" : tone}`}>{format.percent(slo.budget_remaining)}</span>
      <BudgetBar remaining={slo.budget_remaining} />
    </span>
  );
}
