/** Asks the API. In: a path below /api/v1. Out: its answer, or an ApiError a person can act on. */

import type { components } from "../api.gen";

type Schemas = components["schemas"];
export type Overview = Schemas["OverviewView"];
export type SloSummary = Schemas["SloSummary"];
export type SloDetail = Schemas["SloDetail"];
export type SloSeries = Schemas["SloSeriesView"];
export type SloState = Schemas["SloState"];
export type Tier = Schemas["TierView"];
export type Alert = Schemas["AlertView"];
export type Spending = Schemas["SpendingView"];
export type PartOfEvidence = Schemas["PartOfEvidenceView"];
export type Silence = Schemas["SilenceView"];
export type WindowCounts = Schemas["WindowCountsView"];
export type Service = Schemas["ServiceSummary"];
export type ServiceDetail = Schemas["ServiceDetail"];
export type Source = Schemas["SourceView"];
export type Limit = Schemas["LimitView"];
export type Run = Schemas["RunSummary"];
export type RunDetail = Schemas["RunDetail"];
export type Step = Schemas["StepView"];
export type Delivery = Schemas["DeliveryView"];
export type Runbook = Schemas["RunbookView"];
export type EventView = Schemas["EventView"];
export type Tick = Schemas["TickView"];
export type Corrections = Schemas["CorrectionsView"];
export type Correction = Schemas["CorrectionView"];
export type Annotation = Schemas["AnnotationView"];
export type Items<T> = { items: T[] };

/** The API answers within milliseconds or something is wrong. */
const PATIENCE_MS = 10_000;

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint?: string | null,
    /** 0 when there was no answer at all. */
    readonly status = 0,
  ) {
    super(message);
  }
}

export function get<T>(path: string, stop?: AbortSignal): Promise<T> {
  return ask<T>("GET", path, undefined, stop);
}

/** Everything that changes something says so with a JSON content type: the API refuses the rest. */
export function change<T>(method: "POST" | "DELETE", path: string, body: object = {}): Promise<T> {
  return ask<T>(method, path, JSON.stringify(body));
}

async function ask<T>(method: string, path: string, body?: string, stop?: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(PATIENCE_MS);
  let response: Response;
  let text: string;
  try {
    response = await fetch("/api/v1" + path, {
      method,
      signal: stop ? either(stop, timeout) : timeout,
      headers: body === undefined ? { accept: "application/json" } : { accept: "application/json", "content-type": "application/json" },
      ...(body === undefined ? {} : { body }),
    });
    text = await response.text();
  } catch (error) {
    if (stop?.aborted) throw error;
    if (timeout.aborted) {
      throw new ApiError("timeout", "slowburn did not answer within 10 s", "it may be busy; this page asks again by itself");
    }
    throw new ApiError("unreachable", "slowburn cannot be reached", "check that `slowburn run` or `slowburn serve` is still running; this page asks again by itself");
  }
  const value = parse(text);
  if (!response.ok) throw toError(response.status, value);
  if (value === undefined && text !== "") {
    throw new ApiError("not_json", `the answer to ${path} was not JSON`, "something else may be answering at this address", response.status);
  }
  return value as T;
}

function either(a: AbortSignal, b: AbortSignal): AbortSignal {
  const both = new AbortController();
  for (const signal of [a, b]) {
    if (signal.aborted) both.abort();
    signal.addEventListener("abort", () => both.abort(), { once: true });
  }
  return both.signal;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function toError(status: number, value: unknown): ApiError {
  const error = (value as Partial<Schemas["ErrorEnvelope"]> | undefined)?.error;
  if (error?.message) return new ApiError(error.code, error.message, error.hint, status);
  return new ApiError(`http_${status}`, `the answer was HTTP ${status}`, null, status);
}
