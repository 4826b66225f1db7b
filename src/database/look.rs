//! Whether `run` would have a database, for `slowburn doctor`: nothing is made, started or changed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::cluster::{self, VERSION_MIN};

const PATIENCE: Duration = Duration::from_secs(5);

/// What `run` would use, in words. What is wrong with it goes with a way out, after `hint: ` on a line of its own.
pub async fn look(url: Option<&str>, directory: &Path) -> Result<String> {
    let Some(url) = url else {
        return cluster::look(directory).await;
    };
    // Not repeated: it may hold a password.
    let hint = "hint: see `DATABASE_URL` (or `--database-url`), or leave it away for a private Postgres";
    // What is no URL of Postgres would be taken for the name of a database, password and all.
    ensure!(
        ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme)),
        "the database's URL does not begin with `postgres://`\n{hint}"
    );
    let options: PgConnectOptions = match url.parse() {
        Ok(options) => options,
        Err(error) => bail!("the database's URL could not be read: {error}\n{hint}"),
    };
    let place = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    let found = tokio::time::timeout(PATIENCE, ask(&options)).await;
    let (version, may_create) = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => bail!("{place} does not take us: {error}\n{hint}"),
        Err(_) => bail!("{place} did not answer within {} s\n{hint}", PATIENCE.as_secs()),
    };
    ensure!(
        version >= VERSION_MIN,
        "{place} is Postgres {version}\nhint: {VERSION_MIN} or newer is needed"
    );
    let user = options.get_username();
    ensure!(
        may_create,
        "{user} may create no tables in {place}\nhint: make {user} the owner of the database, or grant it `create` on its schema"
    );
    Ok(format!("Postgres {version} at {place} as {user}"))
}

/// The server's version, and whether tables can be made.
async fn ask(options: &PgConnectOptions) -> Result<(u32, bool), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let found: (i32, bool) = sqlx::query_as(
        "select current_setting('server_version_num')::int / 10000,
                coalesce(has_schema_privilege(current_schema(), 'create'), false)",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok((u32::try_from(found.0).unwrap_or_default(), found.1))
}
