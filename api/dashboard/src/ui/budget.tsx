/** The budget as a bar. Left of the zero mark is overspent, so that bars in a column compare at a glance. */

import type { SloSummary } from "../data/client";
import * as format from "../format";

/** Share of the track that lies left of zero, and what it stands for. */
const BELOW = 22;

export function budgetTone(remaining: number | null | undefined): string {
  if (remaining === null || remaining === undefined) return "muted";
  return remaining <= 0 ? "bad" : remaining < 0.25 ? "warn" : "good";
}

/** `alone`: not in a column, so room left of zero only when it is needed. */
export function BudgetBar({ remaining, alone }: { remaining: number | null | undefined; alone?: boolean }) {
  const tone = budgetTone(remaining);
  const known = remaining !== null && remaining !== undefined;
  const over = known && remaining < 0;
  const below = alone && !over ? 0 : BELOW;
  const width = !known ? 0 : over ? Math.min(1, -remaining) * below : Math.min(1, remaining) * (100 - below);
  return (
    <svg className={`budget-bar tone-${tone}`} role="img" aria-label={`budget left: ${known ? format.percent(remaining) : "unknown"}`} viewBox="0 0 100 8" preserveAspectRatio="none">
      <rect className={known ? "track" : "track unknown"} x={below} y="1" width={100 - below} height="6" />
      {known && <rect className="fill" x={over ? below - width : below} y="1" width={Math.max(width, 0.6)} height="6" />}
      <rect className="zero" x={below - 0.25} y="0" width="0.5" height="8" />
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
