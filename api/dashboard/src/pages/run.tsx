/** One run: what was meant, what was done, what came of it, who was told. */

import { change, type Delivery, type Items, type Limit, type RunDetail, type Step } from "../data/client";
import { useResource } from "../data/resource";
import * as format from "../format";
import { Link, to } from "../router";
import { Act, Ago, Clock, Countdown, Loading, Page, Said, Section, Tile, Trouble } from "../ui/bits";
import { Facts } from "../ui/facts";
import { LimitRow, Took, Trace } from "../ui/lists";
import { Glyph, State, StateTag } from "../ui/state";
import { deliverySays, deliveryWord, isOver, stepName, stepWord, toldBy } from "../words";

export function RunPage({ id }: { id: number }) {
  const found = useResource<RunDetail>(`/runs/${id}`);
  const limits = useResource<Items<Limit>>("/limits");
  const run = found.data;
  if (!run) {
    return (
      <Page title={`Run #${id}`}>
        <Trouble of={found} what="run" />
        {!found.error && <Loading lines={8} />}
      </Page>
    );
  }
  const mine = limits.data?.items.filter((limit) => limit.run_id === id) ?? [];
  const over = isOver(run);
  const limitEnds = mine.map((limit) => limit.expires_at).sort((a, b) => Date.parse(b) - Date.parse(a))[0];
  return (
    <Page
      title={run.runbook}
      kicker={<>Run #{run.id} · <Link href={to.slo(run.objective)}>{run.objective}</Link> · <Link href={to.service(run.service)}>{run.service}</Link> · <Link href={to.alert(run.alert_id)}>{run.tier}, alert #{run.alert_id}</Link></>}
      aside={!over && (
        <Act
          danger label="Cancel run" confirm="Cancel the run" done={found.reload}
          question={`Cancel run #${run.id}?`}
          detail="What it did is taken back, its limits are released, and nothing more is done. The alert stays open."
          run={() => change("POST", `/runs/${id}/cancel`)}
        />
      )}
    >
      <Trouble of={found} what="run" />
      {run.mode === "shadow" && <p className="banner"><span className="badge">shadow</span> This run says what it would do, and does nothing.</p>}
      <dl className="tiles dense">
        <Tile label="State" value={<State state={run.state} />}>{run.reason ? <Said text={run.reason} /> : null}</Tile>
        <Tile label="Verdict" value={run.verdict ? <State state={run.verdict} /> : format.UNKNOWN}>{run.verdict ? "on the same SLI that alerted" : over ? "never verified" : "not verified yet"}</Tile>
        <Tile label="Started" value={<Clock at={run.started_at} />}>{run.acted_at ? <>acted after <Took from={run.started_at} to={run.acted_at} /></> : <Ago at={run.started_at} />}</Tile>
        <Tile label={over ? "Took" : "Running for"} value={<Took from={run.started_at} to={run.finished_at} />}>
          {!over && limitEnds ? <>its limit ends by itself in <Countdown until={limitEnds} /></> : !over && run.deadline_at ? <>ends by itself in <Countdown until={run.deadline_at} /></> : run.finished_at ? <>until <Clock at={run.finished_at} /></> : null}
        </Tile>
      </dl>
      {mine.length > 0 && (
        <Section id="limits" title="Live limits">
          {mine.map((limit) => <LimitRow key={limit.id} limit={limit} onChange={limits.reload} />)}
        </Section>
      )}
      <Trouble of={limits} what="limits" />
      <Section id="steps" title="Steps">
        {run.steps.length === 0 ? <p className="note">None planned yet.</p> : (
          <ol className="timeline">{run.steps.map((step) => <StepItem key={step.seq} step={step} began={run.started_at} over={over} told={toldBy(step, run.deliveries)} limitEnds={limitEnds} />)}</ol>
        )}
      </Section>
      <Section id="told" title="Who was told"><Deliveries deliveries={run.deliveries} /></Section>
      <Section id="trace" title="Trace" note="one trace from the measured window to the verdict"><Trace id={run.trace_id} /></Section>
    </Page>
  );
}

function Told({ deliveries }: { deliveries: Delivery[] }) {
  return (
    <ul>
      {deliveries.map((delivery, i) => (
        <li key={i} className="told">
          <strong>{delivery.target}</strong>{" "}
          {delivery.delivered_at ? <>was told ({format.words(delivery.action)}) at <Clock at={delivery.delivered_at} />, after <Took from={delivery.created_at} to={delivery.delivered_at} /></> : <>{delivery.state === "failed" ? "could not be told" : "is not told yet"} ({format.words(delivery.action)}, {format.plural(delivery.attempts, "attempt")}): <Said text={deliverySays(delivery)} /></>}
        </li>
      ))}
    </ul>
  );
}

type StepProps = { step: Step; began: string; over: boolean; told: Delivery[]; limitEnds: string | undefined };

function StepItem({ step, began, over, told, limitEnds }: StepProps) {
  // A limit's own deadline is what the kernel keeps to.
  const ends = (step.kind === "xdp_limit" ? limitEnds : undefined) ?? step.expires_at;
  const word = stepWord(step, told);
  const after = step.started_at ? (Date.parse(step.started_at) - Date.parse(began)) / 1000 : null;
  return (
    <li className={`step tone-line-${word.tone}`}>
      <span className="step-mark"><Glyph word={word} /></span>
      <div className="step-head">
        <h3>{stepName(step.kind)}</h3>
        <span className={`note tone-${word.tone} strong`}>{word.text}</span>
        {step.attempt > 1 && <span className="badge">attempt {step.attempt}</span>}
        <span className="note num step-when">
          {after === null ? "not started" : <>+{format.duration(Math.max(0, after))}, <Clock at={step.started_at} /></>}
          {step.started_at && <>, {step.finished_at ? "took " : "for "}<Took from={step.started_at} to={step.finished_at} /></>}
        </span>
      </div>
      {step.error && <p className="trouble" role="note"><strong>Failed: </strong><Said text={step.error} /></p>}
      {ends && !over && <p className="note">What it did ends by itself in <Countdown until={ends} done="no time: it is over" />.</p>}
      {(step.intent != null || step.result != null || told.length > 0) && (
        <div className="step-facts">
          <div><h4>Meant</h4>{step.intent != null ? <Facts of={step.intent} /> : <p className="note">nothing written</p>}</div>
          <div><h4>Came of it</h4>{told.length > 0 && <Told deliveries={told} />}{step.result == null && told.length > 0 ? null : step.result != null ? <Facts of={step.result} /> : <p className="note">{step.finished_at ? "nothing written" : "not known yet"}</p>}</div>
        </div>
      )}
    </li>
  );
}

function Deliveries({ deliveries }: { deliveries: Delivery[] }) {
  if (deliveries.length === 0) return <p className="note">Nobody yet.</p>;
  return (
    <div className="scroll">
      <table className="rows">
        <thead><tr><th scope="col">Target</th><th scope="col">Told</th><th scope="col">State</th><th scope="col" className="right">Attempts</th><th scope="col">Delivered</th><th scope="col">Last error</th></tr></thead>
        <tbody>
          {deliveries.map((delivery, i) => (
            <tr key={i}>
              <th scope="row" data-label="Target">{delivery.target}<span className="sub">{format.words(delivery.kind)}</span></th>
              <td data-label="Told">{format.words(delivery.action)}</td>
              <td data-label="State"><StateTag word={deliveryWord(delivery)} /></td>
              <td data-label="Attempts" className="right num">{format.count(delivery.attempts)}</td>
              <td data-label="Delivered"><Clock at={delivery.delivered_at} />{delivery.delivered_at && <span className="sub">after <Took from={delivery.created_at} to={delivery.delivered_at} /></span>}</td>
              <td data-label="Last error">{delivery.last_error ? <Said text={delivery.last_error} /> : <span className="note">none</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
