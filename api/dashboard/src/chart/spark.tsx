import type { Maybe } from "../format";
import { sparkRuns } from "./series";

const WIDTH = 88;
const HEIGHT = 26;
const INSET = 2;

/** A line the size of a word. `line` marks a level worth knowing, such as an even burn. */
export function Spark({ values, label, tone, line }: { values: Maybe<number>[]; label: string; tone: string; line?: number }) {
  const known = values.filter((value): value is number => value !== null && value !== undefined);
  const top = Math.max(line === undefined ? 0 : line * 1.6, ...known) || 1;
  const y = (share: number) => (INSET + share * (HEIGHT - 2 * INSET)).toFixed(1);
  const x = (share: number) => (INSET + share * (WIDTH - 2 * INSET)).toFixed(1);
  const runs = sparkRuns(values, top);
  const end = runs.at(-1)?.at(-1);
  return (
    <svg className={`spark tone-${tone}`} width={WIDTH} height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {line !== undefined && <path className="level" d={`M0 ${y(1 - line / top)}H${WIDTH}`} />}
      {runs.map((run, i) => (
        <path key={i} className="line" d={"M" + run.map(([px, py]) => `${x(px)} ${y(py)}`).join("L") + (run.length === 1 ? "h.1" : "")} />
      ))}
      {end && <circle className="end" cx={x(end[0])} cy={y(end[1])} r="2" />}
    </svg>
  );
}
