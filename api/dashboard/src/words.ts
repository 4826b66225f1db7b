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
  frozen: { tone: "muted", shape: "dashed", means: "too little is measured to decide: it stays as it was" },
  no_data: { tone: "muted", shape: "dashed" },
  // runs and steps
  planned: { tone: "muted", shape: "ring" },
  applying: { tone: "act", shape: "half" },
  applied: { tone: "act", shape: "dot" },
  verifying: { tone: "act", shape: "half", means: "everything is done; does it help?" },
  holding: { tone: "act", shape: "dot", means: "what was done stands until its time ends or the alert resolves" },
  releasing: { tone: "act", shape: "half", means: "what was done is being undone" },
  released: { tone: "good", shape: "tick", means: "what was done was undone in time" },
  done: { tone: "good", shape: "tick" },
  failed: { tone: "bad", shape: "cross" },
  reverted: { tone: "warn", shape: "stop", means: "it did not help and was undone" },
  expired: { tone: "muted", shape: "stop", means: "its time ended without knowing whether it helped" },
  shadowed: { tone: "muted", shape: "ring", means: "written down, not done" },
  refused: { tone: "warn", shape: "stop", means: "a guard said no" },
  cancelled: { tone: "muted", shape: "stop" },
  skipped: { tone: "muted", shape: "stop", means: "there was nothing to do, or no longer" },
  // deliveries
  queued: { tone: "muted", shape: "ring" },
  retrying: { tone: "warn", shape: "half" },
  delivered: { tone: "good", shape: "tick" },
  // verdicts
  recovered: { tone: "good", shape: "tick" },
  no_effect: { tone: "warn", shape: "stop" },
  worse: { tone: "bad", shape: "cross" },
  unknown: { tone: "muted", shape: "dashed", means: "too little was measured to say" },
  // sources
  live: { tone: "good", shape: "tick" },
  late: { tone: "warn", shape: "half" },
  silent: { tone: "bad", shape: "cross", means: "expected to report and does not: its time is not covered" },
  goodbye: { tone: "muted", shape: "stop", text: "Stopped", means: "it left in an orderly way" },
  retired: { tone: "muted", shape: "stop", means: "silent for too long, expected no more" },
};

/** Any state the API may name; one that is not in the table is shown as it is spelled. */
export function stateWord(state: string): Word {
  const found = table[state];
  const text = found?.text ?? capital(words(state));
  return { tone: found?.tone ?? "muted", shape: found?.shape ?? "dot", text, ...(found?.means ? { means: found.means } : {}) };
}

const steps: Record<string, string> = {
  xdp_limit: "Limit the heaviest sources",
  page: "Page a person",
  scale: "Scale the service",
  verify: "Verify on the same SLI",
};
export function stepName(kind: string): string {
  return steps[kind] ?? capital(words(kind));
}

type Delivered = { target: string; action: string; state: string; attempts: number; last_error?: string | null };

/**
 * A limit or a scale that is applied stands until it is undone; a verification is simply done. A page leaves with its alert,
 * and its step is over as it is written: whether anybody was told is for its deliveries to say, the worst of them first.
 */
export function stepWord(step: { kind: string; state: string; intent?: unknown }, deliveries: Delivered[]): Word {
  if (step.state !== "applied") return stateWord(step.state);
  if (step.kind === "verify") return stateWord("done");
  if (step.kind !== "page") return stateWord(step.state);
  const pages = toldBy(step, deliveries).filter((delivery) => delivery.action === "trigger").map(deliveryState);
  return stateWord(["failed", "retrying", "queued", "delivered"].find((state) => pages.includes(state)) ?? "done");
}

/** The deliveries of a page step: those to the target it names. */
export function toldBy<T extends Delivered>(step: { kind: string; intent?: unknown }, deliveries: T[]): T[] {
  if (step.kind !== "page") return [];
  const target = (step.intent as { target?: unknown } | null)?.target;
  return deliveries.filter((delivery) => target === undefined || delivery.target === target);
}

export function deliveryWord(delivery: Delivered): Word {
  return stateWord(deliveryState(delivery));
}

function deliveryState({ state, attempts, last_error }: Delivered): string {
  if (state !== "pending") return state;
  return attempts > 0 && last_error ? "retrying" : "queued";
}

/** `retrying: connection refused` */
export function deliverySays(delivery: Delivered): string {
  const word = deliveryWord(delivery).text.toLowerCase();
  return delivery.state !== "delivered" && delivery.last_error ? `${word}: ${delivery.last_error}` : word;
}

/** A source that is expected says by its lag how it does. Of a large one the calm counters are booked once a slot, of which patience has three. */
export function sourceWord(source: { state: string; lag_ms: number; patience_ms: number }): Word {
  if (source.state !== "expected") return stateWord(source.state);
  return stateWord(source.lag_ms < source.patience_ms / 2 ? "live" : source.lag_ms < source.patience_ms ? "late" : "silent");
}

/** A tier without a measured window is not quiet: nobody can tell. */
export function tierWord(tier: { state: string; burn_rate_long?: number | null }, measured: boolean): Word {
  return stateWord(tier.state === "ok" && !measured ? "no_data" : tier.state);
}

const kinds: Record<string, [Tone, Shape]> = {
  slowburn_started: ["good", "tick"],
  slowburn_stopped: ["muted", "stop"],
  slowburn_died: ["warn", "up"],
  source_gone: ["muted", "stop"],
  source_retired: ["warn", "up"],
  clock_stepped: ["warn", "up"],
  endpoint_renamed: ["warn", "up"],
  definitions_taken_up: ["good", "tick"],
  definitions_refused: ["warn", "stop"],
  alert_pending: ["warn", "half"],
  alert_firing: ["bad", "flame"],
  alert_resolved: ["good", "tick"],
  alert_acknowledged: ["act", "dot"],
  alert_silenced: ["muted", "stop"],
  alert_unsilenced: ["warn", "up"],
  alert_inhibited: ["muted", "stop"],
  alert_uninhibited: ["warn", "up"],
  silence_made: ["muted", "stop"],
  silence_ended: ["muted", "ring"],
  evaluation_frozen: ["warn", "dashed"],
  evaluation_thawed: ["good", "tick"],
  run_queued: ["act", "ring"],
  run_started: ["act", "half"],
  run_step: ["act", "dot"],
  run_verdict: ["act", "dot"],
  run_finished: ["muted", "stop"],
  limit_applied: ["act", "dot"],
  limit_released: ["muted", "stop"],
  notification_sent: ["good", "tick"],
  notification_failed: ["bad", "cross"],
  correction_made: ["act", "ring"],
  correction_undone: ["muted", "stop"],
  annotated: ["act", "dot"],
};
export function eventWord(kind: string): Word {
  const [tone, shape] = kinds[kind] ?? (["muted", "ring"] as const);
  return { text: words(kind), tone, shape };
}

/** Final states of a run: there is nothing left to cancel. */
const OVER = new Set(["done", "failed", "reverted", "expired", "shadowed", "refused", "cancelled"]);
export function isOver(run: { state: string; finished_at?: string | null }): boolean {
  return Boolean(run.finished_at) || OVER.has(run.state);
}

const KINDS: Record<string, string> = { availability: "Availability", latency: "Latency", retransmits: "Retransmits", composite: "Composite" };

export function kindWord(kind: string): string {
  return KINDS[kind] ?? "Ratio";
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
