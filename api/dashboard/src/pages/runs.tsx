/** What runbooks did, and the limits that are in the kernel now. */

import { change, type Items, type Limit, type Run, type Runbook } from "../data/client";
import { useResource } from "../data/resource";
import * as format from "../format";
import { Link, to } from "../router";
import { Act, Ago, Clock, Empty, Loading, Page, Said, Section, Trouble } from "../ui/bits";
import { LimitRow, Reason, RunVerdict, Took } from "../ui/lists";
import { State } from "../ui/state";
import { stepName } from "../words";

export function RunsPage() {
  const runs = useResource<Items<Run>>("/runs", { everyMs: 2_000 });
  const limits = useResource<Items<Limit>>("/limits");
  const runbooks = useResource<Items<Runbook>>("/runbooks", { everyMs: 60_000 });
  const live = limits.data?.items ?? [];
  return (
    <Page title="Runs" kicker="What was done about alerts, step by step">
      <Section
        id="limits" title="Live limits" note={limits.data ? (live.length ? "enforced in the kernel, each until its own deadline" : "none in force") : undefined}
        aside={live.length > 0 && (
          <Act
            danger small label="Release all" confirm="Release all" done={limits.reload}
            question={`Release ${live.length === 1 ? "the limit" : `all ${format.count(live.length)} limits`}?`}
            detail="Everything that was held back reaches its service again at once, and the runs that asked for it are stopped."
            run={() => change("DELETE", "/limits")}
          />
        )}
      >
        <Trouble of={limits} what="limits" />
        {live.map((limit) => <LimitRow key={limit.id} limit={limit} onChange={limits.reload} />)}
      </Section>
      <Section id="runs" title="Runs" note="newest first">
        <Trouble of={runs} what="runs" />
        {!runs.data && !runs.error && <Loading />}
        {runs.data?.items.length === 0 && <Empty title="Nothing was run yet"><p>A run starts when an alert fires that a runbook answers to.</p></Empty>}
        {runs.data && runs.data.items.length > 0 && <RunTable runs={runs.data.items} />}
      </Section>
      <Section id="runbooks" title="Runbooks" note="as they were loaded">
        <Trouble of={runbooks} what="runbooks" />
        {runbooks.data?.items.length === 0 && <p className="note">None is loaded: alerts page nobody and change nothing.</p>}
        <ul className="runbooks">
          {runbooks.data?.items.map((runbook) => (
            <li key={runbook.name}>
              <p><span className="strong">{runbook.name}</span> {runbook.mode === "shadow" && <span className="badge">shadow</span>} <span className="note">{runbook.description}</span></p>
              <p className="note">{runbook.when.length > 0 ? `when ${runbook.when.join("; ")}` : "on every alert"}</p>
              <ol>{runbook.steps.map((step, i) => <li key={i}><span className="strong">{stepName(step.kind)}:</span> <Said text={step.summary} /></li>)}</ol>
              {runbook.verify && <p className="note">Verified: <Said text={runbook.verify} /></p>}
              {runbook.guards.length > 0 && <p className="note">Held back by: {runbook.guards.join("; ")}</p>}
            </li>
          ))}
        </ul>
      </Section>
    </Page>
  );
}

export function RunTable({ runs }: { runs: Run[] }) {
  return (
    <div className="scroll">
      <table className="rows">
        <thead>
          <tr>
            <th scope="col">Run</th><th scope="col">State</th><th scope="col">Verdict</th><th scope="col">For</th>
            <th scope="col">Started</th><th scope="col" className="right">Took</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <th scope="row" data-label="Run">
                <Link href={to.run(run.id)} className="row-link"><span className="num">#{run.id}</span> {run.runbook}</Link>
                {run.mode === "shadow" && <> <span className="badge">shadow</span></>}
              </th>
              <td data-label="State"><State state={run.state} /><Reason run={run} /></td>
              <td data-label="Verdict"><RunVerdict run={run} /></td>
              <td data-label="For"><Link href={to.slo(run.objective)}>{run.objective}</Link><span className="sub"><Link href={to.service(run.service)}>{run.service}</Link></span></td>
              <td data-label="Started"><Clock at={run.started_at} /><span className="sub"><Ago at={run.started_at} /></span></td>
              <td data-label="Took" className="right"><Took from={run.started_at} to={run.finished_at} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
