/**
 * One answer of the API, kept fresh while it is on the page: asked for at once, then again when
 * the live connection says so, one request at a time. Old data stays while it cannot be renewed,
 * with the error and its age beside it.
 */

import { useEffect, useState } from "react";
import { get } from "./client";
import { onRefresh } from "./live";

export type Resource<T> = {
  data: T | null;
  error: Error | null;
  /** Browser time of the newest data. */
  loadedAt: number | null;
  reload: () => void;
};

type Kept = { data: unknown; at: number };
/** Going back to a page shows what was there last, then renews it. */
const kept = new Map<string, Kept>();
const KEPT_MAX = 100;

type State = { key: string | null; data: unknown; error: Error | null; loadedAt: number | null };

/**
 * `key` names the answer; `url` builds the address when it is asked for (a window that ends now
 * moves). `everyMs` is the least time between two requests on ticks.
 */
export function useResource<T>(key: string | null, options: { everyMs?: number; url?: () => string } = {}): Resource<T> {
  const { everyMs = 1_000, url } = options;
  const [state, setState] = useState<State>(() => initial(key));
  const [reload, setReload] = useState<() => void>(() => () => undefined);

  useEffect(() => {
    if (key === null) return;
    const stop = new AbortController();
    let busy = false;
    let again = false;
    let askedAt = 0;

    async function load(): Promise<void> {
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      askedAt = Date.now();
      try {
        const data = await get<T>(url ? url() : key!, stop.signal);
        keep(key!, data);
        setState({ key, data, error: null, loadedAt: Date.now() });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((old) => ({ ...(old.key === key ? old : initial(key)), error: error as Error }));
      } finally {
        busy = false;
      }
      if (again && !stop.signal.aborted) {
        again = false;
        void load();
      }
    }

    setState(initial(key));
    setReload(() => () => void load());
    void load();
    const quiet = onRefresh((why) => {
      if (document.hidden || (why === "tick" && (busy || Date.now() - askedAt < everyMs - 100))) return;
      void load();
    });
    return () => {
      stop.abort();
      quiet();
    };
    // `url` is rebuilt on each drawing; what it depends on is in `key`.
  }, [key, everyMs]);

  const current = state.key === key ? state : initial(key);
  return { data: current.data as T | null, error: current.error, loadedAt: current.loadedAt, reload };
}

function initial(key: string | null): State {
  const old = key === null ? undefined : kept.get(key);
  return { key, data: old?.data ?? null, error: null, loadedAt: old?.at ?? null };
}

function keep(key: string, data: unknown): void {
  kept.delete(key);
  kept.set(key, { data, at: Date.now() });
  const oldest = kept.keys().next();
  if (kept.size > KEPT_MAX && !oldest.done) kept.delete(oldest.value);
}
