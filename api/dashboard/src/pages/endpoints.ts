/** Where a service listens, or did. */

type Seen = { last_seen_at: string };

/** They are written down once a minute. */
const SEEN_WITHIN_MS = 150_000;

/** When the last of them was seen; null while one is, and where there was none. */
export function goneSince(endpoints: Seen[], now: number): string | null {
  const newest = endpoints.map(({ last_seen_at }) => last_seen_at).sort((a, b) => Date.parse(b) - Date.parse(a))[0];
  return newest !== undefined && now - Date.parse(newest) > SEEN_WITHIN_MS ? newest : null;
}
