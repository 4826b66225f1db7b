//! Containers and pods, told without asking a runtime or an API server.
//!
//! In: a cgroup's path, which Docker, containerd, CRI-O, Podman, systemd-nspawn and LXC spell each in its
//! way, and the container's own files. Out: what of it can be known from there. A pod's labels are known
//! only where its pod mounts them (the downward API, at the path of Kubernetes' own example).

use std::{collections::BTreeMap, fs, path::Path};

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Container {
    /// 64 hex digits; empty where the runtime has names only.
    pub id: String,
    /// Of the machine, where the cgroup tells it, else the container's host name.
    pub name: String,
    pub pod: Option<Pod>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pod {
    pub uid: String,
    /// Its host name, which is the pod's name unless the pod says otherwise.
    pub name: String,
    pub namespace: Option<String>,
    pub labels: Option<BTreeMap<String, String>>,
}

/// Mounted into every pod that has a service account, which is the default.
const NAMESPACE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// Where Kubernetes' documentation mounts a pod's labels by the downward API.
const LABELS: &str = "etc/podinfo/labels";

/// The container of a process in this cgroup whose root directory is `root`.
pub(crate) fn of(cgroup: &str, root: &Path) -> Option<Container> {
    let id = cgroup.rsplit('/').find_map(id_of);
    let machine = cgroup.rsplit('/').find_map(machine_of);
    let uid = cgroup.split('/').find_map(pod_of);
    if id.is_none() && machine.is_none() && uid.is_none() {
        return None;
    }
    let host = read(Path::new("/proc/sys/kernel"), "hostname");
    // Who shares the host's network has its name, too: that is the machine's, and no service's.
    let hostname = read(root, "etc/hostname").filter(|name| Some(name) != host.as_ref());
    let hostname = hostname.unwrap_or_default();
    Some(Container {
        id: id.unwrap_or_default().to_owned(),
        name: machine.unwrap_or_else(|| hostname.clone()),
        pod: uid.map(|uid| Pod {
            uid,
            name: hostname,
            namespace: read(root, NAMESPACE),
            labels: read(root, LABELS).map(|text| labels(&text)),
        }),
    })
}

fn read(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `libpod-ID.scope`, or the id alone.
fn id_of(part: &str) -> Option<&str> {
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let id = stem.rsplit('-').next()?;
    let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (id.len() == 64 && is_hex).then_some(id)
}

/// `machine-NAME.scope` (systemd-nspawn, which escapes `-`), `lxc.payload.NAME`.
fn machine_of(part: &str) -> Option<String> {
    let nspawn = part
        .strip_prefix("machine-")
        .and_then(|rest| rest.strip_suffix(".scope"))
        .map(|name| name.replace("\\x2d", "-"));
    nspawn.or_else(|| part.strip_prefix("lxc.payload.").map(str::to_owned))
}

/// `kubepods-burstable-podUID.slice`, where `_` stands for `-`, or `podUID`.
fn pod_of(part: &str) -> Option<String> {
    let stem = part.strip_suffix(".slice").unwrap_or(part);
    let uid = stem
        .rsplit_once("-pod")
        .map_or_else(|| stem.strip_prefix("pod"), |(_, uid)| Some(uid))?;
    let uid = uid.replace('_', "-");
    // Static pods have 32 hex digits.
    let is_uid = uid.len() >= 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_uid.then_some(uid)
}

/// Lines of `key="value"`, as the downward API writes them.
fn labels(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(key, value)| {
            let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            (key.to_owned(), plain.unwrap_or(value).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f1b2c3d4e5f60718293a4b5c6d7e8f90112233445566778899aabbccddeeff0";

    #[test]
    fn every_runtime_spells_its_cgroups_in_its_way() {
        let nowhere = Path::new("/nowhere");
        for (cgroup, expected) in [
            (format!("system.slice/docker-{ID}.scope"), (ID, "", None)),
            (format!("docker/{ID}"), (ID, "", None)),
            (
                format!("machine.slice/libpod-{ID}.scope/container"),
                (ID, "", None),
            ),
            (
                format!(
                    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9.slice/cri-containerd-{ID}.scope"
                ),
                (ID, "", Some("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")),
            ),
            (
                format!("kubepods/besteffort/pod0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9/{ID}"),
                (ID, "", Some("0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9")),
            ),
            (
                "machine.slice/machine-web\\x2d1.scope/payload".to_owned(),
                ("", "web-1", None),
            ),
            ("lxc.payload.web".to_owned(), ("", "web", None)),
        ] {
            let found = of(&cgroup, nowhere).unwrap();
            let uid = found.pod.as_ref().map(|pod| pod.uid.as_str());
            assert_eq!(
                (found.id.as_str(), found.name.as_str(), uid),
                expected,
                "{cgroup}"
            );
        }
        for cgroup in [
            "",
            "system.slice/pod-manager.service",
            "user.slice/session-3.scope",
        ] {
            assert_eq!(of(cgroup, nowhere), None, "{cgroup}");
        }
    }

    #[test]
    fn labels_are_read_as_the_downward_api_writes_them() {
        let found = labels("app=\"web\"\ntier=\"\"\n");
        let expected = [("app", "web"), ("tier", "")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(found, BTreeMap::from(expected));
    }
}
