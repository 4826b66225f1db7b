/** What is said of the time before an objective's counts begin: histograms tell it, as an interval. */

import type { SloDetail } from "../data/client";
import * as format from "../format";

type Told = Pick<SloDetail, "estimated" | "target">;

/** `Before 14:02: 99.12 % to 99.31 % good, estimated from histograms` */
export function goodBefore({ estimated, target }: Told, now: Date): string | null {
  if (!estimated) return null;
  // Where one is null, all that can have counted is good, or bad.
  const least = format.sli(estimated.sli_min ?? 1, target);
  const most = format.sli(estimated.sli_max ?? 0, target);
  return `Before ${format.clock(new Date(estimated.to), now, false)}: ${between(least, most)} good, estimated from histograms`;
}

/** `estimated for the whole period: 40 % to 62 %` */
export function leftWithBefore({ estimated }: Told): string | null {
  if (!estimated) return null;
  const least = format.percent(estimated.budget_remaining_min);
  const most = format.percent(estimated.budget_remaining_max);
  return `estimated for the whole period: ${between(least, most)}`;
}

function between(least: string, most: string): string {
  return least === most ? least : `${least} to ${most}`;
}
