//! The name of a listener: what a definition says, else its unit, cgroup or executable.

use std::path::Path;

use slo_engine::{
    measurement::ServiceName,
    service::{EndpointMatch, WatchedService},
};

use super::{
    container::{self, Container},
    listener::Listener,
};

/// Which service a listener is, and why people can believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub service: ServiceName,
    pub because: String,
}

/// Ports are the most exact statement, then where a process runs, then what it is.
pub(crate) fn name(listener: &Listener, watched: &[WatchedService]) -> Option<Named> {
    let tests: [fn(&EndpointMatch, &Listener) -> Option<String>; 6] = [
        by_port,
        by_cgroup,
        by_unit_match,
        by_container,
        by_pod,
        by_executable,
    ];
    for test in tests {
        for service in watched {
            if let Some(clause) = service.matches.iter().find_map(|wanted| test(wanted, listener)) {
                return Some(Named {
                    service: service.name.clone(),
                    because: format!("{clause} is matched by `{}`", service.name),
                });
            }
        }
    }
    found(listener)
}

/// Whether everything in a cgroup is the service's, before anybody listens there.
pub(crate) fn covers(wanted: &EndpointMatch, cgroup: &str) -> bool {
    match wanted {
        EndpointMatch::Cgroup(glob) => matches_glob(glob, cgroup),
        EndpointMatch::Unit(glob) => unit_of(cgroup).is_some_and(|unit| matches_unit(glob, unit)),
        EndpointMatch::Container(wanted) => {
            // What is not told by the path is told by its processes, once they listen.
            let found = container::of(cgroup, Path::new(NOWHERE));
            found.is_some_and(|container| matches_container(wanted, &container))
        }
        EndpointMatch::Port(_) | EndpointMatch::Kubernetes(_) | EndpointMatch::Executable(_) => false,
    }
}

/// Where no file is.
const NOWHERE: &str = "/dev/null";

fn by_port(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    match wanted {
        EndpointMatch::Port(port) if *port == listener.port => Some(format!("port {port}")),
        _ => None,
    }
}

fn by_cgroup(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    match wanted {
        EndpointMatch::Cgroup(glob) if matches_glob(glob, &listener.home.cgroup) => {
            Some(format!("cgroup `{}`", listener.home.cgroup))
        }
        _ => None,
    }
}

fn by_unit_match(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    let unit = unit_of(&listener.home.cgroup)?;
    match wanted {
        EndpointMatch::Unit(glob) if matches_unit(glob, unit) => Some(format!("unit `{unit}.service`")),
        _ => None,
    }
}

fn by_container(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    let container = listener.home.container.as_ref()?;
    match wanted {
        EndpointMatch::Container(text) if matches_container(text, container) => {
            let id = container.id.get(..12).unwrap_or_default();
            Some(format!(
                "container `{}`",
                if container.name.is_empty() {
                    id
                } else {
                    &container.name
                }
            ))
        }
        _ => None,
    }
}

fn by_pod(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    let pod = listener.home.container.as_ref()?.pod.as_ref()?;
    let EndpointMatch::Kubernetes(wanted) = wanted else {
        return None;
    };
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    let is_named = wanted
        .pod
        .as_ref()
        .is_none_or(|glob| matches_glob(glob, &pod.name))
        && wanted
            .namespace
            .as_ref()
            .is_none_or(|glob| matches_glob(glob, namespace));
    let labels = pod.labels.as_ref();
    let has_label =
        |(key, value): (&String, &String)| labels.is_some_and(|known| known.get(key) == Some(value));
    if !is_named || !wanted.labels.iter().all(has_label) {
        return None;
    }
    Some(format!("pod `{namespace}/{}` (`{wanted}`)", pod.name))
}

fn by_executable(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    let executable = listener.home.executable.as_deref()?;
    match wanted {
        EndpointMatch::Executable(text) if is_executable(text, executable) => {
            Some(format!("executable `{}`", executable.display()))
        }
        _ => None,
    }
}

/// The innermost unit of a cgroup's path, without `.service`.
fn unit_of(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find_map(|part| part.strip_suffix(".service"))
}

fn matches_unit(glob: &str, unit: &str) -> bool {
    matches_glob(glob.strip_suffix(".service").unwrap_or(glob), unit)
}

fn matches_container(wanted: &str, container: &Container) -> bool {
    let is_id = wanted.len() >= 12 && container.id.starts_with(wanted);
    is_id || (!container.name.is_empty() && matches_glob(wanted, &container.name))
}

fn is_executable(wanted: &str, executable: &Path) -> bool {
    if wanted.contains('/') {
        executable == Path::new(wanted)
    } else {
        executable.file_name().is_some_and(|name| name == wanted)
    }
}

/// A name nobody configured.
fn found(listener: &Listener) -> Option<Named> {
    if let Some(named) = by_unit(&listener.home.cgroup).or_else(|| by_container_name(listener)) {
        return Some(named);
    }
    let executable = listener.home.executable.as_deref().and_then(Path::file_name);
    if let Some(service) = executable.and_then(|name| label(&name.to_string_lossy())) {
        return Some(Named {
            because: format!(
                "nothing matches port {}, and its executable is `{service}`",
                listener.port
            ),
            service,
        });
    }
    by_number(listener.port)
}

fn by_unit(cgroup: &str) -> Option<Named> {
    let unit = unit_of(cgroup)?;
    Some(Named {
        service: label(unit.rsplit("\\x2d").next().unwrap_or(unit))?,
        because: format!("it runs in the unit `{unit}.service`"),
    })
}

/// A pod is named by whoever deployed it; the name of any other container may be a number.
fn by_container_name(listener: &Listener) -> Option<Named> {
    let container = listener.home.container.as_ref()?;
    if let Some(pod) = &container.pod {
        return Some(Named {
            service: label(workload_of(&pod.name))?,
            because: format!("it runs in the pod `{}`", pod.name),
        });
    }
    let is_number = container.id.starts_with(&container.name);
    if is_number {
        return None;
    }
    Some(Named {
        service: label(&container.name)?,
        because: format!("it runs in the container `{}`", container.name),
    })
}

/// A deployment's pods are `NAME-HASH-RANDOM`, a stateful set's `NAME-0`, a daemon set's `NAME-RANDOM`:
/// all pods of one are one service.
fn workload_of(pod: &str) -> &str {
    // The letters and digits that Kubernetes makes such names of.
    let is_random = |part: &str| {
        part.bytes()
            .all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
    };
    let Some((rest, last)) = pod.rsplit_once('-') else {
        return pod;
    };
    if !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest;
    }
    if last.len() != 5 || !is_random(last) {
        return pod;
    }
    match rest.rsplit_once('-') {
        Some((name, hash)) if (5..=10).contains(&hash.len()) && is_random(hash) => name,
        _ => rest,
    }
}

/// From here on Linux gives out ports to whoever asks for any (`ip_local_port_range`).
const EPHEMERAL: u16 = 32_768;

/// Who listened has gone before anybody could look: of its process nothing is left to ask.
pub(crate) fn without_listener(port: u16, cgroup: Option<&str>) -> Option<Named> {
    if let Some(named) = cgroup.and_then(by_unit) {
        return Some(named);
    }
    if port >= EPHEMERAL {
        // A name for each would be thousands on a host that runs tests all day.
        return Some(Named {
            service: label("short-lived")?,
            because: format!("port {port} was given out by the kernel, and was gone before it was named"),
        });
    }
    by_number(port)
}

/// The last resort: a port is at least true.
fn by_number(port: u16) -> Option<Named> {
    Some(Named {
        service: label(&format!("port-{port}"))?,
        because: format!("all that is known is its port, {port}"),
    })
}

/// `text` as an RFC 1123 label.
fn label(text: &str) -> Option<ServiceName> {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(63)
        .collect();
    plain.trim_matches('-').to_owned().try_into().ok()
}

/// `*` stands for any characters but `/`, `**` for any at all, `?` for one that is not `/`.
pub(crate) fn matches_glob(glob: &str, text: &str) -> bool {
    fn matches(glob: &[u8], text: &[u8]) -> bool {
        match glob {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|n| matches(rest, &text[n..])),
            [b'*', rest @ ..] => {
                let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (0..=end).any(|n| matches(rest, &text[n..]))
            }
            [b'?', rest @ ..] => text.first().is_some_and(|byte| *byte != b'/') && matches(rest, &text[1..]),
            [byte, rest @ ..] => text.first() == Some(byte) && matches(rest, &text[1..]),
        }
    }
    // A glob is a short line of configuration; a long one of many stars would take for ever.
    glob.matches('*').count() <= 8 && matches(glob.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::{path::PathBuf, time::Duration};

    use super::*;
    use crate::discovery::{container::Pod, owner::Home};

    fn listener(cgroup: &str, executable: Option<&str>) -> Listener {
        Listener {
            netns: 1,
            port: 8080,
            cgroup_id: 2,
            home: Home {
                cgroup_id: 2,
                cgroup: cgroup.to_owned(),
                executable: executable.map(PathBuf::from),
                container: None,
            },
            pid: 3,
        }
    }

    fn watched(name: &str, matches: &[&str]) -> WatchedService {
        WatchedService {
            name: name.parse().unwrap(),
            matches: matches.iter().map(|text| text.parse().unwrap()).collect(),
            routes: vec![],
            thresholds: vec![],
            timeout: Duration::from_secs(30),
            long_poll: slo_engine::service::LongPoll::None,
        }
    }

    #[test]
    fn a_definition_names_a_listener_before_discovery_does() {
        let nginx = listener("system.slice/nginx.service", Some("/usr/sbin/nginx"));
        let port = watched("edge", &["port:8080"]);
        let cgroup = watched("shop", &["cgroup:system.slice/*"]);
        let executable = watched("proxy", &["executable:nginx"]);
        for (services, name, because) in [
            (
                vec![executable.clone(), cgroup.clone(), port],
                "edge",
                "port 8080 is matched by `edge`",
            ),
            (
                vec![executable.clone(), cgroup],
                "shop",
                "cgroup `system.slice/nginx.service` is matched by `shop`",
            ),
            (
                vec![executable],
                "proxy",
                "executable `/usr/sbin/nginx` is matched by `proxy`",
            ),
            (vec![], "nginx", "it runs in the unit `nginx.service`"),
        ] {
            let named = super::name(&nginx, &services).unwrap();
            assert_eq!((named.service.as_str(), named.because.as_str()), (name, because));
        }
    }

    fn in_container(id: &str, name: &str, pod: Option<Pod>) -> Listener {
        let mut listener = listener("kubepods/x", Some("/app/server"));
        listener.home.container = Some(Container {
            id: id.repeat(64),
            name: name.to_owned(),
            pod,
        });
        listener
    }

    fn pod(name: &str, labels: Option<&[(&str, &str)]>) -> Option<Pod> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Some(Pod {
            uid: "0a1b".to_owned(),
            name: name.to_owned(),
            namespace: Some("shop".to_owned()),
            labels: labels.map(|labels| labels.iter().map(owned).collect()),
        })
    }

    /// Of all that could name one listener, what stands first does.
    #[test]
    fn each_source_of_a_name_yields_to_those_before_it() {
        let mut known = listener("kubepods/x/web.service", Some("/app/server"));
        known.home.container = Some(Container {
            id: "d".repeat(64),
            name: "box".to_owned(),
            pod: pod("shop-0", Some(&[("app", "web")])),
        });
        let wishes = [
            ("by-port", "port:8080"),
            ("by-cgroup", "cgroup:kubepods/**"),
            ("by-unit", "unit:web"),
            ("by-container", "container:box"),
            ("by-pod", "kubernetes:label.app=web"),
            ("by-executable", "executable:server"),
        ];
        // As written, the last come first.
        let mut services: Vec<WatchedService> = wishes
            .iter()
            .rev()
            .map(|(name, wish)| watched(name, &[wish]))
            .collect();
        let service = |known: &Listener, services: &[WatchedService]| {
            name(known, services).unwrap().service.to_string()
        };
        for (expected, _) in wishes {
            assert_eq!(service(&known, &services), expected);
            services.pop();
        }
        // Undefined: the unit, the pod's workload, the container, the executable, the port.
        assert_eq!(service(&known, &[]), "web");
        known.home.cgroup = "kubepods/x".to_owned();
        assert_eq!(service(&known, &[]), "shop");
        known.home.container.as_mut().unwrap().pod = None;
        assert_eq!(service(&known, &[]), "box");
        known.home.container = None;
        assert_eq!(service(&known, &[]), "server");
        known.home.executable = None;
        assert_eq!(service(&known, &[]), "port-8080");
    }

    #[test]
    fn a_unit_a_container_and_a_pod_are_matched_by_all_that_is_said_of_them() {
        let unit = listener("system.slice/web@1.service", None);
        let container = in_container("a", "front", None);
        let labelled = in_container("b", "web-7", pod("web-7", Some(&[("app", "web")])));
        let silent = in_container("b", "web-7", pod("web-7", None));
        for (wish, listener, expected) in [
            ("unit:web@*", &unit, true),
            ("unit:web@1.service", &unit, true),
            ("unit:web", &unit, false),
            ("container:front", &container, true),
            ("container:aaaaaaaaaaaa", &container, true),
            ("container:aaaaaaaaaaa", &container, false),
            ("kubernetes:namespace=shop", &labelled, true),
            (
                "kubernetes:namespace=shop;pod=web-*;label.app=web",
                &labelled,
                true,
            ),
            ("kubernetes:namespace=other;label.app=web", &labelled, false),
            ("kubernetes:label.app=db", &labelled, false),
            ("kubernetes:label.app=web", &silent, false),
            ("kubernetes:pod=web-7", &silent, true),
            ("kubernetes:namespace=shop", &container, false),
        ] {
            let named = name(listener, &[watched("wanted", &[wish])]).unwrap();
            assert_eq!(named.service.as_str() == "wanted", expected, "{wish}: {named:?}");
        }
    }

    #[test]
    fn all_pods_of_a_workload_are_one_service() {
        for (name, workload) in [
            ("web-6d4b75cb6d-hx2kq", "web"),
            ("front-end-7f8c9bdb54-2zk8x", "front-end"),
            ("db-0", "db"),
            ("agent-x7k2p", "agent"),
            ("kube-proxy", "kube-proxy"),
            ("checkout-worker", "checkout-worker"),
        ] {
            assert_eq!(workload_of(name), workload);
        }
        let named = name(&in_container("c", "", pod("web-6d4b75cb6d-hx2kq", None)), &[]).unwrap();
        assert_eq!(named.service.as_str(), "web");
        let named = name(&in_container("c", "cccccccccccc", None), &[]).unwrap();
        assert_eq!(named.service.as_str(), "server");
    }

    #[test]
    fn without_a_unit_the_executable_names_a_listener_and_at_last_its_port() {
        let named = name(&listener("user/1", Some("/opt/My App_2")), &[]).unwrap();
        assert_eq!(named.service.as_str(), "my-app-2");
        let named = name(&listener("", None), &[]).unwrap();
        assert_eq!(named.service.as_str(), "port-8080");
    }

    #[test]
    fn who_was_gone_before_it_was_named_shares_a_name_unless_its_cgroup_or_port_tells_more() {
        for (port, cgroup, name) in [
            (40_000, Some("system.slice/db.service"), "db"),
            (40_000, Some("user/1"), "short-lived"),
            (40_001, None, "short-lived"),
            (8080, None, "port-8080"),
        ] {
            assert_eq!(without_listener(port, cgroup).unwrap().service.as_str(), name);
        }
    }

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        for (glob, text, expected) in [
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/?", "a/b", true),
            ("a", "a/b", false),
            ("**/x.service", "s/t/x.service", true),
        ] {
            assert_eq!(matches_glob(glob, text), expected, "{glob} {text}");
        }
    }
}
