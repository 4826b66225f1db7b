/** The frame around every page: where to go, and whether what is shown is still true. */

import { useEffect } from "react";
import type { Overview } from "./data/client";
import { connection, feed, reopen } from "./data/live";
import { useNow } from "./data/now";
import { useResource } from "./data/resource";
import { useStore } from "./data/store";
import * as format from "./format";
import { AlertPage, AlertsPage } from "./pages/alerts";
import { EventsPage } from "./pages/events";
import { OverviewPage } from "./pages/overview";
import { RunPage } from "./pages/run";
import { RunsPage } from "./pages/runs";
import { ServicePage } from "./pages/service";
import { ServicesPage } from "./pages/services";
import { SloPage } from "./pages/slo";
import { Link, to, usePlace } from "./router";
import { firingNow, Page } from "./ui/bits";

export function App() {
  const { path } = usePlace();
  return (
    <>
      <a className="skip" href="#main">Skip to content</a>
      <Header section={path[0] ?? ""} />
      <Broken />
      <main id="main">{page(path)}</main>
      <Announcer />
      <footer>
        <span>Times are of this browser: {zone()}</span>
        <a href="/api/openapi.json">API</a>
        <a href="/metrics">metrics</a>
        <a href="/readyz">readiness</a>
      </footer>
    </>
  );
}

function page(path: string[]) {
  const [section, name, ...rest] = path;
  if (section === undefined) return <OverviewPage />;
  if (rest.length === 0) {
    const id = name !== undefined && /^\d{1,15}$/.test(name) ? Number(name) : null;
    if (section === "slos" && name) return <SloPage key={name} name={name} />;
    if (section === "services") return name ? <ServicePage key={name} name={name} /> : <ServicesPage />;
    if (section === "runs" && name === undefined) return <RunsPage />;
    if (section === "runs" && id !== null) return <RunPage key={id} id={id} />;
    if (section === "alerts" && name === undefined) return <AlertsPage />;
    if (section === "alerts" && id !== null) return <AlertPage key={id} id={id} />;
    if (section === "events" && name === undefined) return <EventsPage />;
  }
  return (
    <Page title="No such page">
      <p>There is nothing at <code>/{path.join("/")}</code>. <Link href={to.overview()}>Back to the overview</Link></p>
    </Page>
  );
}

const NAV: [string, string, string][] = [
  ["", "Overview", to.overview()],
  ["services", "Services", to.services()],
  ["runs", "Runs", to.runs()],
  ["alerts", "Alerts", to.alerts()],
  ["events", "Events", to.events()],
];

function Header({ section }: { section: string }) {
  const overview = useResource<Overview>("/overview", { everyMs: 3_000 });
  const firing = overview.data?.alerts.filter((alert) => alert.state === "firing").length ?? 0;
  useEffect(() => {
    firingNow.set(firing);
  }, [firing]);
  return (
    <header className="top">
      <Link href={to.overview()} className="brand" aria-label="slowburn, overview">
        <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
          <path d="M3 25C10 25 12 9 19 9" className="fuse" />
          <circle cx="23" cy="9" r="5.6" className="ember" />
          <circle cx="23" cy="9" r="2.2" className="spark-core" />
        </svg>
        <span>slowburn</span>
      </Link>
      <nav aria-label="Pages">
        {NAV.map(([key, text, href]) => {
          const here = key === section || (key === "" && section === "slos");
          return (
            <Link key={key} href={href} aria-current={here ? "page" : undefined}>
              {text}
              {key === "alerts" && firing > 0 && <span className="count" aria-label={`${firing} firing`}>{firing}</span>}
            </Link>
          );
        })}
      </nav>
      <Live />
    </header>
  );
}

function Live() {
  useNow();
  const { state, heardAt } = useStore(connection);
  const age = heardAt === null ? null : (Date.now() - heardAt) / 1000;
  if (state === "live") return <p className="live"><i className="pulse" aria-hidden="true" />live</p>;
  if (state === "connecting") return <p className="live waiting"><i aria-hidden="true" />connecting</p>;
  return <p className="live broken"><i aria-hidden="true" />{age === null ? "not connected" : `last heard ${format.ago(age)}`}</p>;
}

function Broken() {
  useNow();
  const { state, heardAt, brokenAt } = useStore(connection);
  // A restart of the engine takes a moment; only what lasts is worth a banner.
  if (state !== "broken" || brokenAt === null || Date.now() - brokenAt < 2_500) return null;
  return (
    <div className="broken-bar" role="alert">
      <p>
        <strong>The live connection is broken.</strong>{" "}
        {heardAt === null ? "It was never made." : `It last spoke ${format.ago((Date.now() - heardAt) / 1000)}.`}{" "}
        What you see may be old; this page tries again by itself.
      </p>
      <button type="button" className="button small" onClick={reopen}>Try now</button>
    </div>
  );
}

/** Says the newest event aloud to who cannot see the feed, once it is new since the page was opened. */
function Announcer() {
  const newest = useStore(feed)[0];
  const fresh = newest && Date.now() - Date.parse(newest.at) < 10_000 ? newest.message : "";
  return <p className="sr-only" aria-live="polite">{fresh}</p>;
}

function zone(): string {
  const offset = -new Date().getTimezoneOffset();
  const sign = offset < 0 ? format.MINUS : "+";
  const hours = Math.floor(Math.abs(offset) / 60);
  const minutes = Math.abs(offset) % 60;
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (offset === 0) return "UTC";
  return `${name ?? "local"}, UTC${sign}${hours}${minutes ? `:${String(minutes).padStart(2, "0")}` : ""}`;
}
