/** Rows that several pages share: a live limit, an event, the budget a tier saw. */

import { type Alert, change, type EventView, type Limit, type RunDetail, type Spending } from "../data/client";
import { useNow } from "../data/now";
import * as format from "../format";
import { Link, to } from "../router";
import { eventWord, isOver, stepName, stepWord } from "../words";
import { Act, Ago, Clock, Copy, Countdown, Said } from "./bits";
import { partWords } from "./evidence";
import { Glyph, State } from "./state";

export function LimitRow({ limit, onChange }: { limit: Limit; onChange?: () => void }) {
  const seen = limit.passed + limit.dropped;
  const share = seen > 0 ? limit.dropped / seen : null;
  return (
    <div className="limit">
      <div className="limit-what">
        <code>{limit.source}</code> <span className="arrow" aria-label="to">→</span>{" "}
        <Link href={to.service(limit.service)}>{limit.service}</Link>
        <span className="note">
          {" "}held to {format.perSecond(limit.rate_per_second)}, burst {format.count(limit.burst)}, {limit.mode} XDP
        </span>
      </div>
      <div className="limit-counts">
        <PassDrop passed={limit.passed} dropped={limit.dropped} />
        <span className="note num">
          {format.count(limit.dropped)} packets dropped{share === null ? "" : ` (${format.percent(share)})`}, {format.count(limit.passed)} passed
        </span>
      </div>
      <div className="limit-left">
        <span className="countdown"><Countdown until={limit.expires_at} /></span>
        <span className="note">left, then it ends by itself</span>
      </div>
      {onChange && (
        <Act
          small danger label="Release" confirm="Release now" done={onChange}
          question={`Release the limit on ${limit.source}?`}
          detail={`Its packets reach ${limit.service} again at once, and the run that asked for it is stopped.`}
          run={() => change("DELETE", `/limits/${limit.id}`)}
        />
      )}
    </div>
  );
}

function PassDrop({ passed, dropped }: { passed: number; dropped: number }) {
  const share = passed + dropped > 0 ? (dropped / (passed + dropped)) * 100 : 0;
  return (
    <svg className="pass-drop" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect className="pass" width="100" height="6" />
      <rect className="drop" width={share} height="6" />
    </svg>
  );
}

/** `compact` says only what the message does not; `about` is the subject of the page it is on. */
export function EventRow({ event, compact, about }: { event: EventView; compact?: boolean; about?: string }) {
  const word = eventWord(event.kind);
  const subject = event.subject !== about && !(compact && event.message.includes(event.subject));
  return (
    <li className="event">
      <span title={word.text}><Glyph word={word} /></span>
      <div className="event-body">
        <span className="event-message"><Said text={event.message} /></span>
        <span className="note event-meta">
          {subject && <Link href={to.events(event.subject)}>{event.subject}</Link>}
          {subject && !compact && " · "}
          {compact ? <span className="sr-only">{word.text}</span> : word.text}
        </span>
      </div>
      <span className="event-at note">{compact ? <Ago at={event.at} /> : <Clock at={event.at} />}</span>
    </li>
  );
}

/** Whose objective it is, and where people read what to do; nothing where no definition says so. */
export function Owned({ of: { owner, runbook_url: url } }: { of: { owner?: string | null; runbook_url?: string | null } }) {
  if (!owner && !url) return null;
  return (
    <p className="note owned">
      {owner && <>Owner: {owner}</>}
      {owner && url && " · "}
      {url && <a href={url} target="_blank" rel="noopener noreferrer">Runbook for people</a>}
    </p>
  );
}

export function Trace({ id }: { id: string | null | undefined }) {
  if (!id) return <span className="note">none recorded</span>;
  return <Copy text={id} what="trace id" />;
}

/** `short window: 14.4× over 5 min, 1 204 bad of 8 400` for each of the tier's two windows. */
export function Evidence({ evidence, unit }: Pick<Alert, "evidence" | "unit">) {
  if (evidence.budget) return <BudgetEvidence evidence={evidence} unit={unit} budget={evidence.budget} />;
  return (
    <ul className="evidence">
      {spans(evidence).map(([name, counts, rate]) => {
        const span = (Date.parse(counts.to) - Date.parse(counts.from)) / 1000;
        return (
          <li key={name}>
            {evidence.test === "windows" && <><span className="note">{name}:</span> </>}
            <span className="num strong">{format.burn(rate)}</span> over {format.duration(span)}:{" "}
            {badOf(counts, unit)}
            {counts.coverage !== null && counts.coverage !== undefined && counts.coverage < 0.995 && `, ${format.percent(counts.coverage)} measured`}
          </li>
        );
      })}
      {evidence.test === "coverage" ? (
        <li className="note">
          fires when less than {format.percent(evidence.threshold)} of the time was measured; nothing else of it resolves meanwhile, and only a fast page fires
          {evidence.silent.length > 0 && <>. Silent: {evidence.silent.join(", ")}</>}
        </li>
      ) : evidence.test === "sequential" ? (
        <li className="note">
          tested as it was counted: looks for an outage that burns at {format.burn(evidence.threshold)} or faster
          {evidence.bad_needed != null && <>, and needs at least {format.count(evidence.bad_needed)} bad</>}
        </li>
      ) : (
        <li className="note">
          fires when both burn above {format.burn(evidence.threshold)}
          {evidence.bad_needed != null && <> and the long one {unit === 1 ? "counts at least" : "is at least"} {amount(evidence.bad_needed, evidence.long, unit)} bad</>}
          {evidence.parts.length > 0 && <>, and the counts of its parts over the long one are evidence together:</>}
        </li>
      )}
      {evidence.parts.map((part) => (
        <li key={part.objective} className="note"><Link href={to.slo(part.objective)}>{part.objective}</Link>: {partWords(part, evidence.chance != null)}</li>
      ))}
      {evidence.long.lost > 0 && <li className="note">{format.count(evidence.long.lost)} events of the long window are known to be lost</li>}
    </ul>
  );
}

/** `12 bad of 400`; where slices or shares are counted, which nobody reads: `3 % bad`. */
function badOf(counts: { good: number; bad: number }, unit: number) {
  const all = counts.good + counts.bad;
  return unit === 1 ? `${format.count(counts.bad)} bad of ${format.count(all)}` : all === 0 ? "nothing counted" : `${amount(counts.bad, counts, unit)} bad`;
}

function amount(bad: number, { good, bad: all }: { good: number; bad: number }, unit: number) {
  return unit === 1 ? format.count(bad) : format.percent(bad / (good + all));
}

function BudgetEvidence({ evidence, unit, budget }: Pick<Alert, "evidence" | "unit"> & { budget: Spending }) {
  const span = (Date.parse(evidence.long.to) - Date.parse(evidence.long.from)) / 1000;
  return (
    <ul className="evidence">
      <li>{budget.says}</li>
      <li>
        {badOf(evidence.long, unit)} in {format.duration(span)}, {unit === 1 ? limitWords(budget) : `${format.percent(budget.spent)} of the budget`}
        {evidence.bad_needed != null && <>; {amount(evidence.bad_needed, evidence.long, unit)} {unit === 1 ? "are" : "is"} evidence</>}
      </li>
      {evidence.long.lost > 0 && <li className="note">{format.count(evidence.long.lost)} of them are known to be lost</li>}
    </ul>
  );
}

/** How many bad events it takes. */
export function limitWords(budget: Spending) {
  return budget.limit < 0 ? "fires without any more" : `fires above ${format.count(Math.floor(budget.limit))}`;
}

/** The spans that an alert stands on: only windows are two. */
function spans(evidence: Alert["evidence"]) {
  const short = ["short window", evidence.short, evidence.burn_rate_short] as const;
  const long = ["long window", evidence.long, evidence.burn_rate_long] as const;
  return evidence.test === "windows" ? [short, long] : [long];
}

/** The burn rates of an alert in a few words: `named` where no heading says which window is which. */
export function burnWords({ evidence }: Alert) {
  const alone = (rates: string, rule: string) => ({ rates, named: rates, rule });
  if (evidence.test === "coverage")
    return alone(`${format.percent(evidence.long.coverage)} measured`, `fires below ${format.percent(evidence.threshold)}`);
  if (evidence.budget) return alone(`${format.percent(evidence.budget.remaining)} of the budget left`, `fires at: ${evidence.budget.rule}`);
  const windows = spans(evidence);
  const rates = windows.map(([, , rate]) => format.burn(rate)).join(" and ");
  const named = windows.length > 1 ? windows.map(([name, , rate]) => `${format.burn(rate)} (${name})`).join(" and ") : rates;
  return { rates, named, rule: `${evidence.test === "sequential" ? "looks for" : "fires above"} ${format.burn(evidence.threshold)}` };
}

/** The run in one line of steps, for who only wants to know what is being done. */
export function StepStrip({ run }: { run: RunDetail }) {
  return (
    <ol className="strip" aria-label="steps of the run">
      {run.steps.map((step) => (
        <li key={step.seq}>
          <Glyph word={stepWord(step, run.deliveries)} />
          <span>{stepName(step.kind)}</span>
          <span className="note">
            {stepWord(step, run.deliveries).text.toLowerCase()}
            {!isOver(run) && step.expires_at && <>, <Countdown until={step.expires_at} /></>}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** Why a run was refused, gave up or had nothing to do. */
export function Reason({ run }: { run: { reason?: string | null } }) {
  return run.reason ? <span className="sub"><Said text={run.reason} /></span> : null;
}

export function RunVerdict({ run }: { run: { verdict?: string | null; state: string } }) {
  return run.verdict ? <State state={run.verdict} /> : <span className="note">{isOver(run) ? "none" : "not yet"}</span>;
}

export function Took({ from, to: end }: { from: string | null | undefined; to: string | null | undefined }) {
  const now = useNow();
  if (!from) return <>{format.UNKNOWN}</>;
  return <span className="num">{format.duration(Math.max(0, ((end ? Date.parse(end) : now) - Date.parse(from)) / 1000))}</span>;
}
