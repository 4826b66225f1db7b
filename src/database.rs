//! The database: a private Postgres cluster in the state directory, or somebody else's by URL.
//!
//! In: a state directory, or `DATABASE_URL`.
//! Out: a pool whose database exists and answers. Tables are the crates' business.
//! The private cluster is the machine's own Postgres, reached by a unix socket in a directory only
//! its user can enter. It outlives a killed slowburn and is taken over by the next one, so nothing
//! committed is lost either way.

mod cluster;
mod look;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use cluster::Cluster;

pub use cluster::serves;
pub use look::look;

/// Most connections slowburn opens: intake, evaluation, worker, deliveries, listener and a few readers.
const CONNECTIONS_MAX: u32 = 12;
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(15);

/// A database that is ours to use. The private one runs until [`Database::stop`].
#[derive(Debug)]
pub struct Database {
    options: PgConnectOptions,
    private: Option<(JoinHandle<Cluster>, CancellationToken)>,
}

impl Database {
    /// The database of the URL, else a private cluster in `directory`, started when it does not run.
    pub async fn open(url: Option<&str>, directory: &Path) -> Result<Database> {
        if let Some(url) = url {
            return Ok(Database {
                options: url.parse().context("read the database's URL")?,
                private: None,
            });
        }
        let mut cluster = Cluster::start(directory).await.context("start Postgres")?;
        let options = cluster.options();
        let cancel = CancellationToken::new();
        let until = cancel.clone();
        let supervised = tokio::spawn(async move {
            cluster.supervise(&until).await;
            cluster
        });
        Ok(Database {
            options,
            private: Some((supervised, cancel)),
        })
    }

    /// See [`connect`].
    pub async fn connect(&self, cancel: &CancellationToken) -> Result<PgPool> {
        connect(self.options.clone(), cancel).await
    }

    /// Ends the private cluster in order; somebody else's is left alone.
    pub async fn stop(self) -> Result<()> {
        let Some((supervised, cancel)) = self.private else {
            return Ok(());
        };
        cancel.cancel();
        supervised.await?.stop().await.context("stop Postgres")
    }
}

/// Connects to a database by its options. An unreachable server is waited for, with a growing pause and a
/// line in the log each time; a server that answers and refuses us is an error at once.
async fn connect(options: PgConnectOptions, cancel: &CancellationToken) -> Result<PgPool> {
    let pool_options = || {
        PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(Duration::from_secs(5))
    };
    let mut pause = RETRY_FIRST;
    loop {
        let error = match pool_options().connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) if waiting_may_help(&error) => error,
            Err(error) => return Err(error).context("connect to the database"),
        };
        tracing::warn!(error = %error, retry_ms = pause.as_millis(), "database unreachable, waiting");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => anyhow::bail!("stopped while waiting for the database"),
        }
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}

/// A connection that failed on the way may work later; a password that is wrong will not. `57P03` is a server
/// that is starting, stopping or recovering, `53300` one with no connection to spare.
fn waiting_may_help(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(refusal) => matches!(refusal.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}
