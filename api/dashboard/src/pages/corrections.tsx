/** Time that an objective does not count, who said so, and a way back. */

import { type Correction, type Corrections, change, type SloDetail } from "../data/client";
import { serverNow } from "../data/now";
import type { Resource } from "../data/resource";
import * as format from "../format";
import { Act, Ago, Section, Trouble } from "../ui/bits";

export function CorrectionList({ slo, of }: { slo: SloDetail; of: Resource<Corrections> }) {
  const items = of.data?.items ?? [];
  const out = of.data?.left_out ?? [];
  if (!of.error && items.length === 0) return null;
  const [good, bad] = [out.reduce((sum, span) => sum + span.good, 0) / slo.unit, out.reduce((sum, span) => sum + span.bad, 0) / slo.unit];
  const events = slo.slice_seconds == null ? "events" : "slices";
  return (
    <Section
      id="corrections" title="Corrections"
      note={out.length > 0 ? <>{format.count(bad)} bad and {format.count(good)} good {events} are left out of the numbers above</> : "time that is left out of the numbers above"}
    >
      <Trouble of={of} what="corrections" />
      <div className="scroll">
        <table className="rows">
          <thead>
            <tr><th scope="col">What</th><th scope="col">When</th><th scope="col">By</th><th scope="col" className="right">State</th></tr>
          </thead>
          <tbody>{items.map((each) => <Row key={each.id} correction={each} done={of.reload} />)}</tbody>
        </table>
      </div>
    </Section>
  );
}

/** What the rule does not say. */
function dates({ exdate, rdate }: NonNullable<Correction["recurrence"]>) {
  const said = (word: string, of: string[]) => of.length > 0 ? ` ${word} ${of.slice(0, 3).join(", ")}${of.length > 3 ? ` and ${of.length - 3} more` : ""}` : "";
  return said("but", exdate) + said("and", rdate);
}

function Row({ correction, done }: { correction: Correction; done: () => void }) {
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
              run={() => change("DELETE", `/corrections/${correction.id}?author=dashboard`)}
            />
          )}
      </td>
    </tr>
  );
}
