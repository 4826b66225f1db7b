/** Who takes care of an alert, and for how long nobody wants to hear of it. */

import { useState } from "react";
import { useAuthor } from "../data/author";
import { type Alert, change, type Items, type Silence } from "../data/client";
import { serverNow } from "../data/now";
import { useResource } from "../data/resource";
import { Link, to } from "../router";
import { Act, Choice, Clock, Countdown, Field, Section, Trouble } from "../ui/bits";
import { State } from "../ui/state";

const LENGTHS = { "1 h": 3_600_000, "4 h": 14_400_000, "1 d": 86_400_000, "1 w": 604_800_000 };
type Length = keyof typeof LENGTHS;

export function Care({ alert, done }: { alert: Alert; done: () => void }) {
  const [author, setAuthor] = useAuthor();
  const [note, setNote] = useState("");
  const [length, setLength] = useState<Length>("1 h");
  const is = `${alert.tier} on ${alert.objective}`;
  const acknowledged = alert.acknowledged;
  return (
    <Section id="care" title="Care">
      <p className="note">
        {acknowledged
          ? <>{acknowledged.by} takes care of it since <Clock at={acknowledged.at} />{acknowledged.note && `: ${acknowledged.note}`}. </>
          : "Nobody has said that they take care of it. "}
        {alert.silenced_by != null && <>It is silenced (silence #{alert.silenced_by}). </>}
        {alert.inhibited_by != null && <>It is inhibited by <Link href={to.alert(alert.inhibited_by)}>alert #{alert.inhibited_by}</Link>, a page of what its service depends on.</>}
      </p>
      {alert.state !== "resolved" && (
        <p>
          <Act
            label="Acknowledge" confirm="I take care of it" keep="Not now" done={done}
            question={`Take care of ${is}?`}
            detail="Everybody sees that you do, and whoever was told of it is told: PagerDuty wakes nobody else. It fires on, and runbooks go on."
            run={() => change("POST", `/alerts/${alert.id}/acknowledge`, { author, note })}
          >
            <Field label="Your name" value={author} onChange={setAuthor} />
            <Field label="Note" value={note} onChange={setNote} placeholder="rolling back" />
          </Act>{" "}
          <Act
            label="Silence" confirm="Silence it" keep="Not now" done={done}
            question={`Silence ${is}?`}
            detail="It fires and resolves as ever, but nobody is paged and no runbook begins until the silence ends. What has begun goes on."
            run={() => change("POST", "/silences", {
              matchers: [`objective=${alert.objective}`, `tier=${alert.tier}`],
              ends_at: new Date(serverNow() + LENGTHS[length]).toISOString(), author, comment: note,
            })}
          >
            <Field label="Your name" value={author} onChange={setAuthor} />
            <Field label="Why" value={note} onChange={setNote} placeholder="moving to the new database" />
            <p><Choice label="For how long" value={length} onChange={setLength} options={(Object.keys(LENGTHS) as Length[]).map((each) => [each, each])} /></p>
          </Act>
        </p>
      )}
    </Section>
  );
}

/** Nothing where nothing is silent. */
export function Silences() {
  const found = useResource<Items<Silence>>("/silences", { everyMs: 5_000 });
  const [author, setAuthor] = useAuthor();
  const items = found.data?.items ?? [];
  if (items.length === 0) return <Trouble of={found} what="list of silences" />;
  return (
    <Section id="silences" title="Silences" note="what nobody is paged about, and no runbook answers to">
      <Trouble of={found} what="list of silences" />
      <div className="scroll">
        <table className="rows">
          <thead><tr><th scope="col">Silence</th><th scope="col">State</th><th scope="col">Of alerts with</th><th scope="col">Why</th><th scope="col">Ends</th><th scope="col" /></tr></thead>
          <tbody>
            {items.map((silence) => (
              <tr key={silence.id}>
                <th scope="row" data-label="Silence" className="num">#{silence.id}</th>
                <td data-label="State"><State state={silence.state} /></td>
                <td data-label="Of alerts with">{silence.matchers.map((matcher) => <code key={matcher} className="sub">{matcher}</code>)}{silence.matches === 0 && <span className="sub tone-warn">matches nothing that is defined today</span>}</td>
                <td data-label="Why">{silence.comment}<span className="sub">{silence.author}</span></td>
                <td data-label="Ends"><Clock at={silence.ends_at} /><span className="sub">in <Countdown until={silence.ends_at} /></span></td>
                <td className="right">
                  <Act
                    small label="End" confirm="End it" done={found.reload}
                    question={`End silence #${silence.id}?`} detail="What it is about and still fires is answered now."
                    run={() => change("DELETE", `/silences/${silence.id}?author=${encodeURIComponent(author)}`)}
                  >
                    <Field label="Your name" value={author} onChange={setAuthor} />
                  </Act>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}
