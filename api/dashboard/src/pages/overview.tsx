/** Where things stand: what is firing and what is done about it, then every budget, then the machinery. */

import type { Items, Overview, Run, Service, SloSummary, Source } from "../data/client";
import { feed, feedError } from "../data/live";
import { serverNow, useNow } from "../data/now";
import { useResource } from "../data/resource";
import { useStore } from "../data/store";
import * as format from "../format";
import { Link, to } from "../router";
import { Ago, Empty, Loading, Page, Said, Section, Trouble } from "../ui/bits";
import { EventRow, LimitRow } from "../ui/lists";
import { StateTag } from "../ui/state";
import { byLoudness, sourceWord } from "../words";
import { atWork } from "./at-work";
import { headline } from "./headline";
import { Incident } from "./incident";
import { SloTable } from "./slo-table";

export function OverviewPage() {
  const overview = useResource<Overview>("/overview");
  const runs = useResource<Items<Run>>("/runs?limit=50", { everyMs: 2_000 });
  const open = useResource<Items<Run>>("/runs?open=true", { everyMs: 2_000 });
  const { data } = overview;
  const unreadable = data?.unreadable ?? [];
  if (!data) {
    return (
      <Page title="Overview">
        <Trouble of={overview} what="overview" />
        {!overview.error && <Loading lines={6} />}
      </Page>
    );
  }
  const slos = [...data.items].sort((a, b) => byLoudness(a.state, b.state) || left(a) - left(b) || a.name.localeCompare(b.name));
  const alerts = data.alerts.filter((alert) => alert.state !== "resolved");
  const byObjective = groupBy(alerts, (alert) => alert.objective);
  const work = atWork(byObjective, unique([...(runs.data?.items ?? []), ...(open.data?.items ?? [])]), data.limits);
  const shownLimits = new Set([...work.values()].flatMap((of) => of.limits));
  const otherLimits = data.limits.filter((limit) => !shownLimits.has(limit));

  return (
    <Page title={headline(data, serverNow())} kicker={<Freshness overview={data} />}>
      <Trouble of={overview} what="overview" />
      <Trouble of={runs.error ? runs : open} what="list of runs" />
      {data.notes.length + unreadable.length > 0 && (
        <div className="trouble" role="status">
          {data.notes.map((note) => <p key={note}><Said text={note} /></p>)}
          {unreadable.map(({ name, why }) => (
            <p key={name}><Said text={`\`${name}\` is missing here and is not judged: ${why}`} /></p>
          ))}
          <p className="hint">The rest of the page is true.</p>
        </div>
      )}
      <div className="overview">
        <div className="overview-main">
          {byObjective.map(([objective, of]) => (
            <Incident
              key={objective}
              alerts={of}
              slo={data.items.find((slo) => slo.name === objective)}
              work={work.get(objective)!}
              runsKnown={runs.data !== null}
              onChange={overview.reload}
            />
          ))}
          {otherLimits.length > 0 && (
            <Section id="limits" title="Live limits" note="set for an alert that is over, or by hand">
              {otherLimits.map((limit) => <LimitRow key={limit.id} limit={limit} onChange={overview.reload} />)}
            </Section>
          )}
          <Section id="objectives" title="Objectives" note={slos.length ? "loudest first" : undefined}>
            {slos.length ? <SloTable slos={slos} /> : unreadable.length === 0 && <NoObjective />}
          </Section>
        </div>
        <aside className="overview-side" aria-label="What happened and where data comes from">
          <Feed />
          <Sources sources={data.sources} />
        </aside>
      </div>
    </Page>
  );
}

function left(slo: SloSummary): number {
  return slo.budget_remaining ?? Infinity;
}

function Freshness({ overview: { sources, limits } }: { overview: Overview }) {
  const reporting = sources.filter((source) => source.state === "expected");
  if (reporting.length === 0) return <>No source of measurements reports</>;
  return (
    <>
      {format.plural(reporting.length, "source")} of measurements, newest data {format.duration(Math.max(0, Math.min(...reporting.map((source) => source.lag_ms))) / 1000)} old
      {limits.length > 0 && <> · {format.plural(limits.length, "limit")} in force</>}
    </>
  );
}

function Feed() {
  const events = useStore(feed);
  const error = useStore(feedError);
  return (
    <Section id="feed" title="What happened" aside={<Link href={to.events()}>all events</Link>}>
      {error && <p className="trouble" role="alert"><strong>No events: </strong>{error.message}</p>}
      {events.length === 0 && !error && <p className="note">Nothing yet.</p>}
      <ol className="feed">{events.slice(0, 12).map((event) => <EventRow key={event.id} event={event} compact />)}</ol>
    </Section>
  );
}

function Sources({ sources }: { sources: Source[] }) {
  useNow();
  return (
    <Section id="sources" title="Sources">
      {sources.length === 0 ? (
        <p className="note">No agent has reported. Run <code>slowburn run</code> on this host, or <code>slowburn agent --to URL</code> on another.</p>
      ) : (
        <ul className="sources">
          {sources.map((source) => (
            <li key={source.id}>
              <span className="strong" title={source.id}>{source.host}</span>
              <StateTag word={sourceWord(source)} />
              <span className="note num">
                {source.state === "expected" ? `${format.duration(Math.max(0, source.lag_ms) / 1000)} behind` : <>last heard <Ago at={source.last_at} /></>}
                {Math.abs(source.offset_ms) > 2_000 && `, clock off by ${format.duration(source.offset_ms / 1000)}`}
              </span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

function example({ name, endpoints }: { name: string; endpoints: { port: number }[] }): string {
  const ports = [...new Set(endpoints.map((endpoint) => endpoint.port))];
  return `apiVersion: slowburn/v1
kind: Service
metadata:
  name: ${name}
spec:
  match:
    port: ${ports.length === 1 ? ports[0] : `[${ports.join(", ")}]`}
  objectives:
    # 99.9 % of all requests are answered, and with no server error.
    - availability: 99.9%
    # 99 % of the answered requests are answered within 250 ms.
    - latency: {below: 250ms, target: 99%}`;
}

const MADE_UP = { name: "checkout", endpoints: [{ port: 8080 }] };

function NoObjective() {
  const services = useResource<Items<Service>>("/services", { everyMs: 5_000 });
  const found = services.data?.items.filter((service) => service.endpoints.length > 0) ?? [];
  const shown = found[0] ?? MADE_UP;
  return (
    <Empty title="No objective is defined">
      <p>
        An objective says how good a service must be. Write this to a file, check it with{" "}
        <code>slowburn validate {shown.name}.yaml</code>, then start slowburn with <code>--config {shown.name}.yaml</code>.
      </p>
      {found.length > 0 && (
        <p>
          slowburn already sees {format.plural(found.length, "service")}:{" "}
          {found.slice(0, 8).map((service, i) => <span key={service.name}>{i > 0 && ", "}<Link href={to.service(service.name)}>{service.name}</Link></span>)}.
        </p>
      )}
      <pre className="sample" tabIndex={0}><code>{example(shown)}</code></pre>
    </Empty>
  );
}

function groupBy<T>(items: T[], key: (item: T) => string): [string, T[]][] {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups];
}

function unique(runs: Run[]): Run[] {
  return [...new Map(runs.map((run) => [run.id, run])).values()];
}
