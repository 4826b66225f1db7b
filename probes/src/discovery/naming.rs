//! The name of a listener: what a definition says, else its unit, cgroup or executable.

use std::path::Path;

use slo_engine::{
    measurement::ServiceName,
    service::{EndpointMatch, WatchedService},
};

use super::listener::Listener;

/// Which service a listener is, and why people can believe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub service: ServiceName,
    pub because: String,
}

/// Ports are the most exact statement, then cgroups, then executables.
pub(crate) fn name(listener: &Listener, watched: &[WatchedService]) -> Option<Named> {
    let tests: [fn(&EndpointMatch, &Listener) -> Option<String>; 3] = [by_port, by_cgroup, by_executable];
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

fn by_port(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    match wanted {
        EndpointMatch::Port(port) if *port == listener.port => Some(format!("port {port}")),
        _ => None,
    }
}

fn by_cgroup(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    match wanted {
        EndpointMatch::Cgroup(glob) if matches_glob(glob, &listener.cgroup) => {
            Some(format!("cgroup `{}`", listener.cgroup))
        }
        _ => None,
    }
}

fn by_executable(wanted: &EndpointMatch, listener: &Listener) -> Option<String> {
    let executable = listener.executable.as_deref()?;
    match wanted {
        EndpointMatch::Executable(text) if is_executable(text, executable) => {
            Some(format!("executable `{}`", executable.display()))
        }
        _ => None,
    }
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
    if let Some(named) = by_unit(&listener.cgroup) {
        return Some(named);
    }
    let executable = listener.executable.as_deref().and_then(Path::file_name);
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
    let unit = cgroup
        .rsplit('/')
        .find_map(|part| part.strip_suffix(".service"))?;
    Some(Named {
        service: label(unit.rsplit("\\x2d").next().unwrap_or(unit))?,
        because: format!("it runs in the unit `{unit}.service`"),
    })
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

    fn listener(cgroup: &str, executable: Option<&str>) -> Listener {
        Listener {
            netns: 1,
            port: 8080,
            cgroup_id: 2,
            cgroup: cgroup.to_owned(),
            executable: executable.map(PathBuf::from),
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
