/**
 * The live connection. In: the server's stream of ticks and events. Out: when to ask again
 * (`onRefresh`), the newest events, and an honest word about the connection.
 *
 * While the stream is down, a slower beat of our own goes on asking: a page that can still be
 * right should be.
 */

import { type EventView, get, type Items, type Tick } from "./client";
import { observeServerTime } from "./now";
import { Store } from "./store";

export type Connection = {
  state: "connecting" | "live" | "broken";
  /** Browser time at which the stream last said anything. */
  heardAt: number | null;
  /** Browser time at which the current outage began. */
  brokenAt: number | null;
};

const FEED_LENGTH = 60;
const SILENCE_MS = 6_000;
const SLOW_BEAT_MS = 5_000;
const RETRY_MS = [1_000, 2_000, 4_000, 8_000, 15_000];

export const connection = new Store<Connection>({ state: "connecting", heardAt: null, brokenAt: null });
/** Newest first. */
export const feed = new Store<EventView[]>([]);
export const feedError = new Store<Error | null>(null);

export type Refresh = "tick" | "event";
const refreshers = new Set<(why: Refresh) => void>();
export function onRefresh(listener: (why: Refresh) => void): () => void {
  refreshers.add(listener);
  return () => refreshers.delete(listener);
}
function refresh(why: Refresh): void {
  for (const listener of [...refreshers]) listener(why);
}

let stream: EventSource | null = null;
let failures = 0;
let retry: ReturnType<typeof setTimeout> | undefined;
let soon: ReturnType<typeof setTimeout> | undefined;

export function start(): void {
  open();
  void loadFeed();
  setInterval(watch, 1_000);
  setInterval(() => connection.get().state !== "live" && refresh("tick"), SLOW_BEAT_MS);
  addEventListener("online", reopen);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh("event");
  });
}

export function reopen(): void {
  clearTimeout(retry);
  stream?.close();
  open();
}

function open(): void {
  stream = new EventSource("/api/v1/stream");
  stream.addEventListener("tick", (message) => {
    const tick = read<Tick>(message);
    if (tick) observeServerTime(tick.at);
    heard();
    refresh("tick");
  });
  stream.addEventListener("event", (message) => {
    heard();
    const event = read<EventView>(message);
    if (!event) return;
    add([event]);
    clearTimeout(soon);
    soon = setTimeout(() => refresh("event"), 150);
  });
  stream.onopen = () => {
    if (connection.get().state === "broken") void loadFeed();
    heard();
  };
  stream.onerror = lost;
}

function heard(): void {
  failures = 0;
  connection.set({ state: "live", heardAt: Date.now(), brokenAt: null });
}

function lost(): void {
  stream?.close();
  const { heardAt, brokenAt } = connection.get();
  connection.set({ state: "broken", heardAt, brokenAt: brokenAt ?? Date.now() });
  clearTimeout(retry);
  retry = setTimeout(open, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
  failures += 1;
}

/** A stream can be dead without an error: a laptop woken up, a proxy that lost its peer. */
function watch(): void {
  const { state, heardAt } = connection.get();
  if (state === "live" && heardAt !== null && Date.now() - heardAt > SILENCE_MS) lost();
}

async function loadFeed(): Promise<void> {
  try {
    const { items } = await get<Items<EventView>>(`/events?limit=${FEED_LENGTH}`);
    add(items);
    feedError.set(null);
  } catch (error) {
    feedError.set(error as Error);
  }
}

function add(events: EventView[]): void {
  feed.set(merge(feed.get(), events).slice(0, FEED_LENGTH));
}

/** One of each id, newest first. */
export function merge(a: EventView[], b: EventView[]): EventView[] {
  const byId = new Map([...a, ...b].map((event) => [event.id, event]));
  return [...byId.values()].sort((x, y) => y.id - x.id);
}

function read<T>(message: MessageEvent<string>): T | null {
  try {
    return JSON.parse(message.data) as T;
  } catch {
    feedError.set(new Error("the stream sent something that is not JSON"));
    return null;
  }
}
