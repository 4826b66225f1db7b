/** Every objective in one line: state, budget left, how fast it burns. */

import { useEffect, useState } from "react";
import { get, type SloSeries, type SloSummary } from "../data/client";
import { measured, stepFor } from "../chart/series";
import { Spark } from "../chart/spark";
import { serverNow } from "../data/now";
import * as format from "../format";
import { Link, to } from "../router";
import { Ago } from "../ui/bits";
import { BudgetCell } from "../ui/budget";
import { SloStateTag } from "../ui/state";

/** `of` is the service whose page this is on: its name would say nothing new. */
export function SloTable({ slos, of }: { slos: SloSummary[]; of?: string }) {
  const history = useBurnHistory(slos);
  const spans = new Set(slos.map(sparkSpan));
  const lately = spans.size === 1 ? `Last ${format.window([...spans][0])}`.replace(`1${format.THIN}h`, "hour") : "Lately";
  return (
    <div className="scroll">
      <table className="rows slo-table">
        <thead>
          <tr>
            <th scope="col">Objective</th>
            <th scope="col">State</th>
            <th scope="col" className="right">SLI</th>
            <th scope="col">Budget left</th>
            <th scope="col" className="right">Burn now</th>
            <th scope="col">{lately}</th>
          </tr>
        </thead>
        <tbody>
          {slos.map((slo) => <Row key={slo.name} slo={slo} showService={slo.service !== of} history={history.get(slo.name)} />)}
        </tbody>
      </table>
    </div>
  );
}

function Row({ slo, history, showService }: { slo: SloSummary; showService: boolean; history: (number | null)[] | "failed" | undefined }) {
  const now = burnNow(slo);
  const rate = now?.burn_rate ?? null;
  const tone = rate === null ? "muted" : rate <= 1 ? "ink" : slo.state === "firing" ? "bad" : "warn";
  const thin = slo.coverage !== null && slo.coverage !== undefined && slo.coverage < 0.995;
  return (
    <tr className={`state-${slo.state}`}>
      <th scope="row" data-label="Objective">
        <Link href={to.slo(slo.name)} className="row-link">{slo.display_name || slo.name}</Link>
        <span className="sub">
          {format.target(slo.target)}{slo.kind === "latency" && slo.threshold_ms != null && ` within ${format.duration(slo.threshold_ms / 1000)}`} over {format.window(slo.period_seconds)}{showService && <> · <Link href={to.service(slo.service)}>{slo.service}</Link></>}
        </span>
      </th>
      <td data-label="State"><SloStateTag state={slo.state} /></td>
      <td data-label="SLI" className="right num">
        {format.sli(slo.sli, slo.target)}
        <span className="sub">{slo.coverage == null || slo.coverage === 0 ? "nothing measured" : thin ? `${format.percent(slo.coverage)} measured` : slo.kind === "composite" && slo.unit !== 1 ? "of its parts" : slo.unit !== 1 ? "of its slices" : `${format.count(slo.bad)} bad`}</span>
      </td>
      <td data-label="Budget left"><BudgetCell slo={slo} />{slo.exhausts_at && <span className="sub">gone <Ago at={slo.exhausts_at} /></span>}</td>
      <td data-label="Burn now" className="right">
        <span className={`num strong tone-${tone}`}>{format.burn(rate)}</span>
        <span className="sub">{now ? `over ${format.window(now.window_seconds)}` : ""}</span>
      </td>
      <td data-label="Lately" className="spark-cell">
        {Array.isArray(history) ? (
          <Spark values={history} line={1} tone={tone} label={`burn rate of the last ${format.window(sparkSpan(slo))}, now ${format.burn(rate)}`} />
        ) : (
          <span className="note">{history === "failed" ? "not loaded" : ""}</span>
        )}
      </td>
    </tr>
  );
}

/** The shortest window that counted anything; the shortest one if none did. */
export function burnNow(slo: Pick<SloSummary, "burn">) {
  const byLength = [...slo.burn].sort((a, b) => a.window_seconds - b.window_seconds);
  return byLength.find((burn) => burn.burn_rate !== null && burn.burn_rate !== undefined) ?? byLength[0];
}

const HISTORY_MS = 15_000;

/** The last hour, or the whole period where that is shorter. */
function sparkSpan(slo: Pick<SloSummary, "period_seconds">): number {
  return Math.min(3600, slo.period_seconds);
}

/** The history of each objective, asked for one after the other so that many cost no more at once than one. */
function useBurnHistory(slos: SloSummary[]): Map<string, (number | null)[] | "failed"> {
  const [history, setHistory] = useState(new Map<string, (number | null)[] | "failed">());
  const key = slos.map((slo) => `${slo.name}/${sparkSpan(slo)}`).sort().join();
  useEffect(() => {
    const stop = new AbortController();
    async function round() {
      for (const slo of slos) {
        if (document.hidden || stop.signal.aborted) break;
        const span = sparkSpan(slo);
        const step = stepFor(span, 10, 90);
        const to = Math.floor(serverNow() / 10_000) * 10;
        const query = `from=${iso(to - span)}&to=${iso(to)}&step=${step}s`;
        const found = await get<SloSeries>(`/slos/${encodeURIComponent(slo.name)}/series?${query}`, stop.signal).then(
          (series) => {
            const values = measured(series.burn_rate, series.coverage);
            // A young objective has fewer steps than the span: what is missing lies before them.
            return [...Array<null>(Math.max(0, Math.round(span / series.step_seconds) - values.length)).fill(null), ...values];
          },
          () => "failed" as const,
        );
        if (stop.signal.aborted) return;
        setHistory((old) => new Map(old).set(slo.name, found));
      }
      timer = setTimeout(() => void round(), HISTORY_MS);
    }
    let timer: ReturnType<typeof setTimeout>;
    void round();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
    // Only the names and spans decide what is asked for; the numbers beside them change each second.
  }, [key]);
  return history;
}

export function iso(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
