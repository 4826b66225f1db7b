/** Time that an objective does not count, who said so, and a way back. */

import { useState } from "react";
import { useAuthor } from "../data/author";
import { type Correction, type Corrections, change, type SloDetail } from "../data/client";
import { serverNow } from "../data/now";
import type { Resource } from "../data/resource";
import * as format from "../format";
import { Act, Ago, Choice, Field, Section, Trouble } from "../ui/bits";

export function CorrectionList({ slo, of }: { slo: SloDetail; of: Resource<Corrections> }) {
  const items = of.data?.items ?? [];
  const out = of.data?.left_out ?? [];
  const [good, bad] = [out.reduce((sum, span) => sum + span.good, 0) / slo.unit, out.reduce((sum, span) => sum + span.bad, 0) / slo.unit];
  const events = slo.slice_seconds == null ? "events" : "slices";
  return (
    <Section
      id="corrections" title="Corrections"
      note={out.length > 0 ? <>{format.count(bad)} bad and {format.count(good)} good {events} are left out of the numbers above</> : items.length > 0 ? "time that is left out of the numbers above" : "no time is left out of the numbers above"}
      aside={<LeaveOut slo={slo} done={of.reload} />}
    >
      <Trouble of={of} what="corrections" />
      {items.length > 0 && <div className="scroll">
        <table className="rows">
          <thead>
            <tr><th scope="col">What</th><th scope="col">When</th><th scope="col">By</th><th scope="col" className="right">State</th></tr>
          </thead>
          <tbody>{items.map((each) => <Row key={each.id} correction={each} done={of.reload} />)}</tbody>
        </table>
      </div>}
    </Section>
  );
}

const KINDS = { maintenance: "maintenance", deployment: "deployment", outside_business_hours: "outside hours", other: "other" };
type Kind = keyof typeof KINDS;

/** A span of the past or the future; what recurs is said in a file or through the API. */
function LeaveOut({ slo, done }: { slo: SloDetail; done: () => void }) {
  const [author, setAuthor] = useAuthor();
  const [kind, setKind] = useState<Kind>("maintenance");
  const [from, setFrom] = useState("");
  const [to, setTo] = useState("");
  const [comment, setComment] = useState("");
  return (
    <Act
      small label="Leave time out" confirm="Leave it out" keep="Not now" done={done}
      opens={() => { setFrom(local(serverNow() - 3_600_000)); setTo(local(serverNow())); }}
      question={`Leave time out of ${slo.display_name || slo.name}?`}
      detail="What was or will be counted then is in none of its numbers, and no alert of it fires for it. It can be undone."
      run={() => change("POST", "/corrections", { objective: slo.name, kind, starts_at: moment("From", from), ends_at: moment("To", to), author, comment })}
    >
      <Field label="From" type="datetime-local" value={from} onChange={setFrom} />
      <Field label="To" type="datetime-local" value={to} onChange={setTo} />
      <p><Choice label="Why this time is not counted" value={kind} onChange={setKind} options={Object.entries(KINDS) as [Kind, string][]} /></p>
      <Field label="Your name" value={author} onChange={setAuthor} />
      <Field label="Note" value={comment} onChange={setComment} placeholder="switch of the database" />
    </Act>
  );
}

/** As a `datetime-local` field has it: to the minute, in the browser's zone. */
function local(at: number): string {
  const minute = new Date(at);
  return new Date(at - minute.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Of an empty field there is no time, and the browser says so in words nobody should read. */
function moment(field: string, text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw new Error(`${field}: this is not a time`);
  return at.toISOString();
}

/** What the rule does not say. */
function dates({ exdate, rdate }: NonNullable<Correction["recurrence"]>) {
  const said = (word: string, of: string[]) => of.length > 0 ? ` ${word} ${of.slice(0, 3).join(", ")}${of.length > 3 ? ` and ${of.length - 3} more` : ""}` : "";
  return said("but", exdate) + said("and", rdate);
}

function Row({ correction, done }: { correction: Correction; done: () => void }) {
  const [author, setAuthor] = useAuthor();
  const spell = (at: string) => format.clock(new Date(at), new Date(serverNow()), false);
  const what = correction.kind.replaceAll("_", " ");
  return (
    <tr>
      <th scope="row" data-label="What">{what}{correction.comment && <span className="sub">{correction.comment}</span>}</th>
      <td data-label="When" className="num">
        {spell(correction.starts_at)} to {spell(correction.ends_at)}
        {correction.recurrence && <span className="sub"><code>{correction.recurrence.rule}</code>{dates(correction.recurrence)} in {correction.recurrence.zone}, {format.plural(correction.spans.length, "time")} in this span</span>}
      </td>
      <td data-label="By">{correction.author}<span className="sub"><Ago at={correction.created_at} /></span></td>
      <td data-label="State" className="right">
        {correction.undone_at
          ? <span className="note">undone by {correction.undone_by} <Ago at={correction.undone_at} /></span>
          : (
            <Act
              small label="Undo" confirm="Undo it" done={done}
              question={`Undo this ${what}?`}
              detail="Its time counts again, in every number, as if it had never been left out. It stays on record."
              run={() => change("DELETE", `/corrections/${correction.id}?author=${encodeURIComponent(author)}`)}
            >
              <Field label="Your name" value={author} onChange={setAuthor} />
            </Act>
          )}
      </td>
    </tr>
  );
}
