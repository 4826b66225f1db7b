/** Alerts: all of them, and one with what it stands on. */

import { useState } from "react";
import type { Alert, Items, Run } from "../data/client";
import { useResource } from "../data/resource";
import * as format from "../format";
import { Link, to } from "../router";
import { Ago, Choice, Clock, Empty, Loading, Page, Section, Tile, Trouble } from "../ui/bits";
import { burnWords, Evidence, Owned, Took, Trace } from "../ui/lists";
import { State } from "../ui/state";
import { isOver } from "../words";
import { meanwhile } from "./at-work";
import { Care, Silences } from "./care";
import { RunTable } from "./runs";

export function AlertsPage() {
  const [show, setShow] = useState<"all" | "open">("all");
  const alerts = useResource<Items<Alert>>("/alerts", { everyMs: 2_000 });
  const items = newestFirst((alerts.data?.items ?? []).filter((alert) => show === "all" || alert.state !== "resolved"));
  return (
    <Page title="Alerts" aside={<Choice label="Which alerts" value={show} onChange={setShow} options={[["all", "all"], ["open", "open"]]} />}>
      <Trouble of={alerts} what="list of alerts" />
      {!alerts.data && !alerts.error && <Loading />}
      {alerts.data && items.length === 0 && <Empty title={show === "open" ? "No alert is open" : "No alert was ever raised"} />}
      {items.length > 0 && <AlertTable alerts={items} />}
      <Silences />
    </Page>
  );
}

export function newestFirst(alerts: Alert[]): Alert[] {
  return [...alerts].sort((a, b) => Date.parse(b.opened_at) - Date.parse(a.opened_at) || b.id - a.id);
}

/** `short` leaves out what the page around it says already. */
export function AlertTable({ alerts, short }: { alerts: Alert[]; short?: boolean }) {
  return (
    <div className="scroll">
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Alert</th><th scope="col">State</th>{!short && <th scope="col">Objective</th>}
            <th scope="col" className="right">Burn, short and long</th><th scope="col">Opened</th><th scope="col" className="right">Lasted</th>
          </tr>
        </thead>
        <tbody>
          {alerts.map((alert) => (
            <tr key={alert.id}>
              <th scope="row" data-label="Alert">
                <Link href={to.alert(alert.id)} className="row-link num">#{alert.id}</Link> {alert.tier}
                <span className="sub">{alert.severity}</span>
              </th>
              <td data-label="State"><State state={alert.state} />{alert.state !== "resolved" && <Cared alert={alert} />}</td>
              {!short && <td data-label="Objective"><Link href={to.slo(alert.objective)}>{alert.objective}</Link><span className="sub"><Link href={to.service(alert.service)}>{alert.service}</Link></span></td>}
              <td data-label="Burn, short and long" className="right num">
                {burnWords(alert).rates}
                <span className="sub">{burnWords(alert).rule}</span>
              </td>
              <td data-label="Opened"><Clock at={alert.opened_at} /><span className="sub"><Ago at={alert.opened_at} /></span></td>
              <td data-label="Lasted" className="right"><Took from={alert.opened_at} to={alert.resolved_at} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Runs that answer it, and those for another tier of its objective that are at work on the same trouble. */
function DoneAbout({ alert }: { alert: Alert }) {
  const answers = useResource<Items<Run>>(`/runs?alert=${alert.id}`, { everyMs: 2_000 });
  const objective = useResource<Items<Run>>(`/runs?objective=${encodeURIComponent(alert.objective)}`, { everyMs: 2_000 });
  const mine = answers.data?.items ?? [];
  const others = answers.data ? meanwhile(alert, objective.data?.items ?? []).filter((run) => !mine.some(({ id }) => id === run.id)) : [];
  return (
    <Section id="runs" title="Done about it">
      <Trouble of={answers} what="runs" />
      <Trouble of={objective} what="runs of the objective" />
      {mine.length > 0 && <RunTable runs={mine} />}
      {answers.data && mine.length === 0 && (others.length > 0 || objective.data) && (
        <p className="note">{others.length > 0 ? "No runbook answered to this tier." : unanswered(alert)}</p>
      )}
      {others.map((run) => (
        <p key={run.id}>
          <Link href={to.run(run.id)} className="strong">{run.runbook}</Link>, run #{run.id}, {isOver(run) ? "answered" : "is at work for"} <Link href={to.alert(run.alert_id)}>{run.tier}, alert #{run.alert_id}</Link>: <State state={run.state} />
        </p>
      ))}
    </Section>
  );
}

function unanswered({ state }: Alert): string {
  if (state === "pending") return "Nothing is done before it fires.";
  return state === "resolved" ? "No runbook answered to it." : "No runbook answers to it. A person has to act.";
}

function Stands({ evidence, unit }: Pick<Alert, "evidence" | "unit">) {
  return (
    <>
      <Evidence evidence={evidence} unit={unit} />
      {evidence.chance != null && (
        <p className="note">Were it {evidence.budget ? "at its limit" : "burning at the threshold"} exactly, so many bad events would be seen with a chance of {format.percent(evidence.chance)}.</p>
      )}
    </>
  );
}

function Cared({ alert: { silenced_by, inhibited_by, acknowledged } }: { alert: Alert }) {
  const said = [silenced_by != null && "silenced", inhibited_by != null && "inhibited", acknowledged && `${acknowledged.by} takes care`].filter(Boolean);
  return said.length > 0 ? <span className="sub">{said.join(", ")}</span> : null;
}

export function AlertPage({ id }: { id: number }) {
  const found = useResource<Alert>(`/alerts/${id}`);
  const alert = found.data;
  if (!alert) {
    return (
      <Page title={`Alert #${id}`}>
        <Trouble of={found} what="alert" />
        {!found.error && <Loading />}
      </Page>
    );
  }
  return (
    <Page
      title={`${alert.tier} on ${alert.objective}`} aside={<State state={alert.state} />}
      kicker={<>Alert #{alert.id}, {alert.severity} · <Link href={to.slo(alert.objective)}>{alert.objective}</Link> · <Link href={to.service(alert.service)}>{alert.service}</Link></>}
    >
      <Trouble of={found} what="alert" />
      <Owned of={alert} />
      <dl className="tiles dense">
        <Tile label="Opened" value={<Clock at={alert.opened_at} />}><Ago at={alert.opened_at} /></Tile>
        <Tile label="Fired" value={<Clock at={alert.fired_at} />}>{alert.fired_at ? <>after <Took from={alert.opened_at} to={alert.fired_at} /></> : "not yet"}</Tile>
        <Tile label="Resolved" value={<Clock at={alert.resolved_at} />}>{alert.resolved_at ? <>after <Took from={alert.opened_at} to={alert.resolved_at} /></> : "not yet"}</Tile>
      </dl>
      {alert.fired_on && (
        <Section id="fired" title="What it fired on" note="the counts of that decision"><Stands evidence={alert.fired_on} unit={alert.unit} /></Section>
      )}
      {!(alert.fired_on && alert.state === "firing") && (
        <Section id="evidence" title={alert.state === "resolved" ? "What it ended on" : "What it stands on"} note="the counts of the last decision">
          <Stands evidence={alert.evidence} unit={alert.unit} />
        </Section>
      )}
      <Care alert={alert} done={found.reload} />
      <DoneAbout alert={alert} />
      <Section id="trace" title="Trace"><Trace id={alert.trace_id} /></Section>
    </Page>
  );
}
