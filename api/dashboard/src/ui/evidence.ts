/** What a part of a composite adds to what an alert stands on, in words. */

import type { PartOfEvidence } from "../data/client";
import * as format from "../format";

/** `20 bad of 400, burning at 5×; 11 are evidence`. `weighed`: the counts were what it was decided by. */
export function partWords(part: PartOfEvidence, weighed: boolean): string {
  const all = part.good + part.bad;
  if (all === 0) return "nothing counted";
  // Slices that are partly bad are counted in parts of one.
  const of = part.unit === 1 ? "" : " slices";
  const amount = (count: number) => (part.unit === 1 ? format.count(count) : format.events(count / part.unit));
  const seen = `${amount(part.bad)} bad of ${amount(all)}${of}, burning at ${format.burn(part.burn_rate)}`;
  if (!weighed) return seen;
  if (part.bad_needed == null) return `${seen}; not even all of them would be evidence`;
  if (part.bad_needed === 0) return `${seen}; the others are evidence without it`;
  return `${seen}; ${amount(part.bad_needed)} ${part.bad_needed === part.unit ? "is" : "are"} evidence beside the others`;
}
