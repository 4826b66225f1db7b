//! A database of the bench's own, and what its backends have used.

use std::{env, fs, time::Duration};

use anyhow::Context as _;
use slo_engine::MIGRATOR;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgPool};

pub struct Books {
    pub pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Books {
    pub async fn create() -> anyhow::Result<Self> {
        let url = env::var("DATABASE_URL")
            .context("DATABASE_URL: run it by `make bench` or `scripts/with-postgres`")?;
        let server: PgConnectOptions = url.parse().context("DATABASE_URL is no Postgres URL")?;
        let name = format!("slowburn_bench_{}", std::process::id());
        let mut admin = server.connect().await.context("connect to DATABASE_URL")?;
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(server.clone().database(&name))
            .await?;
        MIGRATOR.run(&pool).await?;
        Ok(Self { pool, name, server })
    }

    pub async fn drop(self) -> anyhow::Result<()> {
        self.pool.close().await;
        let mut admin = self.server.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(format!("drop database {} with (force)", self.name)))
            .execute(&mut admin)
            .await?;
        admin.close().await?;
        Ok(())
    }

    /// CPU that this database's backends have used. Those of the pool live as long as it does.
    pub async fn cpu(&self) -> anyhow::Result<Duration> {
        let backends: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'",
        )
        .fetch_all(&self.pool)
        .await?;
        let mut sum = Duration::ZERO;
        for backend in backends {
            let path = format!("/proc/{backend}/schedstat");
            let text =
                fs::read_to_string(&path).with_context(|| format!("{path}: is Postgres on this machine?"))?;
            let nanoseconds = text.split(' ').next().context("schedstat is empty")?.parse()?;
            sum += Duration::from_nanos(nanoseconds);
        }
        Ok(sum)
    }

    /// What autovacuum does of itself, at a time of the bench's choosing.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        sqlx::query("vacuum (analyze)").execute(&self.pool).await?;
        Ok(())
    }

    /// Vacuums what autovacuum would, by its own rule. How many tables. Time is told to the engine and Postgres's is not,
    /// so autovacuum itself would come by once in hours of it.
    pub async fn vacuum_what_is_due(&self) -> anyhow::Result<u64> {
        let due: Vec<String> = sqlx::query_scalar(
            "select s.relid::regclass::text
             from pg_stat_user_tables s
             join pg_class c on c.oid = s.relid
             left join lateral pg_options_to_table(c.reloptions) o on o.option_name = 'autovacuum_vacuum_scale_factor'
             where s.n_dead_tup > current_setting('autovacuum_vacuum_threshold')::bigint
                   + coalesce(o.option_value, current_setting('autovacuum_vacuum_scale_factor'))::float8 * c.reltuples",
        )
        .fetch_all(&self.pool)
        .await?;
        for table in &due {
            let vacuum = format!("vacuum (analyze) {table}");
            sqlx::query(AssertSqlSafe(vacuum)).execute(&self.pool).await?;
        }
        Ok(u64::try_from(due.len())?)
    }

    /// Every table that is no day of measurements, which are dropped whole, and the bytes of it and its indexes.
    pub async fn tables(&self) -> anyhow::Result<Vec<(String, i64)>> {
        Ok(sqlx::query_as(
            "select c.relname::text, pg_total_relation_size(c.oid)
             from pg_class c
             where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and not c.relispartition",
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Bytes of a table and its indexes.
    pub async fn bytes(&self, table: &str) -> anyhow::Result<i64> {
        Ok(
            sqlx::query_scalar("select pg_total_relation_size($1::text::regclass)")
                .bind(table)
                .fetch_one(&self.pool)
                .await?,
        )
    }
}
