/** One objective: what is asked, what was measured, what is left, how fast it goes, who would be told. */

import { useMemo, useState } from "react";
import { asked, burnDown, burnTicks, firstCovered, gaps, measured, stepFor, unexplained } from "../chart/series";
import { type Mark, TimeChart } from "../chart/time-chart";
import type { Range } from "../chart/series";
import type { Alert, Annotation, Corrections, EventView, Items, SloDetail, SloSeries, SloSummary, Tier } from "../data/client";
import { serverNow } from "../data/now";
import { useResource } from "../data/resource";
import * as format from "../format";
import { Link, to } from "../router";
import { Ago, Choice, Loading, Page, Section, Tile, Trouble } from "../ui/bits";
import { BudgetBar, budgetTone } from "../ui/budget";
import { EventRow, limitWords, Owned } from "../ui/lists";
import { SloStateTag, StateTag } from "../ui/state";
import { CorrectionList } from "./corrections";
import { kindWord, tierWord } from "../words";
import { AlertTable, newestFirst } from "./alerts";
import { goodBefore, leftWithBefore } from "./estimate";
import { burnNow, iso, SloTable } from "./slo-table";

export function SloPage({ name }: { name: string }) {
  const path = `/slos/${encodeURIComponent(name)}`;
  const detail = useResource<SloDetail>(path);
  const slo = detail.data;
  if (!slo) {
    return (
      <Page title={name} kicker="Objective">
        <Trouble of={detail} what="objective" />
        {!detail.error && <Loading lines={8} />}
      </Page>
    );
  }
  return (
    <Page
      title={slo.display_name || slo.name}
      kicker={<>{kindWord(slo.kind)} of <Link href={to.service(slo.service)}>{slo.service}</Link>{slo.display_name && slo.display_name !== slo.name ? <> · <code>{slo.name}</code></> : null}{slo.part_of && <> · part of <Link href={to.slo(slo.part_of)}>{slo.part_of}</Link></>}</>}
      aside={<SloStateTag state={slo.state} />}
    >
      <Trouble of={detail} what="objective" />
      {slo.description && <p className="lede">{slo.description}</p>}
      <Owned of={slo} />
      <Tiles slo={slo} />
      {slo.parts.length > 0 && <Parts slo={slo} />}
      <Marked key={name} slo={slo} path={path} />
      <Tiers slo={slo} />
      <BudgetAlerts slo={slo} />
      <History slo={slo} />
    </Page>
  );
}

/** What a composite is made of: each part is an objective with a page of its own. */
function Parts({ slo }: { slo: SloDetail }) {
  const all = useResource<Items<SloSummary>>("/slos", { everyMs: 5_000 });
  const parts = slo.parts.map((part) => all.data?.items.find((each) => each.name === part.name)).filter((each) => each !== undefined);
  const weights = slo.parts.map((part) => `${part.name} ${format.burn(part.weight)}`).join(", ");
  return (
    <Section id="parts" title="Parts" note={slo.unit === 1 ? "a slice of the whole is bad when one of theirs is" : <>the whole burns what they burn, each times its weight: {weights}</>}>
      <Trouble of={all} what="parts" />
      {all.data ? <SloTable slos={parts} of={slo.service} /> : !all.error && <Loading lines={2} />}
    </Section>
  );
}

function Tiles({ slo }: { slo: SloDetail }) {
  const thin = slo.coverage != null && slo.coverage < 0.995;
  const tone = budgetTone(slo.budget_remaining);
  // RatioTimeslices are counted in billionths of a slice; people read slices.
  const [good, bad, allowed] = [slo.good, slo.bad, slo.budget_total_events].map((count) => count / slo.unit) as [number, number, number];
  const left = allowed - bad;
  const slices = slo.slice_seconds == null ? "" : ` slices of ${format.window(slo.slice_seconds)}`;
  const event = slices === "" ? "bad event" : "bad slice";
  // Slices are allowed for the whole period; a budget of events is a share of those that were counted.
  const isYoung = slo.budget_remaining != null && slo.slice_seconds == null && slo.kind !== "composite"
    && Date.parse(slo.counted_from) - Date.parse(slo.period_from) > slo.period_seconds * 1000 * 0.05;
  // A calendar's period ends later; a rolling one now.
  const span = Date.parse(slo.period_to) - serverNow() > 60_000
    ? <>since {format.clock(new Date(slo.period_from), new Date(serverNow()), false)}</>
    : <>over the last {format.window(slo.period_seconds)}</>;
  return (
    <dl className="tiles three">
      <Tile label="Objective" value={format.target(slo.target)}>
        {slo.kind === "composite" ? `of ${slo.parts.length} parts, ${slo.unit === 1 ? "all of which have to be good" : "each by its weight and target"}` : slo.kind === "latency" && slo.threshold_ms != null ? `answered within ${format.duration(slo.threshold_ms / 1000)}` : slo.kind === "retransmits" ? "segments that TCP sent only once" : "good answers"}{slices !== "" && <>, counted in{slices}</>}, {span}
      </Tile>
      <Tile label="Measured" value={format.sli(slo.sli, slo.target)}>
        {good + bad === 0 ? "nothing was counted in the period" : slo.kind === "composite" && slo.unit !== 1 ? "mean of its parts" : <>{format.count(bad)} bad of {format.count(good + bad)}{slices}</>}
        {thin && <><br />{format.percent(slo.coverage)} of the period was measured</>}
        {slo.lost > 0 && <><br />{format.count(slo.lost)} events are known to be lost</>}
        {slo.backfill && <><br />being counted back from what was measured, newest first: {format.percent(slo.backfill.share)} done</>}
        {slo.estimated && <><br />{goodBefore(slo, new Date(serverNow()))}</>}
      </Tile>
      <Tile label="Budget left" value={format.percent(slo.budget_remaining)} {...(tone === "good" ? {} : { tone })}>
        <BudgetBar remaining={slo.budget_remaining} alone />
        {slo.budget_remaining == null
          ? "nothing was counted, so nothing is spent"
          : slo.kind === "composite" && slo.unit !== 1
            ? <>{format.percent(1 - slo.budget_remaining)} spent by what its parts burned</>
          : left >= 0 && allowed < 1
            ? <>no {event} is allowed before {format.count(firstAllowed(slo))} {slices === "" ? "events" : "slices"} are counted</>
          : left >= 0
            ? <>{format.events(Math.floor(left))} of {format.events(Math.floor(allowed))} {event}s may still happen</>
            : allowed < 1
              ? <>{format.count(bad)} bad, and no bad event is allowed before {format.count(firstAllowed(slo))} are counted</>
              : <>{format.plural(Math.ceil(-left), event)} more than the {format.events(Math.floor(allowed))} allowed</>}
        {isYoung && <><br />of what was counted since {format.clock(new Date(slo.counted_from), new Date(serverNow()), false)}; it grows as the period fills</>}
        {slo.estimated && <><br />{leftWithBefore(slo)}</>}
        {slo.exhausts_at && <><br />at the rate of now it is gone <Ago at={slo.exhausts_at} /></>}
      </Tile>
    </dl>
  );
}

/** So many events have to be counted before the target allows the first bad one. */
function firstAllowed(slo: SloDetail): number {
  return Math.ceil(Number((1 / (1 - slo.target)).toFixed(6)));
}

/** The charts with what people say about them: deploys, notes, and time that is left out. */
function Marked({ slo, path }: { slo: SloDetail; path: string }) {
  const from = encodeURIComponent(slo.period_from);
  const said = useResource<Items<Annotation>>(`/annotations#${slo.service}`, {
    everyMs: 10_000,
    url: () => `/annotations?service=${encodeURIComponent(slo.service)}&from=${from}`,
  });
  const corrections = useResource<Corrections>(`/corrections#${slo.name}`, {
    everyMs: 10_000,
    url: () => `/corrections?objective=${encodeURIComponent(slo.name)}&from=${from}`,
  });
  const marks = useMemo(
    () => said.data?.items.map((each): Mark => ({ at: Date.parse(each.at) / 1000, label: each.text })) ?? [],
    [said.data],
  );
  const leftOut = useMemo(
    () => corrections.data?.left_out?.map((span): Range => [Date.parse(span.from) / 1000, Date.parse(span.to) / 1000]) ?? [],
    [corrections.data],
  );
  return (
    <>
      <BudgetCharts slo={slo} path={path} marks={marks} leftOut={leftOut} />
      <Trouble of={said} what="annotations" />
      <CorrectionList slo={slo} of={corrections} />
    </>
  );
}

const RANGES: [string, string, number][] = [["1m", "1 min", 60], ["5m", "5 min", 300], ["15m", "15 min", 900], ["1h", "1 h", 3600], ["6h", "6 h", 21_600], ["1d", "1 d", 86_400], ["7d", "7 d", 604_800]];

type Said = { marks: Mark[]; leftOut: Range[] };

function BudgetCharts({ slo, path, ...said }: { slo: SloDetail; path: string } & Said) {
  const period = slo.period_seconds;
  // Shares of the whole do not add up over time, so there is nothing to burn down.
  const isWhole = slo.kind === "composite";
  const [view, setView] = useState<"down" | "left">(isWhole ? "left" : "down");
  // Windows are multiples of a slot, so a fifth of the shortest is about as fine as the ledger is.
  const shortest = Math.min(...slo.tiers.map((tier) => tier.short_seconds), 300);
  const least = Math.min(10, Math.max(1, Math.floor(shortest / 5)));
  const ranges = RANGES.filter(([, , seconds]) => seconds < period && seconds >= shortest * 3);
  const options: [string, string][] = [...ranges.map(([key, text]): [string, string] => [key, text]), ["period", format.window(period)]];
  const [range, setRange] = useState(ranges.some(([key]) => key === "1h") ? "1h" : "period");
  const span = RANGES.find(([key]) => key === range)?.[2] ?? period;

  const whole = useSeries(path, period, least);
  const part = useSeries(path, span, least);
  const now = burnNow(slo);
  return (
    <div className="charts">
      <Section
        id="budget" title="Budget"
        aside={isWhole ? null : <Choice label="View of the budget" value={view} onChange={setView} options={[["down", "burn-down"], ["left", "left over time"]]} />}
      >
        <Trouble of={whole} what="budget history" />
        {whole.data ? <BudgetChart slo={slo} series={whole.data} view={view} {...said} /> : !whole.error && <Loading lines={6} />}
      </Section>
      <Section
        id="burn" title="Burn rate"
        note={now?.burn_rate != null ? <>now {format.burn(now.burn_rate)} over {format.window(now.window_seconds)}</> : null}
        aside={<Choice label="Span of the burn rate" value={range} onChange={setRange} options={options} />}
      >
        <Trouble of={part} what="burn rate history" />
        {part.data ? <BurnChart slo={slo} series={part.data} span={span} {...said} /> : !part.error && <Loading lines={6} />}
      </Section>
    </div>
  );
}

function useSeries(path: string, span: number, least: number) {
  const step = stepFor(span, least);
  return useResource<SloSeries>(`${path}/series#${span}`, {
    everyMs: Math.min(30_000, Math.max(2_000, step * 1000)),
    url: () => {
      // Steps end now, not at the last full one: an hour's step must not hide the last half hour.
      const fine = Math.min(step, 60);
      const to = Math.floor(serverNow() / 1000 / fine) * fine;
      return `${path}/series?from=${iso(to - span)}&to=${iso(to)}&step=${step}s`;
    },
  });
}

function BudgetChart({ slo, series, view, ...said }: { slo: SloDetail; series: SloSeries; view: "down" | "left" } & Said) {
  const drawn = useMemo(() => {
    const { at, coverage, step_seconds: step } = series;
    const range = asked(at, slo.period_seconds, serverNow() / 1000);
    const first = firstCovered(coverage);
    const down = burnDown(at, series.bad, coverage, slo.budget_total_events);
    const left = measured(series.budget_remaining, coverage);
    // The lines end where the tile says: what was counted since the answer was made is in it too.
    for (const line of [down.left, left]) {
      if (line.at(-1) != null && slo.budget_remaining != null) line[line.length - 1] = slo.budget_remaining;
    }
    const late = first >= 0 && at[first]! - step > range[0] + slo.period_seconds * 0.1;
    return { at, range, down, left, gaps: gaps(at, coverage, step, range[0]), began: late ? at[first]! - step : null };
  }, [series, slo.period_seconds, slo.budget_total_events, slo.budget_remaining]);
  if (slo.good + slo.bad === 0) return <NothingMeasured slo={slo} />;
  const began = drawn.began === null ? null : <>Measuring began within the last {format.duration(drawn.range[1] - drawn.began)}; before that, nothing is known. </>;
  const shared = { at: drawn.at, range: drawn.range, gaps: unexplained(drawn.gaps, said.leftOut, series.step_seconds), spellTick: format.percentTick, yRange: budgetRange, ...said };
  if (view === "left") {
    return (
      <TimeChart
        {...shared} title="Budget left, as it stood at each time"
        lines={[{ label: "left", values: drawn.left, tone: "accent", spell: format.percent, fill: true }]}
        note={<>{began}Each point looks back {format.window(slo.period_seconds)} from its own time, so old mistakes fall out of it.</>}
      />
    );
  }
  return (
    <TimeChart
      {...shared} title={`Budget of the last ${format.window(slo.period_seconds)}, as it was spent`}
      lines={[
        { label: "left", values: drawn.down.left, tone: "accent", spell: format.percent, fill: true },
        { label: "spent evenly", values: drawn.down.ideal, tone: "muted", spell: format.percent, dash: true },
      ]}
      note={<>{began}Above the dashed line, spending is slower than the objective allows.</>}
    />
  );
}

function budgetRange(min: number, max: number): [number, number] {
  const low = Math.min(0, min);
  return [low < 0 ? low * 1.08 : 0, Math.max(1, max)];
}

function BurnChart({ slo, series, span, ...said }: { slo: SloDetail; series: SloSeries; span: number } & Said) {
  const levels = useMemo(() => tierLevels(slo.tiers), [slo.tiers]);
  const [rates, top, spread] = useMemo(() => {
    const rates = measured(series.burn_rate, series.coverage);
    const known = rates.filter((rate): rate is number => rate !== null);
    const highest = Math.max(2, ...known, ...levels.map((level) => level.value));
    return [rates, highest * 1.25, highest > 12];
  }, [series, levels]);
  const range = asked(series.at, span, serverNow() / 1000);
  if (series.at.length === 0 && slo.good + slo.bad > 0) return <p className="note">Counting began just now: the first step is not over yet.</p>;
  if (!rates.some((rate) => rate !== null)) return <NothingMeasured slo={slo} />;
  return (
    <TimeChart
      title={`Burn rate in steps of ${format.window(series.step_seconds)}`}
      at={series.at}
      range={range}
      gaps={unexplained(gaps(series.at, series.coverage, series.step_seconds, range[0]), said.leftOut, series.step_seconds)}
      lines={[{ label: "burn", values: rates, tone: "accent", spell: format.burn, fill: true }]}
      levels={levels}
      {...said}
      wide={spread}
      {...(spread ? { yTicks: (_: number, max: number) => burnTicks(max) } : {})}
      yRange={() => [0, top]}
      spellTick={format.burn}
      note="At 1× the budget lasts exactly its period. Dotted: where a tier fires once its windows agree."
    />
  );
}

/** Tiers that share a threshold share a line. */
function tierLevels(tiers: Tier[]) {
  const byThreshold = new Map<number, string[]>();
  for (const tier of tiers) byThreshold.set(tier.burn_rate_threshold, [...(byThreshold.get(tier.burn_rate_threshold) ?? []), tier.name]);
  return [...byThreshold].map(([value, names]) => ({
    value,
    label: `${names.join(", ")} ${format.burn(value)}`,
    tone: tiers.some((tier) => tier.burn_rate_threshold === value && tier.severity === "page") ? ("bad" as const) : ("warn" as const),
  }));
}

function NothingMeasured({ slo }: { slo: SloDetail }) {
  return (
    <div className="empty">
      <p className="empty-title">Nothing was measured</p>
      <p>
        Neither good nor bad: no request of <Link href={to.service(slo.service)}>{slo.service}</Link> was seen in this span
        {slo.coverage != null && <> ({format.percent(slo.coverage)} of the period was watched)</>}. The service's page tells which endpoints are watched.
      </p>
    </div>
  );
}

function Tiers({ slo }: { slo: SloDetail }) {
  return (
    <Section id="tiers" title="Alert tiers" note={<>a tier fires when both of its windows burn above its threshold{evidenceWords(slo)}</>}>
      <div className="scroll">
        <table className="rows">
          <thead>
            <tr>
              <th scope="col">Tier</th><th scope="col">State</th><th scope="col">Windows</th>
              <th scope="col" className="right">Threshold</th><th scope="col" className="right">Long window</th><th scope="col" className="right">Short window</th>
            </tr>
          </thead>
          <tbody>
            {slo.tiers.map((tier) => (
              <tr key={tier.name}>
                <th scope="row" data-label="Tier">{tier.name}<span className="sub">{tier.severity}</span></th>
                <td data-label="State"><StateTag word={tierWord(tier, slo.state !== "no_data")} />{tier.frozen_since && <span className="sub">since <Ago at={tier.frozen_since} /></span>}</td>
                <td data-label="Windows" className="num">{format.window(tier.long_seconds)} and {format.window(tier.short_seconds)}</td>
                <td data-label="Threshold" className="right num">{format.burn(tier.burn_rate_threshold)}</td>
                <Burn slo={slo} seconds={tier.long_seconds} rate={tier.burn_rate_long} threshold={tier.burn_rate_threshold} />
                <Burn slo={slo} seconds={tier.short_seconds} rate={tier.burn_rate_short} threshold={tier.burn_rate_threshold} />
              </tr>
            ))}
            {slo.fast_page && <FastPage slo={slo} page={slo.fast_page} />}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

/** What it takes besides burning. */
function evidenceWords({ evidence_gate: gate }: SloDetail): string {
  if (!gate) return "; its definition asks for no evidence, so few counts may be enough";
  return `, and its counts are evidence: at the threshold exactly, so many bad have a chance of at most ${format.percentTick(gate.page)} (page) or ${format.percentTick(gate.ticket)} (ticket)`;
}

function BudgetAlerts({ slo }: { slo: SloDetail }) {
  if (slo.budget_alerts.length === 0) return null;
  return (
    <Section id="budget-alerts" title="Alerts on the budget" note="what is left of it, whatever the burn rates are now">
      <div className="scroll">
        <table className="rows">
          <thead>
            <tr><th scope="col">Alert</th><th scope="col">State</th><th scope="col">Where it stands</th><th scope="col" className="right">Bad</th></tr>
          </thead>
          <tbody>
            {slo.budget_alerts.map((alert) => (
              <tr key={alert.name}>
                <th scope="row" data-label="Alert">{alert.name}<span className="sub">{alert.severity}: {alert.spending.rule}</span></th>
                <td data-label="State"><StateTag word={tierWord(alert, slo.state !== "no_data")} />{alert.frozen_since && <span className="sub">since <Ago at={alert.frozen_since} /></span>}</td>
                <td data-label="Where it stands">{slo.state === "no_data" ? "no data" : alert.spending.says}</td>
                <td data-label="Bad" className="right num">{slo.unit === 1 ? <>{format.count(alert.spending.bad)}<span className="sub">{limitWords(alert.spending)}</span></> : <>{format.percent(alert.spending.spent)}<span className="sub">of the budget</span></>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

function FastPage({ slo, page }: { slo: SloDetail; page: NonNullable<SloDetail["fast_page"]> }) {
  return (
    <tr>
      <th scope="row" data-label="Tier">page-fast<span className="sub">page</span></th>
      <td data-label="State"><StateTag word={tierWord(page, slo.state !== "no_data")} /></td>
      <td data-label="Windows">every count as it comes in<span className="sub">at least {format.count(page.bad_needed)} bad, and {format.perSecond(page.rate_min)} in the hour before</span></td>
      <td data-label="Looks for" className="right num">{format.burn(page.burn_rate)}<span className="sub">at most {format.count(page.false_pages_a_year)} false a year</span></td>
      <td data-label="Evidence" className="right" colSpan={2}>
        <span className={`num${page.evidence >= 1 ? " strong tone-bad" : ""}`}>{format.percent(page.evidence)}</span>
        <span className="sub">of the evidence that pages</span>
      </td>
    </tr>
  );
}

function Burn({ slo, seconds, rate, threshold }: { slo: SloDetail; seconds: number; rate: number | null | undefined; threshold: number }) {
  const over = rate != null && rate > threshold;
  const counts = slo.burn.find((burn) => burn.window_seconds === seconds);
  return (
    <td data-label={`Over ${format.window(seconds)}`} className="right">
      <span className={`num${over ? " strong tone-bad" : ""}`}>{format.burn(rate)}{over && <span className="sr-only"> above the threshold</span>}</span>
      <span className="sub num">
        {slo.state === "no_data" ? "no data" : rate == null ? "nothing counted" : counts && slo.unit === 1 ? `${format.count(counts.bad)} bad of ${format.count(counts.good + counts.bad)}` : over ? "above the threshold" : `${format.percent(rate / threshold)} of threshold`}
      </span>
    </td>
  );
}

function History({ slo }: { slo: SloDetail }) {
  const alerts = useResource<Items<Alert>>("/alerts", { everyMs: 3_000 });
  const events = useResource<Items<EventView>>(`/events?subject=${encodeURIComponent(slo.name)}&limit=40`, { everyMs: 5_000 });
  const mine = newestFirst(alerts.data?.items.filter((alert) => alert.objective === slo.name) ?? []);
  return (
    <div className="columns">
      <Section id="alerts" title="Alerts">
        <Trouble of={alerts} what="alerts" />
        {alerts.data && (mine.length ? <AlertTable alerts={mine.slice(0, 20)} short /> : <p className="note">None on record.</p>)}
      </Section>
      <Section id="events" title="Events" aside={<Link href={to.events(slo.name)}>all</Link>}>
        <Trouble of={events} what="events" />
        {events.data?.items.length === 0 && <p className="note">None on record.</p>}
        <ol className="feed">{events.data?.items.slice(0, 14).map((event) => <EventRow key={event.id} event={event} about={slo.name} />)}</ol>
      </Section>
    </div>
  );
}
