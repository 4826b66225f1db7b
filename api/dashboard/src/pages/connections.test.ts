import { expect, test } from "vitest";
import { connectionRows } from "./connections";

const quiet = {
  opened: 12, open: 3, bytes_received: 2_048, bytes_sent: 5_300_000, segments_sent: 4_000, retransmits: 0, syn_retransmits: 0, zero_windows_sent: 0, zero_windows_received: 0,
  resets_sent: 0, resets_received: 0, resets_sent_because: {}, timeouts: 0, rtt_p50_ms: 0.12, rtt_p99_ms: null, accept_queue: 0, accept_backlog: 128,
  listen_drops: 0, connect_failures: {}, connect_p50_ms: null, connect_p99_ms: null,
};
const row = (name: string, of = quiet, role: "server" | "client" = "server") => connectionRows(of, role).find((each) => each.name === name);

test("a queue that is full is loud, one that is not is calm", () => {
  expect(row("Accept queue")).toEqual({ name: "Accept queue", value: "0", note: "of 128" });
  expect(row("Accept queue", { ...quiet, accept_queue: 129 })?.tone).toBe("bad");
});

test("errors of connecting are said by their number, the most frequent first", () => {
  const failed = { ...quiet, connect_failures: { timed_out: 1, connection_refused: 4 } };
  expect(row("Not opened", failed, "client")).toEqual({ name: "Not opened", value: "5", note: "connection refused: 4, timed out: 1", tone: "bad" });
  expect(row("Not opened", failed)).toBeUndefined();
});

test("what was sent again is held against all that was sent, and SYNs are told beside it", () => {
  expect(row("Sent again", { ...quiet, segments_sent: 3_990, retransmits: 10 })?.note).toBe("0.3\u202f% of 4\u202f000 segments");
  expect(row("Sent again", { ...quiet, retransmits: 10, segments_sent: 0, syn_retransmits: 2 })?.note).toBe("100\u202f% of 10 segments, and 2 SYN");
  expect(row("Sent again")).toEqual({ name: "Sent again", value: "0" });
});

test("what did not happen is a quiet zero", () => {
  expect(row("Turned away")).toEqual({ name: "Turned away", value: "0" });
});
