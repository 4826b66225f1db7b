//! The same counts and objectives in Prometheus: 30 days of the recorded five-minute ratios, the last four
//! of them as raw counters (no rule looks back further in those), and the rules Sloth writes: for each
//! objective eight recordings, seven of metadata, two alerts on two pairs of windows each.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

use super::history::Span;
mod rules;

use super::traffic::{A_SERVICE, Kind, Traffic, last_kept_edge};

pub const INTERVAL_SECONDS: u64 = 10;
const WARM_SECONDS: u64 = 40;
const WINDOW_SECONDS: u64 = 60;
const RAW: TimeDelta = TimeDelta::days(4);

#[derive(Debug)]
pub struct Peer {
    /// CPU an objective a round.
    pub a_round: Duration,
    pub resident: u64,
    /// The largest relative error of a recorded 30-day ratio.
    pub worst_error: f64,
}

pub async fn measure(objectives: usize) -> anyhow::Result<Peer> {
    let folder = tempfile::tempdir()?;
    let services = objectives / A_SERVICE;
    let span = Span::ending(last_kept_edge(Utc::now()));
    write_history(folder.path(), services, span)?;
    let exporter = export(services, span)?;
    let prometheus = Prometheus::start(&folder, services, exporter)?;
    prometheus.is_ready().await?;
    pause(WARM_SECONDS);
    let before = prometheus.figures().await?;
    pause(WINDOW_SECONDS);
    let after = prometheus.figures().await?;
    let rounds = (after.rounds - before.rounds) / after.groups;
    ensure!(
        rounds >= 1.0,
        "Prometheus evaluated nothing in {WINDOW_SECONDS} s"
    );
    ensure!(after.missed == before.missed, "Prometheus missed rounds");
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    let a_round = Duration::from_secs_f64((after.cpu - before.cpu) / rounds / objectives as f64);
    Ok(Peer {
        a_round,
        resident: super::resident(prometheus.process.id())?,
        worst_error: prometheus.worst_error(span).await?,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "what it uses in a time is measured by waiting"
)]
fn pause(seconds: u64) {
    thread::sleep(Duration::from_secs(seconds));
}

/// `(bad, total)` of an objective after so many slots, as its counters have it.
fn counters(traffic: Traffic, kind: Kind, slots: i64) -> (i64, i64) {
    (traffic.bad(kind, slots), traffic.asked(slots))
}

fn series(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Availability => ("http_errors_total", "http_requests_total"),
        Kind::Latency => ("http_slow_total", "http_timed_total"),
    }
}

/// Hours of a block, as Prometheus's own compaction would leave them.
const BLOCK: i64 = 54;

/// A file for each block: promtool reads its whole input once a block.
fn write_history(folder: &Path, services: usize, span: Span) -> anyhow::Result<()> {
    let path = folder.join("history.om");
    let block = BLOCK * 3_600;
    let mut from = span.start + TimeDelta::minutes(5);
    while from <= span.end {
        let next = (from.timestamp() / block + 1) * block;
        let to = span
            .end
            .min(DateTime::from_timestamp(next, 0).context("a date")? - TimeDelta::minutes(1));
        write_block(&path, services, span, from, to)?;
        let output = Command::new("promtool")
            .args([
                "tsdb",
                "create-blocks-from",
                &format!("--max-block-duration={BLOCK}h"),
                "--quiet",
                "openmetrics",
            ])
            .arg(&path)
            .arg(folder.join("data"))
            .output()
            .context("promtool; `make setup` installs it")?;
        ensure!(
            output.status.success(),
            "promtool: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        from = to + TimeDelta::minutes(1);
    }
    fs::remove_file(path)?;
    Ok(())
}

fn write_block(
    path: &Path,
    services: usize,
    span: Span,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> anyhow::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for kind in Kind::ALL {
        let (bad, total) = series(kind);
        for (name, pick) in [(bad, 0), (total, 1)] {
            writeln!(file, "# TYPE {} counter", name.trim_end_matches("_total"))?;
            for traffic in (0..services).map(Traffic) {
                let service = traffic.service();
                for at in minutes(from.max(span.end - RAW), to) {
                    let (bad, total) = counters(traffic, kind, span.slots(at));
                    let value = [bad, total][pick];
                    writeln!(
                        file,
                        "{name}{{job=\"bench\",service=\"{service}\"}} {value} {}",
                        at.timestamp()
                    )?;
                }
            }
        }
    }
    writeln!(file, "# TYPE slo:sli_error:ratio_rate5m gauge")?;
    let all = Kind::ALL
        .into_iter()
        .flat_map(|kind| (0..services).map(move |number| (kind, Traffic(number))));
    for (kind, traffic) in all {
        let labels = labels(traffic, kind);
        for at in minutes(from, to) {
            let [from, to] =
                [at - TimeDelta::minutes(5), at].map(|edge| counters(traffic, kind, span.slots(edge)));
            #[expect(clippy::cast_precision_loss, reason = "Prometheus's own precision")]
            let ratio = (to.0 - from.0) as f64 / (to.1 - from.1) as f64;
            writeln!(
                file,
                "slo:sli_error:ratio_rate5m{{{labels},sloth_window=\"5m\"}} {ratio:e} {}",
                at.timestamp()
            )?;
        }
    }
    writeln!(file, "# EOF")?;
    file.into_inner()?.sync_all()?;
    Ok(())
}

fn minutes(from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    (0..=(to - from).num_minutes()).map(move |minute| from + TimeDelta::minutes(minute))
}

fn id(traffic: Traffic, kind: Kind) -> String {
    format!("{}-{}", traffic.service(), kind.name())
}

fn labels(traffic: Traffic, kind: Kind) -> String {
    format!(
        "sloth_id=\"{}\",sloth_service=\"{}\",sloth_slo=\"{}\"",
        id(traffic, kind),
        traffic.service(),
        kind.name()
    )
}

/// Goes on counting where the history ends. Ends with the process.
fn export(services: usize, span: Span) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let slots = span.slots(Utc::now());
            let mut text = String::new();
            for traffic in (0..services).map(Traffic) {
                for kind in Kind::ALL {
                    let ((bad_name, total_name), (bad, total)) =
                        (series(kind), counters(traffic, kind, slots));
                    let service = traffic.service();
                    let _infallible = writeln!(text, "{bad_name}{{service=\"{service}\"}} {bad}");
                    let _infallible = writeln!(text, "{total_name}{{service=\"{service}\"}} {total}");
                }
            }
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\nconnection: close";
            // A scrape that fails shows as a gap, and in `up`.
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let _request = lines.find(String::is_empty);
            let _scraped = write!(&stream, "{head}\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        }
    });
    Ok(port)
}

struct Prometheus {
    process: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// What it has used and done so far.
struct Figures {
    cpu: f64,
    groups: f64,
    rounds: f64,
    missed: f64,
}

impl Prometheus {
    fn start(folder: &TempDir, services: usize, exporter: u16) -> anyhow::Result<Self> {
        let folder = folder.path();
        fs::write(folder.join("rules.yml"), rules::all(services))?;
        fs::write(
            folder.join("prometheus.yml"),
            // Without a label of the instance, what is scraped goes on where history ends.
            format!(
                "global: {{scrape_interval: {INTERVAL_SECONDS}s, evaluation_interval: {INTERVAL_SECONDS}s}}\n\
                 rule_files: [rules.yml]\n\
                 scrape_configs:\n\
                 - {{job_name: bench, static_configs: [{{targets: ['127.0.0.1:{exporter}'], labels: {{instance: ''}}}}]}}\n"
            ),
        )?;
        // A port that was free a moment ago: Prometheus takes no listener that is open.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                folder.join("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg("--storage.tsdb.retention.time=40d")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .context("start prometheus; `make setup` installs it")?;
        Ok(Self {
            process,
            address: format!("http://127.0.0.1:{port}"),
        })
    }

    async fn is_ready(&self) -> anyhow::Result<()> {
        for _ in 0..120 {
            if reqwest::get(format!("{}/-/ready", self.address))
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            pause(1);
        }
        anyhow::bail!("Prometheus is not ready after two minutes")
    }

    async fn figures(&self) -> anyhow::Result<Figures> {
        let text = reqwest::get(format!("{}/metrics", self.address))
            .await?
            .text()
            .await?;
        let values = |name: &'static str| {
            text.lines()
                .filter(move |line| line.starts_with(name))
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        };
        #[expect(clippy::cast_precision_loss, reason = "hundreds")]
        Ok(Figures {
            cpu: values("process_cpu_seconds_total").sum(),
            groups: values("prometheus_rule_group_iterations_total").count() as f64,
            rounds: values("prometheus_rule_group_iterations_total").sum(),
            missed: values("prometheus_rule_group_iterations_missed_total").sum(),
        })
    }

    async fn worst_error(&self, span: Span) -> anyhow::Result<f64> {
        let text = reqwest::get(format!(
            "{}/api/v1/query?query=slo:sli_error:ratio_rate30d",
            self.address
        ))
        .await?
        .text()
        .await?;
        let answer: Value = serde_json::from_str(&text)?;
        let results = answer["data"]["result"]
            .as_array()
            .context("no 30-day ratio was recorded")?;
        ensure!(!results.is_empty(), "no 30-day ratio was recorded");
        let mut worst: f64 = 0.0;
        for result in results {
            let of = |label: &str| result["metric"][label].as_str().unwrap_or_default().to_owned();
            let traffic = Traffic(of("sloth_service").trim_start_matches("service-").parse()?);
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == of("sloth_slo"));
            let kind = kind.context("a ratio of another SLO")?;
            let now = span.slots(
                DateTime::from_timestamp(
                    result["value"][0]
                        .as_f64()
                        .context("no time")?
                        .round()
                        .to_string()
                        .parse()?,
                    0,
                )
                .context("no time")?,
            );
            let (good, bad) = traffic.between(kind, now - 30 * super::traffic::DAY, now);
            #[expect(clippy::cast_precision_loss, reason = "a relative error")]
            let exact = bad as f64 / (good + bad) as f64;
            let recorded: f64 = result["value"][1].as_str().context("no value")?.parse()?;
            worst = worst.max((recorded - exact).abs() / exact);
        }
        Ok(worst)
    }
}
