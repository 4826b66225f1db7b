import type { SloState } from "../data/client";
import { type Shape, sloWords, stateWord, type Word } from "../words";

const outlines: Record<Shape, React.ReactNode> = {
  tick: <><circle cx="8" cy="8" r="6.25" fill="none" /><path d="M5.2 8.3 7.2 10.3 10.9 6" fill="none" /></>,
  up: <path d="M8 2.2 14.4 13.3H1.6Z M8 6.4V9.6 M8 11.5V11.6" fill="none" />,
  flame: <><circle cx="8" cy="8" r="7.2" className="solid" /><path d="M8 4V8.8 M8 11.6V11.7" className="cut" fill="none" /></>,
  cross: <><rect x="1.2" y="1.2" width="13.6" height="13.6" rx="3" className="solid" /><path d="M5.4 5.4 10.6 10.6 M10.6 5.4 5.4 10.6" className="cut" fill="none" /></>,
  dashed: <circle cx="8" cy="8" r="6.25" fill="none" strokeDasharray="2.2 2.7" />,
  dot: <circle cx="8" cy="8" r="4.6" className="solid" />,
  ring: <circle cx="8" cy="8" r="5.4" fill="none" />,
  half: <><circle cx="8" cy="8" r="6.25" fill="none" /><path d="M8 4.2A3.8 3.8 0 0 1 8 11.8Z" className="solid" /></>,
  stop: <><circle cx="8" cy="8" r="6.25" fill="none" /><path d="M5.2 8H10.8" fill="none" /></>,
};

export function Glyph({ word }: { word: Pick<Word, "shape" | "tone"> }) {
  return (
    <svg className={`glyph tone-${word.tone}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      {outlines[word.shape]}
    </svg>
  );
}

export function StateTag({ word }: { word: Word }) {
  return (
    <span className={`state tone-${word.tone}`} title={word.means}>
      <Glyph word={word} />
      {word.text}
    </span>
  );
}

export function SloStateTag({ state }: { state: SloState }) {
  return <StateTag word={sloWords[state] ?? stateWord(state)} />;
}

export function State({ state }: { state: string }) {
  return <StateTag word={stateWord(state)} />;
}
