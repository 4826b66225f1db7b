/** One service: how it does right now, route by route, and why it carries its name. */

import { useMemo, useState } from "react";
import { asked, gaps, meanRate, rate } from "../chart/series";
import { TimeChart } from "../chart/time-chart";
import type { Items, ServiceDetail, SloSummary } from "../data/client";
import { serverNow } from "../data/now";
import { useResource } from "../data/resource";
import * as format from "../format";
import { usePlace } from "../router";
import { Ago, Choice, Loading, Page, Said, Section, Tile, Trouble } from "../ui/bits";
import { SloStateTag } from "../ui/state";
import { Connections } from "./connections";
import { goneSince } from "./endpoints";
import { SloTable } from "./slo-table";

const WINDOWS: [string, string, number][] = [["5m", "5 min", 300], ["15m", "15 min", 900], ["1h", "1 h", 3600], ["6h", "6 h", 21_600], ["1d", "1 d", 86_400]];

export function ServicePage({ name }: { name: string }) {
  const { query } = usePlace();
  const [window, setWindow] = useState(WINDOWS.some(([key]) => key === query.get("window")) ? query.get("window")! : "15m");
  const detail = useResource<ServiceDetail>(`/services/${encodeURIComponent(name)}?window=${window}`, { everyMs: window === "5m" || window === "15m" ? 2_000 : 15_000 });
  const slos = useResource<Items<SloSummary>>("/slos", { everyMs: 2_000 });
  const mine = slos.data?.items.filter((slo) => slo.service === name) ?? [];
  const service = detail.data;
  const [, spanText, span] = WINDOWS.find(([key]) => key === window)!;
  const choice = <Choice label="Span" value={window} options={WINDOWS.map(([key, text]) => [key, text])} onChange={setWindow} />;
  if (!service) {
    return (
      <Page title={name} kicker="Service" aside={choice}>
        <Trouble of={detail} what="service" />
        {!detail.error && <Loading lines={8} />}
      </Page>
    );
  }
  const { series } = service;
  const gone = goneSince(service.endpoints, serverNow());
  const requests = meanRate(series.requests, series.coverage, series.step_seconds);
  const retransmits = meanRate(series.retransmits, series.coverage, series.step_seconds);
  const over = requests.seconds >= span * 0.995 ? "on average" : requests.seconds > 0 ? `on average over ${format.duration(requests.seconds)} measured` : "not measured";
  return (
    <Page title={name} kicker={<>Service{service.because ? <> · <Said text={service.because} /></> : null}</>} aside={<>{service.slos.length > 0 && <SloStateTag state={service.worst_state} />}{choice}</>}>
      <Trouble of={detail} what="service" />
      {gone && <p className="banner">Nothing listens for it any more: last seen <Ago at={gone} />. Rates are of the span that is shown, and run out with it.</p>}
      <dl className="tiles dense">
        <Tile label={`Requests, last ${spanText}`} value={format.perSecond(requests.rate)}>{over}</Tile>
        <Tile label="Errors" value={format.percent(service.error_ratio)} {...((service.error_ratio ?? 0) > 0.01 ? { tone: "bad" } : {})} />
        <Tile label="p50" value={format.latency(service.p50_ms)} />
        <Tile label="p99" value={format.latency(service.p99_ms)}>{service.queue_p99_ms != null && `waiting to be read: ${format.latency(service.queue_p99_ms)}`}</Tile>
        {service.last_byte_p99_ms != null && <Tile label="p99 to the last byte" value={format.latency(service.last_byte_p99_ms)}>{`p50 ${format.latency(service.last_byte_p50_ms)}`}</Tile>}
        <Tile label="In flight" value={format.count(service.in_flight)}>
          <span className={(service.overdue ?? 0) > 0 ? "tone-bad strong" : ""}>{service.overdue == null ? "overdue unknown" : `${format.count(service.overdue)} overdue`}</span>
        </Tile>
        <Tile label="Retransmits" value={format.perSecond(retransmits.rate)} />
        <Tile label="Round trip (RTT)" value={format.latency(service.rtt_ms)}>{service.rtt_ms != null && "mean, as last read"}</Tile>
        <Tile label="Measured" value={format.percent(service.coverage)} {...((service.coverage ?? 1) < 0.995 ? { tone: "warn" } : {})} />
      </dl>
      <Charts service={service} span={span} />
      {mine.length > 0 && <Section id="objectives" title="Objectives"><SloTable slos={mine} of={name} /></Section>}
      <Trouble of={slos} what="objectives" />
      <Routes service={service} />
      <Connections service={service} />
      <Endpoints service={service} />
    </Page>
  );
}

function Charts({ service: { series }, span }: { service: ServiceDetail; span: number }) {
  const { at, step_seconds: step } = series;
  const drawn = useMemo(() => ({
    range: asked(at, span, serverNow() / 1000),
    gaps: gaps(at, series.coverage, step, asked(at, span, serverNow() / 1000)[0]),
    requests: rate(series.requests, step),
    errors: rate(series.errors, step),
    retransmits: rate(series.retransmits, step),
  }), [series, span]);
  const shared = { at, range: drawn.range, gaps: drawn.gaps, height: 160 };
  if (at.length === 0) return <p className="note">No history yet.</p>;
  return (
    <div className="charts three">
      <TimeChart
        {...shared} title="Requests" spellTick={format.perSecond}
        lines={[{ label: "all", values: drawn.requests, tone: "second", spell: format.perSecond, fill: true }, { label: "errors", values: drawn.errors, tone: "bad", spell: format.perSecond, fill: true }]}
      />
      <TimeChart
        {...shared} title="Turnaround" spellTick={format.latency}
        lines={[{ label: "p99", values: series.p99_ms, tone: "accent", spell: format.latency }, { label: "p99 of waiting to be read", values: series.queue_p99_ms, tone: "warn", spell: format.latency, dash: true }, { label: "p50", values: series.p50_ms, tone: "second", spell: format.latency, dash: true }]}
      />
      <TimeChart
        {...shared} title="Retransmits" spellTick={format.perSecond}
        yRange={(_, max) => [0, Math.max(1, (max || 0) * 1.12)]}
        lines={[{ label: "segments", values: drawn.retransmits, tone: "warn", spell: format.perSecond, fill: true }]}
      />
    </div>
  );
}

function Routes({ service }: { service: ServiceDetail }) {
  const routes = [...service.routes].sort((a, b) => b.requests - a.requests);
  const classes = ["1", "2", "3", "4", "5"].filter((digit) => routes.some((route) => Object.keys(route.statuses).some((status) => status[0] === digit)));
  return (
    <Section id="routes" title="Routes">
      {routes.length === 0 ? <p className="note">No request in this span.</p> : (
        <div className="scroll">
          <table className="rows">
            <thead>
              <tr>
                <th scope="col">Route</th><th scope="col" className="right">Requests</th><th scope="col" className="right">Errors</th>
                <th scope="col" className="right">p50</th><th scope="col" className="right">p99</th>
                {classes.map((digit) => <th key={digit} scope="col" className="right">{digit}xx</th>)}
              </tr>
            </thead>
            <tbody>
              {routes.map((route) => (
                <tr key={route.route}>
                  <th scope="row" data-label="Route"><code>{route.route}</code></th>
                  <td data-label="Requests" className="right num">{format.count(route.requests)}</td>
                  <td data-label="Errors" className="right num">
                    <span className={route.errors > 0 ? "strong tone-bad" : ""}>{format.count(route.errors)}</span>
                    {route.errors > 0 && <span className="sub">{format.percent(route.errors / Math.max(1, route.requests))}</span>}
                  </td>
                  <td data-label="p50" className="right num">{format.latency(route.p50_ms)}</td>
                  <td data-label="p99" className="right num">{format.latency(route.p99_ms)}</td>
                  {classes.map((digit) => <Statuses key={digit} statuses={route.statuses} digit={digit} />)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

/** The sum of a class, and the exact codes behind it where there is more than the usual one. */
function Statuses({ statuses, digit }: { statuses: Record<string, number>; digit: string }) {
  const of = Object.entries(statuses).filter(([status]) => status[0] === digit).sort((a, b) => b[1] - a[1]);
  const sum = of.reduce((total, [, n]) => total + n, 0);
  if (sum === 0) return <td className="right note nothing">0</td>;
  const usual = of.length === 1 && of[0]![0] === "200";
  return (
    <td data-label={`${digit}xx`} className="right num">
      {format.count(sum)}
      {!usual && <span className="sub">{of.map(([status, n]) => (of.length === 1 ? status : `${status}: ${format.count(n)}`)).join(", ")}</span>}
    </td>
  );
}

function Endpoints({ service }: { service: ServiceDetail }) {
  return (
    <Section id="endpoints" title="Why it is named so" note={service.because ? <Said text={service.because} /> : undefined}>
      {service.endpoints.length === 0 ? <p className="note">No listening socket was found for it. It is watched as soon as one appears.</p> : (
        <div className="scroll">
          <table className="rows">
            <thead><tr><th scope="col">Port</th><th scope="col">Because</th><th scope="col">Executable</th><th scope="col">Cgroup</th><th scope="col">Source</th></tr></thead>
            <tbody>
              {service.endpoints.map((endpoint, i) => (
                <tr key={i}>
                  <th scope="row" data-label="Port" className="num">{endpoint.port}{goneSince([endpoint], serverNow()) && <span className="sub">last seen <Ago at={endpoint.gone_at ?? endpoint.last_seen_at} /></span>}</th>
                  <td data-label="Because"><Said text={endpoint.because} /></td>
                  <td data-label="Executable">{endpoint.executable ? <code>{endpoint.executable}</code> : <span className="note">not readable</span>}</td>
                  <td data-label="Cgroup"><code>{endpoint.cgroup}</code></td>
                  <td data-label="Source"><code className="id">{endpoint.source}</code></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}
