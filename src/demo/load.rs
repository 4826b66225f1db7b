//! `slowburn demo-load`: open-loop HTTP load, bounded in rate, in time and in requests in flight.
//!
//! In: targets, source addresses, a rate. Out: one JSON line a second ([`Second`]) on standard output.
//! Arrivals are scheduled ahead and do not wait for answers, as real users do not; latency counts from the
//! scheduled time, so a generator that falls behind shows as slowness instead of hiding it. A second's
//! line is written when the last of its requests is settled.

mod tally;

use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::http::Method;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use tally::{Fate, Report, Tally};
pub use tally::{Second, percentile};

/// What one generator may be asked for at most.
const RATE_MAX: u32 = 2_000;
const SECONDS_MAX: u32 = 3_600;

#[derive(Debug, clap::Args)]
pub struct LoadArgs {
    /// Where the requests go; a source address uses the target of its own family
    #[arg(long, required = true)]
    target: Vec<SocketAddr>,
    /// Source addresses, used in turn
    #[arg(long, required = true)]
    from: Vec<IpAddr>,
    /// Requests sent in turn, such as `GET /cart`
    #[arg(long, required = true)]
    request: Vec<Request>,
    /// Requests a second, all sources together
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(RATE_MAX)))]
    rate: u32,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(SECONDS_MAX)))]
    seconds: u32,
    /// Requests in flight, all sources together; an arrival that finds none free has failed
    #[arg(long, default_value_t = 256)]
    in_flight: u16,
    /// Answers later than this are late
    #[arg(long, default_value_t = 250)]
    late_ms: u64,
    /// Requests unanswered for longer than this have failed
    #[arg(long, default_value_t = 1_000)]
    timeout_ms: u64,
    /// End when standard input closes
    #[arg(long)]
    tied: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    method: Method,
    path: String,
}

impl FromStr for Request {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (method, path) = text
            .split_once(' ')
            .context("expected a method and a path, such as `GET /cart`")?;
        if !path.starts_with('/') {
            bail!("path `{path}` does not begin with `/`");
        }
        let method = method
            .parse()
            .with_context(|| format!("`{method}` is not a method"))?;
        Ok(Self {
            method,
            path: path.to_owned(),
        })
    }
}

pub async fn run(args: LoadArgs) -> Result<ExitCode> {
    let tied = args.tied;
    let load = Load::new(args)?;
    tokio::select! {
        outcome = load.run() => outcome?,
        untied = super::child::untied(tied) => untied?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One source address and where it sends.
#[derive(Debug)]
struct Source {
    client: reqwest::Client,
    target: SocketAddr,
}

#[derive(Debug)]
struct Load {
    args: LoadArgs,
    sources: Vec<Arc<Source>>,
}

impl Load {
    fn new(args: LoadArgs) -> Result<Self> {
        let sources = args
            .from
            .iter()
            .map(|&from| source(from, &args).map(Arc::new))
            .collect::<Result<_>>()?;
        Ok(Self { args, sources })
    }

    async fn run(self) -> Result<()> {
        let timeout = Duration::from_millis(self.args.timeout_ms);
        let late = Duration::from_millis(self.args.late_ms);
        let free = Arc::new(Semaphore::new(usize::from(self.args.in_flight)));
        // One message an arrival and one a second: requests in flight bound what can wait here.
        let (reports, settled) = mpsc::unbounded_channel();
        let writer = tokio::spawn(Tally::new(chrono::Utc::now()).write(settled));
        let start = Instant::now();
        for second in 0..self.args.seconds {
            for slot in 0..self.args.rate {
                let turn = second as usize * self.args.rate as usize + slot as usize;
                let due = start
                    + Duration::from_secs(second.into())
                    + Duration::from_secs(1) * slot / self.args.rate;
                tokio::time::sleep_until(due).await;
                let Ok(place) = Arc::clone(&free).try_acquire_owned() else {
                    reports
                        .send(Report::Settled {
                            second,
                            fate: Fate::Failed,
                        })
                        .context("report")?;
                    continue;
                };
                let source = Arc::clone(&self.sources[turn % self.sources.len()]);
                // Each source goes through all requests, also when both lists are equally long.
                let request = self.args.request[turn / self.sources.len() % self.args.request.len()].clone();
                let reports = reports.clone();
                tokio::spawn(async move {
                    let fate = source.ask(request, due, timeout, late).await;
                    drop(place);
                    // Nobody listens only when the whole load is being ended.
                    let _ = reports.send(Report::Settled { second, fate });
                });
            }
            reports
                .send(Report::Scheduled {
                    second,
                    arrivals: self.args.rate,
                })
                .context("report")?;
        }
        drop(reports);
        writer.await.context("write the last seconds")?
    }
}

fn source(from: IpAddr, args: &LoadArgs) -> Result<Source> {
    let target = args
        .target
        .iter()
        .copied()
        .find(|target| target.is_ipv4() == from.is_ipv4());
    let target = target.with_context(|| format!("no target of the family of source `{from}`"))?;
    let client = reqwest::Client::builder()
        .http1_only()
        .no_proxy()
        .tcp_nodelay(true)
        .local_address(from)
        .pool_max_idle_per_host(usize::from(args.in_flight))
        .build()
        .with_context(|| format!("set up the client at `{from}`"))?;
    Ok(Source { client, target })
}

impl Source {
    async fn ask(&self, request: Request, due: Instant, timeout: Duration, late: Duration) -> Fate {
        let url = format!("http://{}{}", self.target, request.path);
        let exchange = async {
            let response = self.client.request(request.method, url).send().await?;
            let status = response.status();
            // A body left unread would cost the connection.
            response.bytes().await.map(|_| status)
        };
        match tokio::time::timeout_at(due + timeout, exchange).await {
            Ok(Ok(status)) if status.as_u16() < 400 => Fate::answered(due.elapsed(), late),
            Ok(Ok(_) | Err(_)) | Err(_) => Fate::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_path() {
        let request: Request = "POST /checkout".parse().unwrap();
        assert_eq!(
            (request.method, request.path.as_str()),
            (Method::POST, "/checkout")
        );
        assert!("GET".parse::<Request>().is_err());
        assert!("GET checkout".parse::<Request>().is_err());
    }
}
