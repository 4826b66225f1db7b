//! nginx, the oracle of counts: what its access log says is what was asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::network::{Network, Running, SERVER, Side};
use super::slowburn::{Slowburn, lines};
use super::{eventually, pause};

const PATIENCE: Duration = Duration::from_secs(30);

const NGINX: &str = r#"
daemon off; worker_processes 1; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 512; }
http {
  log_format counted '$status $uri'; access_log DIR/access.log counted;
  client_body_temp_path DIR/1; proxy_temp_path DIR/2; fastcgi_temp_path DIR/3; uwsgi_temp_path DIR/4; scgi_temp_path DIR/5;
  keepalive_requests 1000000;
  server {
    listen 0.0.0.0:8080; listen [::]:8080;
    location = /ok { return 200 'fine'; }
    location = /moved { return 302 /ok; }
    location = /missing { return 404 'no'; }
    location = /broken { return 500 'ouch'; }
    location = /busy { return 503 'later'; }
    MORE
  }
}
"#;

/// nginx in its namespace; the directory keeps its log.
#[derive(Debug)]
pub struct Nginx {
    directory: tempfile::TempDir,
    running: Running,
}

impl Nginx {
    pub fn start(network: &Network) -> Nginx {
        Self::start_with(network, "")
    }

    /// With more of nginx's own words for its server.
    pub fn start_with(network: &Network, more: &str) -> Nginx {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap().to_string();
        fs::set_permissions(
            directory.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .unwrap();
        let config = NGINX.replace("DIR", &at).replace("MORE", more);
        fs::write(directory.path().join("nginx.conf"), config).unwrap();
        let running = network.spawn(
            Side::Server,
            "nginx",
            &[
                "-c",
                &format!("{at}/nginx.conf"),
                "-e",
                &format!("{at}/error.log"),
            ],
        );
        eventually("nginx to listen", PATIENCE, || {
            let ask = format!("http://{SERVER}:8080/ok");
            network
                .command(Side::Client, "curl", &["-sf", "-o", "/dev/null", &ask])
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        Nginx { directory, running }
    }

    /// At once, with its workers; returns when all have ended.
    pub fn stop(&mut self) {
        self.running.interrupt();
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for line in lines(&self.directory.path().join("access.log")) {
            *counts.entry(line[..3].to_string()).or_default() += 1;
        }
        counts
    }

    /// The counts once the log has stopped growing.
    pub fn settled(&self) -> BTreeMap<String, u64> {
        eventually("nginx to have written its log", PATIENCE, || {
            let before = self.counts();
            pause(Duration::from_millis(300));
            (before == self.counts()).then_some(before)
        })
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Status counts of a service, all routes together, over everything booked.
pub fn statuses(slowburn: &Slowburn, service: &str) -> BTreeMap<String, u64> {
    let detail = slowburn.get(&format!("/api/v1/services/{service}?window=1h"));
    let mut counts = BTreeMap::new();
    for route in detail["routes"].as_array().unwrap() {
        for (status, count) in route["statuses"].as_object().unwrap() {
            *counts.entry(status.clone()).or_default() += count.as_u64().unwrap();
        }
    }
    counts
}

/// Waits until as much is booked as was logged, and returns both.
pub fn booked_and_logged(
    slowburn: &Slowburn,
    service: &str,
    nginx: &Nginx,
) -> (BTreeMap<String, u64>, BTreeMap<String, u64>) {
    let logged = nginx.settled();
    eventually("all requests to be booked", PATIENCE, || {
        let booked = statuses(slowburn, service);
        (booked.values().sum::<u64>() >= logged.values().sum()).then_some(())
    });
    // Whatever would be counted too much has had its chance by the next batch.
    let at = slowburn.get("/api/v1/overview")["generated_at"].clone();
    eventually("one more batch", PATIENCE, || {
        let overview = slowburn.get("/api/v1/overview");
        (overview["sources"][0]["last_at"].as_str() > at.as_str()).then_some(())
    });
    (statuses(slowburn, service), logged)
}
