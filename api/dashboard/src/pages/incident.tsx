/** One objective that alerts: what was seen, and what is being done about it. */

import type { Alert, Run, RunDetail, SloSummary } from "../data/client";
import { useResource } from "../data/resource";
import { Link, to } from "../router";
import { Ago, Said, Trouble } from "../ui/bits";
import { burnWords, Evidence, LimitRow, Owned, StepStrip, Took } from "../ui/lists";
import { Glyph, State } from "../ui/state";
import { deliverySays, isOver, stateWord } from "../words";
import type { AtWork } from "./at-work";

type Props = { alerts: Alert[]; slo: SloSummary | undefined; work: AtWork; runsKnown: boolean; onChange: () => void };

export function Incident({ alerts, slo, work, runsKnown, onChange }: Props) {
  const worst = [...alerts].sort((a, b) => rank(a) - rank(b))[0]!;
  const firing = worst.state === "firing";
  const { runs, besides, limits } = work;
  if (!firing && runs.length === 0 && limits.length === 0) {
    return (
      <section className="incident pending" aria-label={`${worst.objective}: ${worst.state}`}>
        <header>
          <Glyph word={stateWord(worst.state)} />
          <h2><Link href={to.slo(worst.objective)}>{slo?.display_name || worst.objective}</Link></h2>
          <p>pending for <Took from={worst.opened_at} to={null} /> on <Link href={to.service(worst.service)}>{worst.service}</Link></p>
          <Chips alerts={alerts} />
          <p className="note num">
            {burnWords(worst).named}, {burnWords(worst).rule}
          </p>
          {besides.map((run) => <Besides key={run.id} run={run} />)}
        </header>
      </section>
    );
  }
  return (
    <section className={`incident ${firing ? "firing" : "pending"}`} aria-label={`${worst.objective}: ${worst.state}`}>
      <header>
        <Glyph word={stateWord(worst.state)} />
        <h2>
          <Link href={to.slo(worst.objective)}>{slo?.display_name || worst.objective}</Link>
        </h2>
        <p>
          {firing ? "firing" : "pending"} for <Took from={worst.fired_at ?? worst.opened_at} to={null} /> on{" "}
          <Link href={to.service(worst.service)}>{worst.service}</Link>
        </p>
      </header>
      <div className="incident-body">
        <div>
          <h3>Seen</h3>
          <Chips alerts={alerts} />
          <Evidence evidence={worst.evidence} unit={worst.unit} />
          <Owned of={worst} />
          {slo?.exhausts_at && Date.parse(slo.exhausts_at) > Date.now() && (
            <p className="note">At this rate the budget is gone <Ago at={slo.exhausts_at} />.</p>
          )}
        </div>
        <div>
          <h3>Done about it</h3>
          {runs.slice(0, 3).map((run) => <RunLine key={run.id} run={run} answers={alerts.some((alert) => alert.id === run.alert_id)} />)}
          {besides.map((run) => <Besides key={run.id} run={run} />)}
          {runs.length + besides.length === 0 && <p className="note">{nobody(runsKnown, limits.length)}</p>}
        </div>
      </div>
      {limits.map((limit) => <LimitRow key={limit.id} limit={limit} onChange={onChange} />)}
    </section>
  );
}

function Chips({ alerts }: { alerts: Alert[] }) {
  return (
    <p className="tiers-line">
      {alerts.map((alert) => (
        <Link key={alert.id} href={to.alert(alert.id)} className="chip">
          <Glyph word={stateWord(alert.state)} />{alert.tier}<span className="note">{alert.severity}, {alert.state}</span>
        </Link>
      ))}
    </p>
  );
}

function nobody(known: boolean, limits: number): string {
  if (!known) return "Not known yet.";
  return limits > 0 ? "No run is at it, but this is in force on the service:" : "No runbook answers to this alert. A person has to act.";
}

function Besides({ run }: { run: Run }) {
  return (
    <p className="note">
      <Link href={to.run(run.id)} className="strong">{run.runbook}</Link>, run #{run.id}, is at work on {run.service} for{" "}
      <Link href={to.slo(run.objective)}>{run.objective}</Link> ({run.tier}): <State state={run.state} />
    </p>
  );
}

/** `answers`: the run is for an alert of the card, not for another tier of the same objective. */
function RunLine({ run, answers }: { run: Run; answers: boolean }) {
  const detail = useResource<RunDetail>(`/runs/${run.id}`, { everyMs: isOver(run) ? 30_000 : 1_000 });
  return (
    <div className="run-line">
      <p>
        <Link href={to.run(run.id)} className="strong">{run.runbook}</Link>{" "}
        <State state={run.state} />
        {run.mode === "shadow" && <span className="badge">shadow: nothing is done</span>}
        {run.verdict && <> <State state={run.verdict} /></>}
      </p>
      {!answers && <p className="note">Run #{run.id} is at it, for <Link href={to.alert(run.alert_id)}>{run.tier}, alert #{run.alert_id}</Link>.</p>}
      {run.reason && <p className="note"><Said text={run.reason} /></p>}
      <Trouble of={detail} what="steps of the run" />
      {detail.data && <StepStrip run={detail.data} />}
      {detail.data && detail.data.deliveries.length > 0 && (
        <p className="note">
          Told: <Said text={detail.data.deliveries.map((delivery) => `${delivery.target} (${deliverySays(delivery)})`).join(", ")} />
        </p>
      )}
    </div>
  );
}

/** Firing before pending, pages before tickets. */
function rank(alert: Alert): number {
  return (alert.state === "firing" ? 0 : 2) + (alert.severity === "page" ? 0 : 1);
}
