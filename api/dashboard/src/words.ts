/** What a state is called, how loud it is, and its shape: word and shape carry the meaning, colour repeats it. */

import type { SloState } from "./data/client";
import { words } from "./format";

/** From calm to loud; `muted` is "cannot tell". */
export type Tone = "good" | "warn" | "bad" | "act" | "muted";
export type Shape = "tick" | "up" | "flame" | "cross" | "dashed" | "dot" | "ring" | "half" | "stop";
export type Word = { text: string; tone: Tone; shape: Shape; means?: string };

export const sloWords: Record<SloState, Word> = {
  ok: { text: "OK", tone: "good", shape: "tick", means: "within its budget and burning slowly" },
  burning: { text: "Burning", tone: "warn", shape: "up", means: "spending faster than the budget lasts; no alert has fired" },
  firing: { text: "Firing", tone: "bad", shape: "flame", means: "an alert tier has fired" },
  exhausted: { text: "Exhausted", tone: "bad", shape: "cross", means: "the budget of the period is spent" },
  no_data: { text: "No data", tone: "muted", shape: "dashed", means: "nothing was measured, so nothing can be said" },
};

/** Loudest first. */
const LOUDNESS: SloState[] = ["firing", "exhausted", "burning", "no_data", "ok"];
export function byLoudness(a: SloState, b: SloState): number {
  return LOUDNESS.indexOf(a) - LOUDNESS.indexOf(b);
}

const table: Record<string, Omit<Word, "text"> & { text?: string }> = {
  // alerts and tiers
  ok: { text: "Quiet", tone: "good", shape: "tick" },
  pending: { tone: "warn", shape: "half" },
  firing: { tone: "bad", shape: "flame" },
  resolved: { tone: "good", shape: "tick" },
  // runs, steps, deliveries
  queued: { tone: "muted", shape: "ring" },
  waiting: { tone: "muted", shape: "half" },
  due: { tone: "muted", shape: "ring" },
  scheduled: { tone: "muted", shape: "ring" },
  claimed: { tone: "act", shape: "half" },
  acting: { tone: "act", shape: "half" },
  running: { tone: "act", shape: "half" },
  active: { tone: "act", shape: "half" },
  applied: { tone: "act", shape: "dot" },
  holding: { tone: "act", shape: "dot" },
  verifying: { tone: "act", shape: "half" },
  done: { tone: "good", shape: "tick" },
  succeeded: { tone: "good", shape: "tick" },
  finished: { tone: "good", shape: "tick" },
  completed: { tone: "good", shape: "tick" },
  delivered: { tone: "good", shape: "tick" },
  released: { tone: "good", shape: "tick" },
  reverted: { tone: "warn", shape: "up" },
  reverting: { tone: "warn", shape: "half" },
  retrying: { tone: "warn", shape: "half" },
  refused: { tone: "warn", shape: "stop" },
  skipped: { tone: "muted", shape: "stop" },
  cancelled: { tone: "muted", shape: "stop" },
  cancelling: { tone: "muted", shape: "half" },
  expired: { tone: "muted", shape: "stop" },
  failed: { tone: "bad", shape: "cross" },
  dead: { tone: "bad", shape: "cross", text: "Given up" },
  given_up: { tone: "bad", shape: "cross" },
  // verdicts
  recovered: { tone: "good", shape: "tick" },
  no_effect: { tone: "warn", shape: "stop" },
  worse: { tone: "bad", shape: "cross" },
  unknown: { tone: "muted", shape: "dashed" },
  // sources
  live: { tone: "good", shape: "tick" },
  late: { tone: "warn", shape: "half" },
  silent: { tone: "bad", shape: "cross" },
  gone: { tone: "muted", shape: "stop" },
  goodbye: { tone: "muted", shape: "stop", text: "Stopped" },
  retired: { tone: "muted", shape: "stop" },
};

/** Any state the API may name; one that is not in the table is shown as it is spelled. */
export function stateWord(state: string): Word {
  const found = table[state];
  const text = found?.text ?? capital(words(state));
  return { tone: found?.tone ?? "muted", shape: found?.shape ?? "dot", text };
}

const steps: Record<string, string> = {
  xdp_limit: "Limit the heaviest source",
  limit: "Limit the heaviest source",
  page: "Page a person",
  notify: "Notify",
  scale: "Scale the service",
  verify: "Verify on the same SLI",
  wait: "Wait",
  release: "Release the limit",
  revert: "Take it back",
  resolve: "Resolve the page",
};
export function stepName(kind: string): string {
  return steps[kind] ?? capital(words(kind));
}

/** `slo.state_changed`, `limit_applied` -> a short tag for the feed, and how loud it is. */
export function eventTone(kind: string): Word {
  const last = words(kind.replaceAll(".", " ")).toLowerCase();
  const loud: [RegExp, Tone, Shape][] = [
    [/fail|lost|refus|panic|exhaust|worse|error/, "bad", "cross"],
    [/firing|fired/, "bad", "flame"],
    [/resolv|recover|deliver|releas|finish|succe/, "good", "tick"],
    [/pending|gap|clock|retir|revert|late|silent|expire/, "warn", "up"],
    [/limit|run|step|page|scale|act/, "act", "dot"],
  ];
  const found = loud.find(([pattern]) => pattern.test(last));
  return { text: last, tone: found?.[1] ?? "muted", shape: found?.[2] ?? "ring" };
}

/** Final states of a run: there is nothing left to cancel. */
const OVER = new Set(["done", "succeeded", "finished", "completed", "failed", "cancelled", "expired", "reverted", "refused", "skipped"]);
export function isOver(run: { state: string; finished_at?: string | null }): boolean {
  return Boolean(run.finished_at) || OVER.has(run.state);
}

export function kindWord(kind: string): string {
  return kind === "availability" ? "Availability" : kind === "latency" ? "Latency" : "Ratio";
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
