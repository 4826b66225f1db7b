/** The journal: what happened, in order, as told by the stream that this page listens to. */

import { useEffect, useMemo, useState } from "react";
import type { EventView, Items } from "../data/client";
import { feed, merge } from "../data/live";
import { useResource } from "../data/resource";
import { useStore } from "../data/store";
import { go, Link, to, usePlace } from "../router";
import { Empty, Loading, Page, Trouble } from "../ui/bits";
import { EventRow } from "../ui/lists";

export function EventsPage() {
  const { query } = usePlace();
  const subject = query.get("subject") ?? "";
  const [typed, setTyped] = useState(subject);
  useEffect(() => setTyped(subject), [subject]);
  const filter = subject ? `&subject=${encodeURIComponent(subject)}` : "";
  const found = useResource<Items<EventView>>(`/events?limit=200${filter}`, { everyMs: 10_000 });
  const live = useStore(feed);
  const items = useMemo(
    () => merge(found.data?.items ?? [], live.filter((event) => !subject || event.subject === subject)),
    [found.data, live, subject],
  );
  return (
    <Page
      title="Events"
      kicker={subject ? <>About {subject} · <Link href={to.events()}>all events</Link></> : "What happened, newest first"}
      aside={(
        <form className="search" role="search" onSubmit={(submit) => { submit.preventDefault(); go(to.events(typed.trim())); }}>
          <label htmlFor="subject" className="sr-only">Only events about</label>
          <input id="subject" type="search" value={typed} onChange={(input) => setTyped(input.target.value)} placeholder="service, objective, run…" spellCheck={false} autoComplete="off" />
          <button type="submit" className="button">Show</button>
        </form>
      )}
    >
      <Trouble of={found} what="events" />
      {!found.data && !found.error && <Loading lines={8} />}
      {found.data && items.length === 0 && <Empty title={subject ? `Nothing happened to ${subject}` : "Nothing happened yet"} />}
      <ol className="feed wide">{items.map((event) => <EventRow key={event.id} event={event} about={subject} />)}</ol>
    </Page>
  );
}
