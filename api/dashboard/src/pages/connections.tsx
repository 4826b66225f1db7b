/** Connections of a service as TCP tells of them: those it accepts beside those it opens to others. */

import type { ServiceDetail } from "../data/client";
import * as format from "../format";
import { Section } from "../ui/bits";

type Tcp = NonNullable<ServiceDetail["connections"]["server"]>;
export type ConnectionRow = { name: string; value: string; note?: string; tone?: "bad" | "warn" };

export function Connections({ service }: { service: ServiceDetail }) {
  const { server, client } = service.connections;
  const columns = [["Accepted", server, "server"], ["Opened to others", client, "client"]] as const;
  const shown = columns.flatMap(([title, tcp, role]) => (tcp ? [{ title, rows: connectionRows(tcp, role) }] : []));
  const names = [...new Set(shown.flatMap(({ rows }) => rows.map((row) => row.name)))];
  return (
    <Section id="connections" title="Connections">
      {shown.length === 0 ? <p className="note">No connection was seen.</p> : (
        <div className="scroll">
          <table className="rows">
            <thead><tr><th scope="col">TCP</th>{shown.map(({ title }) => <th key={title} scope="col" className="right">{title}</th>)}</tr></thead>
            <tbody>
              {names.map((name) => (
                <tr key={name}>
                  <th scope="row" data-label="TCP">{name}</th>
                  {shown.map(({ title, rows }) => <Cell key={title} title={title} row={rows.find((row) => row.name === name)} />)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
}

function Cell({ title, row }: { title: string; row: ConnectionRow | undefined }) {
  if (!row) return <td className="right note nothing">{format.UNKNOWN}</td>;
  return (
    <td data-label={title} className="right num">
      <span className={row.tone ? `strong tone-${row.tone}` : ""}>{row.value}</span>
      {row.note && <span className="sub">{row.note}</span>}
    </td>
  );
}

/** Beside the segments that were sent again: of how many that is which share. */
function again(tcp: Tcp): string {
  const all = tcp.segments_sent + tcp.retransmits;
  const share = tcp.retransmits > 0 ? [`${format.percent(tcp.retransmits / all)} of ${format.count(all)} segments`] : [];
  const syn = tcp.syn_retransmits > 0 ? [`${share.length > 0 ? "and " : ""}${format.count(tcp.syn_retransmits)} SYN`] : [];
  return [...share, ...syn].join(", ");
}

/** What is worth a line: an accept queue for who listens, connect times and errors for who calls. */
export function connectionRows(tcp: Tcp, role: "server" | "client"): ConnectionRow[] {
  const reasons = (counts: Record<string, number>) =>
    Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([word, n]) => `${format.words(word)}: ${format.count(n)}`).join(", ");
  const counted = (name: string, n: number, note = "", tone?: ConnectionRow["tone"]): ConnectionRow =>
    ({ name, value: format.count(n), ...(note ? { note } : {}), ...(tone && n > 0 ? { tone } : {}) });
  const failures = Object.values(tcp.connect_failures).reduce((sum, n) => sum + n, 0);
  const isFull = tcp.accept_queue != null && tcp.accept_backlog != null && tcp.accept_backlog > 0 && tcp.accept_queue >= tcp.accept_backlog;
  return [
    counted("Opened", tcp.opened, tcp.open == null ? "" : `${format.count(tcp.open)} open now`),
    ...(role === "server"
      ? [
          { name: "Accept queue", value: format.count(tcp.accept_queue), note: `of ${format.count(tcp.accept_backlog)}`, ...(isFull ? { tone: "bad" as const } : {}) },
          counted("Turned away", tcp.listen_drops, "", "bad"),
        ]
      : [
          { name: "Time to open, p50 / p99", value: `${format.latency(tcp.connect_p50_ms)} / ${format.latency(tcp.connect_p99_ms)}` },
          counted("Not opened", failures, reasons(tcp.connect_failures), "bad"),
        ]),
    { name: "Round trip, p50 / p99", value: `${format.latency(tcp.rtt_p50_ms)} / ${format.latency(tcp.rtt_p99_ms)}` },
    { name: "Received / sent", value: `${format.bytes(tcp.bytes_received)} / ${format.bytes(tcp.bytes_sent)}` },
    counted("Sent again", tcp.retransmits, again(tcp), "warn"),
    counted("Resets sent", tcp.resets_sent, reasons(tcp.resets_sent_because)),
    counted("Resets received", tcp.resets_received),
    counted("Windows closed by it", tcp.zero_windows_sent, "", "warn"),
    counted("Windows closed by peers", tcp.zero_windows_received),
    counted("Timed out", tcp.timeouts, "", "bad"),
  ];
}
