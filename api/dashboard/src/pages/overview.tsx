/** Where things stand: what is firing and what is done about it, then every budget, then the machinery. */

import { useMemo } from "react";
import type { Items, Overview, Run, SloSummary, Source } from "../data/client";
import { feed, feedError } from "../data/live";
import { useNow } from "../data/now";
import { useResource } from "../data/resource";
import { useStore } from "../data/store";
import * as format from "../format";
import { Link, to } from "../router";
import { Empty, Loading, Page, Section, Trouble } from "../ui/bits";
import { EventRow, LimitRow } from "../ui/lists";
import { State } from "../ui/state";
import { byLoudness } from "../words";
import { Incident } from "./incident";
import { SloTable } from "./slo-table";

export function OverviewPage() {
  const overview = useResource<Overview>("/overview");
  const runs = useResource<Items<Run>>("/runs?limit=50", { everyMs: 2_000 });
  const { data } = overview;
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
  const runOf = (alertId: number) => runs.data?.items.filter((run) => run.alert_id === alertId) ?? [];
  const shownRuns = new Set(alerts.flatMap((alert) => runOf(alert.id).map((run) => run.id)));
  const otherLimits = data.limits.filter((limit) => !(limit.run_id != null && shownRuns.has(limit.run_id)));
  const byObjective = groupBy(alerts, (alert) => alert.objective);

  return (
    <Page title={headline(data)} kicker={<Freshness overview={data} />}>
      <Trouble of={overview} what="overview" />
      <Trouble of={runs} what="list of runs" />
      <div className="overview">
        <div className="overview-main">
          {byObjective.map(([objective, of]) => (
            <Incident
              key={objective}
              alerts={of}
              slo={data.items.find((slo) => slo.name === objective)}
              runs={unique(of.flatMap((alert) => runOf(alert.id)))}
              limits={data.limits}
              onChange={overview.reload}
            />
          ))}
          {otherLimits.length > 0 && (
            <Section id="limits" title="Live limits" note="set for an alert that is over, or by hand">
              {otherLimits.map((limit) => <LimitRow key={limit.id} limit={limit} onChange={overview.reload} />)}
            </Section>
          )}
          <Section id="objectives" title="Objectives" note={slos.length ? "loudest first" : undefined}>
            {slos.length ? <SloTable slos={slos} /> : <NoObjective />}
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

/** The page's title is the answer to the question it was opened with. */
function headline({ items, alerts }: Overview): string {
  if (items.length === 0) return "Nothing to watch yet";
  const of = (state: SloSummary["state"]) => items.filter((slo) => slo.state === state);
  const unknown = of("no_data");
  if (unknown.length === items.length) return "Nothing was measured yet";
  const loud = [named("Firing", of("firing")), named("Budget spent", of("exhausted")), named("Burning", of("burning"))].filter(Boolean);
  if (loud.length) return loud.slice(0, 2).join(". ");
  const pending = alerts.some((alert) => alert.state === "pending") ? ", one alert is pending" : "";
  const measured = items.length - unknown.length;
  if (unknown.length) return `${measured} of ${items.length} objectives are within budget, ${unknown.length} without data${pending}`;
  return (items.length === 1 ? "The objective is within its budget" : `All ${items.length} objectives are within budget`) + pending;
}

function named(what: string, slos: SloSummary[]): string | null {
  if (slos.length === 0) return null;
  return `${what}: ${slos.length <= 2 ? slos.map((slo) => slo.display_name || slo.name).join(", ") : format.plural(slos.length, "objective")}`;
}

function left(slo: SloSummary): number {
  return slo.budget_remaining ?? Infinity;
}

function Freshness({ overview: { sources, limits } }: { overview: Overview }) {
  const live = sources.filter((source) => source.lag_ms !== null && source.lag_ms !== undefined);
  if (sources.length === 0) return <>No source of measurements has said hello</>;
  const lags = live.map((source) => source.lag_ms!);
  return (
    <>
      {format.plural(sources.length, "source")} of measurements
      {lags.length > 0 && <>, newest data {format.duration(Math.max(0, Math.min(...lags)) / 1000)} old</>}
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
              <State state={source.state} />
              <span className="note num">{source.lag_ms == null ? "no batch yet" : `${format.duration(source.lag_ms / 1000)} behind`}</span>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}

const EXAMPLE = `apiVersion: openslo/v1
kind: SLO
metadata: { name: checkout-availability }
spec:
  service: checkout
  indicator:
    metadata: { name: checkout-good }
    spec:
      ratioMetric:
        good:
          metricSource:
            type: slowburn
            spec: { service: checkout, role: server, status: [2xx, 3xx, 4xx] }
        total:
          metricSource:
            type: slowburn
            spec: { service: checkout, role: server }
  timeWindow: [{ duration: 30d, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ displayName: Checkout answers, target: 0.999 }]`;

function NoObjective() {
  const services = useResource<Items<{ name: string }>>("/services", { everyMs: 5_000 });
  const found = services.data?.items ?? [];
  const text = useMemo(() => (found[0] ? EXAMPLE.replaceAll("checkout", found[0].name).replace("Checkout", found[0].name) : EXAMPLE), [found[0]?.name]);
  return (
    <Empty title="No objective is defined">
      <p>
        An objective says how good a service must be. Put one in a file, check it with <code>slowburn validate FILE</code>,
        and start slowburn with <code>--config</code> naming the file or its folder.
      </p>
      {found.length > 0 && (
        <p>
          slowburn already sees {format.plural(found.length, "service")}:{" "}
          {found.slice(0, 8).map((service, i) => <span key={service.name}>{i > 0 && ", "}<Link href={to.service(service.name)}>{service.name}</Link></span>)}.
        </p>
      )}
      <pre className="sample" tabIndex={0}><code>{text}</code></pre>
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
