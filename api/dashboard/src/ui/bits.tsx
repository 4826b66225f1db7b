/** Small pieces that every page is made of. */

import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiError } from "../data/client";
import { connection } from "../data/live";
import { useNow } from "../data/now";
import type { Resource } from "../data/resource";
import { Store, useStore } from "../data/store";
import * as format from "../format";

/** How many alerts fire, for the title of the browser's tab; the header knows. */
export const firingNow = new Store(0);

export function Page({ title, kicker, aside, children }: { title: string; kicker?: ReactNode; aside?: ReactNode; children: ReactNode }) {
  const firing = useStore(firingNow);
  useEffect(() => {
    document.title = `${firing > 0 ? `(${firing}) ` : ""}${title} · slowburn`;
  }, [firing, title]);
  return (
    <>
      <header className="page-head">
        <div>
          {kicker && <p className="kicker">{kicker}</p>}
          <h1 tabIndex={-1}>{title}</h1>
        </div>
        {aside && <div className="page-aside">{aside}</div>}
      </header>
      {children}
    </>
  );
}

export function Section({ title, note, aside, children, id }: { title: string; note?: ReactNode; aside?: ReactNode; children: ReactNode; id: string }) {
  return (
    <section aria-labelledby={id} className="section">
      <div className="section-head">
        <h2 id={id}>{title}</h2>
        {note && <p className="note">{note}</p>}
        {aside && <div className="section-aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** Text of the server with its literals in backticks. */
export function Said({ text }: { text: string }) {
  return <>{text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}

/** A point in time: how long ago, with the exact time one hover or focus away. */
export function Ago({ at }: { at: string | null | undefined }) {
  const now = useNow();
  if (!at) return <>{format.UNKNOWN}</>;
  return (
    <time dateTime={at} title={at}>
      {format.ago((now - Date.parse(at)) / 1000)}
    </time>
  );
}

export function Clock({ at, seconds = true }: { at: string | null | undefined; seconds?: boolean }) {
  const now = useNow();
  if (!at) return <>{format.UNKNOWN}</>;
  return (
    <time dateTime={at} title={at} className="num">
      {format.clock(new Date(at), new Date(now), seconds)}
    </time>
  );
}

export function Countdown({ until, done = "over" }: { until: string; done?: string }) {
  const left = (Date.parse(until) - useNow()) / 1000;
  return (
    <span className="num" title={until}>
      {left > 0 ? format.countdown(left) : done}
    </span>
  );
}

/** A failed request, said where its data would be. With old data on the page: how old. */
export function Trouble({ of, what }: { of: Pick<Resource<unknown>, "error" | "loadedAt" | "data" | "reload">; what: string }) {
  useNow();
  const { state } = useStore(connection);
  const { error } = of;
  if (!error) return null;
  const age = of.loadedAt === null ? null : (Date.now() - of.loadedAt) / 1000;
  // The bar at the top says it already; here only how old this part is.
  if (age !== null && state === "broken" && error instanceof ApiError && error.code === "unreachable") {
    return <p className="stale">{capital(what)} as of {format.ago(age)}</p>;
  }
  return (
    <div className="trouble" role="alert">
      <p>
        <strong>{age === null ? `No ${what}: ` : `${capital(what)} not renewed: `}</strong>
        <Said text={error.message} />
        {error instanceof ApiError && error.status > 0 && <span className="note"> ({error.code})</span>}
      </p>
      {error instanceof ApiError && error.hint && <p className="hint"><Said text={capital(error.hint)} />.</p>}
      {age !== null && <p className="hint">What you see is from {format.ago(age)}.</p>}
      <button type="button" className="button small" onClick={of.reload}>
        Ask again
      </button>
    </div>
  );
}

/** Nothing yet: a quiet placeholder that reserves room, so that nothing jumps. */
export function Loading({ lines = 4 }: { lines?: number }) {
  return (
    <div className="loading" role="status">
      <span className="sr-only">Loading</span>
      {Array.from({ length: lines }, (_, i) => (
        <i key={i} />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function Tile({ label, value, tone, children }: { label: string; value: ReactNode; tone?: string; children?: ReactNode }) {
  return (
    <div className="tile">
      <dt>{label}</dt>
      <dd>
        <span className={`figure${tone ? ` tone-${tone}` : ""}`}>{value}</span>
        {children && <div className="tile-note">{children}</div>}
      </dd>
    </div>
  );
}

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), 2_000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setSaid("copied");
    } catch {
      // Without a secure context there is no clipboard: the id is selectable text.
      setSaid("select it by hand");
    }
  };
  return (
    <span className="copy">
      <code>{text}</code>
      <button type="button" className="button small" onClick={() => void copy()} aria-label={`Copy ${what}`}>
        {said ?? "copy"}
      </button>
      <span className="sr-only" role="status">{said}</span>
    </span>
  );
}

/** Asks before it acts, and shows what came of it. */
export function Act({ label, question, detail, confirm, keep = "Keep it", run, done, danger, small, opens, children }: {
  label: string; question: string; detail: string; confirm: string; keep?: string; run: () => Promise<unknown>; done: () => void; danger?: boolean; small?: boolean;
  /** As the question is asked: what is to be filled in may depend on when. */
  opens?: () => void;
  /** What there is to fill in. */
  children?: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const open = () => {
    setError(null);
    opens?.();
    dialog.current?.showModal();
  };
  const act = async () => {
    setBusy(true);
    setError(null);
    try {
      await run();
      dialog.current?.close();
      done();
    } catch (failed) {
      setError(failed as Error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" className={`button${danger ? " danger" : ""}${small ? " small" : ""}`} onClick={open}>
        {label}
      </button>
      <dialog ref={dialog} aria-label={question} className="ask">
        <h2>{question}</h2>
        <p>{detail}</p>
        {children}
        {error && (
          <p className="trouble" role="alert">
            <strong>It did not happen: </strong>
            {error.message}
            {error instanceof ApiError && error.hint ? `. ${error.hint}` : ""}
          </p>
        )}
        <div className="ask-buttons">
          <button type="button" className="button" autoFocus onClick={() => dialog.current?.close()}>
            {keep}
          </button>
          <button type="button" className={`button solid${danger ? " danger" : ""}`} disabled={busy} onClick={() => void act()}>
            {busy ? "Asking…" : confirm}
          </button>
        </div>
      </dialog>
    </>
  );
}

/** One line of a form. */
export function Field({ label, value, onChange, placeholder, type = "text" }: { label: string; value: string; onChange: (value: string) => void; placeholder?: string; type?: "text" | "datetime-local" }) {
  return (
    <label className="field">
      <span>{label}</span>
      <input type={type} value={value} onChange={(typed) => onChange(typed.target.value)} maxLength={1000} {...(placeholder ? { placeholder } : {})} />
    </label>
  );
}

export function Choice<T extends string>({ label, value, options, onChange }: { label: string; value: T; options: [T, string][]; onChange: (value: T) => void }) {
  return (
    <div className="choice" role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => onChange(option)}>
          {text}
        </button>
      ))}
    </div>
  );
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
