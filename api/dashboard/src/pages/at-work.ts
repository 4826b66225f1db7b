/** Who is at work on an incident: a run answers one alert, but what it does helps the whole service. */

import type { Alert, Limit, Run } from "../data/client";
import { isOver } from "../words";

export type AtWork = {
  /** Runs that answer one of the alerts, or work on the same objective now. */
  runs: Run[];
  /** Runs for another objective of the same service that are not over. */
  besides: Run[];
  limits: Limit[];
};

/** Runs that were at work at some time while the alert was open. */
export function meanwhile(alert: Alert, runs: Run[]): Run[] {
  const time = (at: string | null | undefined) => (at == null ? Infinity : Date.parse(at));
  return runs.filter((run) => time(run.started_at) <= time(alert.resolved_at) && time(run.finished_at) >= time(alert.opened_at));
}

/** `groups` are the open alerts of each objective. A limit stands with the first that it fits. */
export function atWork(groups: [objective: string, alerts: Alert[]][], runs: Run[], limits: Limit[]): Map<string, AtWork> {
  const standing = (run: Run) => !isOver(run) || limits.some((limit) => limit.run_id === run.id);
  const found = new Map<string, AtWork>();
  for (const [objective, alerts] of groups) {
    const answers = (run: Run) => alerts.some((alert) => alert.id === run.alert_id);
    const own = runs.filter((run) => answers(run) || (run.objective === objective && standing(run)));
    const serves = (run: Run) => alerts.some((alert) => alert.service === run.service);
    found.set(objective, {
      runs: own.sort((a, b) => Number(standing(b)) - Number(standing(a)) || b.id - a.id),
      besides: runs.filter((run) => !own.includes(run) && serves(run) && standing(run)),
      limits: [],
    });
  }
  for (const limit of limits) {
    const byRun = groups.find(([objective]) => found.get(objective)!.runs.some((run) => run.id === limit.run_id));
    const byService = groups.find(([, alerts]) => alerts.some((alert) => alert.service === limit.service));
    const [objective] = byRun ?? byService ?? [];
    if (objective !== undefined) found.get(objective)!.limits.push(limit);
  }
  return found;
}
