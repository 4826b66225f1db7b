/**
 * The time on the server, second by second. Countdowns and ages are differences to it, so that a
 * laptop with a wrong clock still counts right.
 */

import { Store, useStore } from "./store";

let ahead = 0;
const second = new Store(Date.now());
let timer: ReturnType<typeof setInterval> | undefined;

/** What the server last said the time was. */
export function observeServerTime(at: string): void {
  const said = Date.parse(at);
  if (!Number.isFinite(said)) return;
  ahead = said - Date.now();
}

export function serverNow(): number {
  return Date.now() + ahead;
}

/** Milliseconds of the server's clock; the component is drawn again each second. */
export function useNow(): number {
  timer ??= setInterval(() => second.set(serverNow()), 1000);
  useStore(second);
  return serverNow();
}
