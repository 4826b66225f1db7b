import { expect, test } from "vitest";
import type { Alert, Limit, Run } from "../data/client";
import { atWork, meanwhile } from "./at-work";

const alert = (id: number, objective: string, service = "shop") => ({ id, objective, service }) as Alert;
const run = (id: number, alert_id: number, objective: string, state: string, service = "shop") => ({ id, alert_id, objective, state, service }) as Run;
const limit = (id: number, run_id: number | null, service = "shop") => ({ id, run_id, service }) as Limit;

test("a run that answers another tier of the objective is at work on it", () => {
  const work = atWork([["answers", [alert(2, "answers")]]], [run(9, 1, "answers", "holding"), run(8, 1, "answers", "done")], [limit(5, 9)]).get("answers")!;
  expect(work.runs.map(({ id }) => id)).toEqual([9]);
  expect(work.limits.map(({ id }) => id)).toEqual([5]);
});

test("a run for another objective of the service is named beside it", () => {
  const work = atWork([["quick", [alert(2, "quick")]], ["far", [alert(3, "far", "web")]]], [run(9, 1, "answers", "verifying")], []);
  expect(work.get("quick")!.besides.map(({ id }) => id)).toEqual([9]);
  expect(work.get("far")!.besides).toEqual([]);
});

test("a limit is shown once, with the run that asked for it", () => {
  const work = atWork([["quick", [alert(2, "quick")]], ["answers", [alert(1, "answers")]]], [run(9, 1, "answers", "holding")], [limit(5, 9), limit(6, null), limit(7, null, "web")]);
  expect(work.get("answers")!.limits.map(({ id }) => id)).toEqual([5]);
  expect(work.get("quick")!.limits.map(({ id }) => id)).toEqual([6]);
});

test("a run was at work on an alert when their times meet", () => {
  const at = (minute: number) => new Date(minute * 60_000).toISOString();
  const open = { ...alert(2, "answers"), opened_at: at(10), resolved_at: null } as Alert;
  const resolved = { ...open, resolved_at: at(20) };
  const from = (id: number, start: number, end: number | null) => ({ ...run(id, 1, "answers", "done"), started_at: at(start), finished_at: end === null ? null : at(end) });
  const runs = [from(1, 1, 9), from(2, 1, 12), from(3, 8, null), from(4, 15, 16), from(5, 25, null)];
  expect(meanwhile(open, runs).map(({ id }) => id)).toEqual([2, 3, 4, 5]);
  expect(meanwhile(resolved, runs).map(({ id }) => id)).toEqual([2, 3, 4]);
});
