/** Where a service listens, or did. */

type Seen = { last_seen_at: string; gone_at?: string | null };

/** What is seen is written down once a minute, and who is silent says of nothing that it is gone. */
const SEEN_WITHIN_MS = 150_000;

/** When the last of them went, or was seen; null while one is, and where there was none. */
export function goneSince(endpoints: Seen[], now: number): string | null {
  const isSeen = ({ gone_at, last_seen_at }: Seen) => gone_at == null && now - Date.parse(last_seen_at) <= SEEN_WITHIN_MS;
  if (endpoints.some(isSeen)) return null;
  const last = endpoints.map(({ gone_at, last_seen_at }) => gone_at ?? last_seen_at);
  return last.sort((a, b) => Date.parse(b) - Date.parse(a))[0] ?? null;
}
