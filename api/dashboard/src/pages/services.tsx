/** Every service that was named or found, loudest first. */

import type { Items, Service } from "../data/client";
import { serverNow } from "../data/now";
import { useResource } from "../data/resource";
import * as format from "../format";
import { Link, to } from "../router";
import { Ago, Empty, Loading, Page, Trouble } from "../ui/bits";
import { SloStateTag } from "../ui/state";
import { byLoudness } from "../words";
import { goneSince } from "./endpoints";

export function ServicesPage() {
  const services = useResource<Items<Service>>("/services", { everyMs: 2_000 });
  const items = [...(services.data?.items ?? [])].sort((a, b) => byLoudness(a.worst_state, b.worst_state) || (b.requests_per_second ?? -1) - (a.requests_per_second ?? -1) || a.name.localeCompare(b.name));
  return (
    <Page title="Services" kicker={services.data ? `${format.plural(items.length, "service")}, as the client feels them at the socket` : null}>
      <Trouble of={services} what="list of services" />
      {!services.data && !services.error && <Loading lines={6} />}
      {services.data && items.length === 0 && (
        <Empty title="No service was found">
          <p>slowburn finds services by their listening sockets. <code>slowburn doctor</code> says what this machine allows.</p>
        </Empty>
      )}
      {items.length > 0 && (
        <div className="scroll">
          <table className="rows">
            <thead>
              <tr>
                <th scope="col">Service</th><th scope="col">Worst objective</th>
                <th scope="col" className="right">Requests</th><th scope="col" className="right">Errors</th>
                <th scope="col" className="right">p50</th><th scope="col" className="right">p99</th>
                <th scope="col" className="right">In flight</th><th scope="col" className="right">Retransmits</th><th scope="col" className="right">Measured</th>
              </tr>
            </thead>
            <tbody>{items.map((service) => <Row key={service.name} service={service} />)}</tbody>
          </table>
        </div>
      )}
    </Page>
  );
}

function Row({ service }: { service: Service }) {
  const ports = [...new Set(service.endpoints.map((endpoint) => endpoint.port))];
  const gone = goneSince(service.endpoints, serverNow());
  return (
    <tr>
      <th scope="row" data-label="Service">
        <Link href={to.service(service.name)} className="row-link">{service.name}</Link>
        <span className="sub">{ports.length ? `port ${ports.join(", ")}` : "no listening socket seen"}{gone && <>, last seen <Ago at={gone} /></>}</span>
      </th>
      <td data-label="Worst objective">{service.slos.length ? <SloStateTag state={service.worst_state} /> : <span className="note">no objective</span>}</td>
      <td data-label="Requests" className="right num">{format.perSecond(service.requests_per_second)}</td>
      <td data-label="Errors" className="right num"><span className={(service.error_ratio ?? 0) > 0.01 ? "strong tone-bad" : ""}>{format.percent(service.error_ratio)}</span></td>
      <td data-label="p50" className="right num">{format.latency(service.p50_ms)}</td>
      <td data-label="p99" className="right num">{format.latency(service.p99_ms)}</td>
      <td data-label="In flight" className="right num">
        {format.count(service.in_flight)}
        {(service.overdue ?? 0) > 0 && <span className="sub tone-bad">{format.count(service.overdue)} overdue</span>}
      </td>
      <td data-label="Retransmits" className="right num">{format.perSecond(service.retransmits_per_second)}</td>
      <td data-label="Measured" className="right num">{format.percent(service.coverage)}</td>
    </tr>
  );
}
