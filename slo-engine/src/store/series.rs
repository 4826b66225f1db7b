//! Identities of services, series and histograms: given once, remembered, never used again.
//!
//! In: what a batch names. Out: ids. What a transaction learned is handed back apart, to be
//! remembered only once it has committed.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::memory::{CountsFor, Generation, HistogramKey, Memory};
use super::{parse, span};
use crate::engine::EngineError;
use crate::measurement::{Role, Series, ServiceName};
use crate::objective::{Side, Sli, SliKind};

/// What one batch needs to know, and what of it is new.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub services: HashMap<ServiceName, i64>,
    pub generations: HashMap<(i64, Role), Vec<Generation>>,
    pub series: HashMap<Series, i64>,
    pub histograms: HashMap<HistogramKey, i64>,
    pub sides: HashMap<i64, Vec<CountsFor>>,
}

/// What a batch names.
#[derive(Debug, Default)]
pub(crate) struct Named<'a> {
    pub services: BTreeSet<&'a ServiceName>,
    pub series: Vec<&'a Series>,
    pub histograms: Vec<HistogramKey>,
    /// Services that the source watches already: their generations are wanted, too.
    pub watched: Vec<(i64, Role)>,
}

impl Known {
    /// What is remembered of the names.
    pub fn recall(memory: &Memory, source_id: i64, named: &Named<'_>) -> Self {
        let mut known = Self::default();
        for name in &named.services {
            if let Some(id) = memory.services.get(*name) {
                known.services.insert((*name).clone(), *id);
            }
        }
        for key in &named.watched {
            if let Some(generations) = memory.generations.get(key) {
                known.generations.insert(*key, generations.clone());
            }
        }
        if let Some(of_source) = memory.series.get(&source_id) {
            for series in &named.series {
                if let Some(id) = of_source.get(*series) {
                    known.series.insert((*series).clone(), *id);
                    if let Some(sides) = memory.sides.get(id) {
                        known.sides.insert(*id, sides.clone());
                    }
                }
            }
        }
        if let Some(of_source) = memory.histograms.get(&source_id) {
            for key in &named.histograms {
                if let Some(id) = of_source.get(key) {
                    known.histograms.insert(key.clone(), *id);
                }
            }
        }
        known
    }

    /// Remembers, now that it is committed.
    pub fn remember(self, memory: &mut Memory, source_id: i64, version: i64) {
        memory.services.extend(self.services);
        memory.series.entry(source_id).or_default().extend(self.series);
        memory
            .histograms
            .entry(source_id)
            .or_default()
            .extend(self.histograms);
        // Another batch may have seen newer definitions meanwhile.
        if memory.version == Some(version) {
            memory.generations.extend(self.generations);
            memory.sides.extend(self.sides);
        }
    }

    /// Asks the database for what is not remembered, and creates what is new.
    pub async fn complete(
        &mut self,
        connection: &mut PgConnection,
        source_id: i64,
        named: &Named<'_>,
        at: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let names: BTreeSet<&ServiceName> = named
            .services
            .iter()
            .copied()
            .filter(|name| !self.services.contains_key(*name))
            .collect();
        self.services.extend(services(connection, &names, at).await?);

        let mut wanted: HashSet<(i64, Role)> = named.watched.iter().copied().collect();
        for series in &named.series {
            wanted.insert((self.service(&series.service)?, series.role));
        }
        for key in &named.histograms {
            wanted.insert((self.service(&key.service)?, key.role));
        }
        wanted.retain(|key| !self.generations.contains_key(key));
        if !wanted.is_empty() {
            let mut found = generations(connection, &wanted).await?;
            for key in wanted {
                let of_key = found.remove(&key).unwrap_or_default();
                self.generations.insert(key, of_key);
            }
        }

        let new: Vec<&Series> = named
            .series
            .iter()
            .copied()
            .filter(|series| !self.series.contains_key(*series))
            .collect();
        if !new.is_empty() {
            self.add_series(connection, source_id, &new, at).await?;
        }
        let unsided: Vec<i64> = self
            .series
            .values()
            .copied()
            .filter(|id| !self.sides.contains_key(id))
            .collect();
        if !unsided.is_empty() {
            let mut found = sides(connection, &unsided).await?;
            for id in unsided {
                let of_series = found.remove(&id).unwrap_or_default();
                self.sides.insert(id, of_series);
            }
        }

        let new: Vec<&HistogramKey> = named
            .histograms
            .iter()
            .filter(|key| !self.histograms.contains_key(*key))
            .collect();
        if !new.is_empty() {
            self.add_histograms(connection, source_id, &new, at).await?;
        }
        Ok(())
    }

    /// Asks again where the ledgers begin that a late batch lies before: they may have been counted back since. The caller
    /// holds the services' locks.
    pub async fn look_back(
        &mut self,
        connection: &mut PgConnection,
        at: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let behind = |generation: &&mut Generation| !generation.holds_at(at) && !generation.is_over_at(at);
        let mut behind: HashMap<(i64, i32), &mut Generation> = self
            .generations
            .values_mut()
            .flatten()
            .filter(behind)
            .map(|generation| ((generation.objective_id, generation.generation), generation))
            .collect();
        if behind.is_empty() {
            return Ok(());
        }
        let (objectives, generations): (Vec<i64>, Vec<i32>) = behind.keys().copied().unzip();
        let rows = sqlx::query!(
            r#"select g.objective_id, g.generation, coalesce(g.counted_from_at, g.started_at) as "counted_from!"
               from unnest($1::bigint[], $2::int[]) b (objective_id, generation)
               join objective_generation g using (objective_id, generation)"#,
            &objectives,
            &generations
        )
        .fetch_all(connection)
        .await?;
        for row in rows {
            if let Some(generation) = behind.get_mut(&(row.objective_id, row.generation)) {
                generation.counted_from = row.counted_from;
            }
        }
        Ok(())
    }

    pub fn service(&self, name: &ServiceName) -> Result<i64, EngineError> {
        self.services
            .get(name)
            .copied()
            .ok_or_else(|| EngineError::UnknownService(name.clone()))
    }

    async fn add_series(
        &mut self,
        connection: &mut PgConnection,
        source_id: i64,
        new: &[&Series],
        at: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let service_ids = new
            .iter()
            .map(|series| self.service(&series.service))
            .collect::<Result<Vec<i64>, _>>()?;
        let roles: Vec<&str> = new.iter().map(|series| series.role.as_str()).collect();
        let routes: Vec<Option<&str>> = new
            .iter()
            .map(|series| series.route.as_ref().map(crate::measurement::Route::as_str))
            .collect();
        let signals: Vec<String> = new.iter().map(|series| series.signal.to_string()).collect();
        sqlx::query!(
            "insert into series (source_id, service_id, role, route, signal, first_seen_at)
             select $1, service_id, role, route, signal, $2
             from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) as t (service_id, role, route, signal)
             on conflict on constraint series_key do nothing",
            source_id,
            at,
            &service_ids,
            &roles as &[&str],
            &routes as &[Option<&str>],
            &signals
        )
        .execute(&mut *connection)
        .await?;
        let ids = sqlx::query!(
            r#"select s.series_id, t.n as "n!"
             from unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
                 with ordinality as t (service_id, role, route, signal, n)
             join series s
               on s.source_id = $1 and s.service_id = t.service_id and s.role = t.role
              and s.route is not distinct from t.route and s.signal = t.signal"#,
            source_id,
            &service_ids,
            &roles as &[&str],
            &routes as &[Option<&str>],
            &signals
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut mapping = Vec::new();
        for row in ids {
            let index = usize::try_from(row.n - 1).unwrap_or(usize::MAX);
            let (Some(series), Some(service_id)) = (new.get(index), service_ids.get(index)) else {
                continue;
            };
            self.series.insert((*series).clone(), row.series_id);
            for generation in self
                .generations
                .get(&(*service_id, series.role))
                .into_iter()
                .flatten()
            {
                // What comes late may be of one that has ended since.
                if !generation.is_over_at(at)
                    && let Some(side) = generation.sli.side(series)
                {
                    mapping.push((
                        generation.objective_id,
                        generation.generation,
                        row.series_id,
                        side,
                    ));
                }
            }
        }
        map_series(connection, &mapping).await
    }

    async fn add_histograms(
        &mut self,
        connection: &mut PgConnection,
        source_id: i64,
        new: &[&HistogramKey],
        at: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let service_ids = new
            .iter()
            .map(|key| self.service(&key.service))
            .collect::<Result<Vec<i64>, _>>()?;
        let roles: Vec<&str> = new.iter().map(|key| key.role.as_str()).collect();
        let routes: Vec<Option<&str>> = new
            .iter()
            .map(|key| key.route.as_ref().map(crate::measurement::Route::as_str))
            .collect();
        let clocks: Vec<&str> = new.iter().map(|key| key.clock.as_str()).collect();
        sqlx::query!(
            "insert into histogram (source_id, service_id, role, route, clock, first_seen_at)
             select $1, service_id, role, route, clock, $2
             from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) as t (service_id, role, route, clock)
             on conflict on constraint histogram_key do nothing",
            source_id,
            at,
            &service_ids,
            &roles as &[&str],
            &routes as &[Option<&str>],
            &clocks as &[&str]
        )
        .execute(&mut *connection)
        .await?;
        let ids = sqlx::query!(
            r#"select h.histogram_id, t.n as "n!"
             from unnest($2::bigint[], $3::text[], $4::text[], $5::text[])
                 with ordinality as t (service_id, role, route, clock, n)
             join histogram h
               on h.source_id = $1 and h.service_id = t.service_id and h.role = t.role
              and h.route is not distinct from t.route and h.clock = t.clock"#,
            source_id,
            &service_ids,
            &roles as &[&str],
            &routes as &[Option<&str>],
            &clocks as &[&str]
        )
        .fetch_all(connection)
        .await?;
        for row in ids {
            if let Some(key) = usize::try_from(row.n - 1).ok().and_then(|index| new.get(index)) {
                self.histograms.insert((*key).clone(), row.histogram_id);
            }
        }
        Ok(())
    }
}

/// Ids of services, created where they are new.
pub(crate) async fn services(
    connection: &mut PgConnection,
    names: &BTreeSet<&ServiceName>,
    at: DateTime<Utc>,
) -> Result<HashMap<ServiceName, i64>, EngineError> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let texts: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    sqlx::query!(
        "insert into service (name, first_seen_at)
         select name, $2 from unnest($1::text[]) as t (name) order by name
         on conflict on constraint service_name_key do nothing",
        &texts as &[&str],
        at
    )
    .execute(&mut *connection)
    .await?;
    let rows = sqlx::query!(
        "select name, service_id from service where name = any($1)",
        &texts as &[&str]
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok((parse("service.name", &row.name)?, row.service_id)))
        .collect()
}

/// Generations of every objective of these services, ended ones included.
async fn generations(
    connection: &mut PgConnection,
    wanted: &HashSet<(i64, Role)>,
) -> Result<HashMap<(i64, Role), Vec<Generation>>, EngineError> {
    let ids: Vec<i64> = wanted.iter().map(|(service_id, _)| *service_id).collect();
    let rows = sqlx::query!(
        r#"select objective_id, generation, service_id, role, sli, slice,
                  coalesce(counted_from_at, started_at) as "counted_from!", ended_at
           from objective_generation
           where service_id = any($1)"#,
        &ids
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        let sli: Sli = parse("objective_generation.sli", &row.sli)?;
        found
            .entry((row.service_id, parse("objective_generation.role", &row.role)?))
            .or_default()
            .push(Generation {
                objective_id: row.objective_id,
                generation: row.generation,
                // A composite's slices are judged by those of its parts: nothing is booked into them.
                slice: row
                    .slice
                    .filter(|_| !matches!(sli.kind, SliKind::Composite(_)))
                    .map(|slice| span("objective_generation.slice", &slice))
                    .transpose()?,
                sli,
                counted_from: row.counted_from,
                ended_at: row.ended_at,
            });
    }
    Ok(found)
}

async fn sides(
    connection: &mut PgConnection,
    series: &[i64],
) -> Result<HashMap<i64, Vec<CountsFor>>, EngineError> {
    let rows = sqlx::query!(
        "select series_id, objective_id, generation, side from objective_series where series_id = any($1)",
        series
    )
    .fetch_all(connection)
    .await?;
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for row in rows {
        found.entry(row.series_id).or_default().push(CountsFor {
            objective_id: row.objective_id,
            generation: row.generation,
            side: side("objective_series.side", &row.side)?,
        });
    }
    Ok(found)
}

/// Stores which series count for which generation.
pub(crate) async fn map_series(
    connection: &mut PgConnection,
    mapping: &[(i64, i32, i64, Side)],
) -> Result<(), EngineError> {
    if mapping.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into objective_series (objective_id, generation, series_id, side)
         select * from unnest($1::bigint[], $2::int[], $3::bigint[], $4::text[])
         on conflict on constraint objective_series_pkey do nothing",
        &mapping
            .iter()
            .map(|(objective, ..)| *objective)
            .collect::<Vec<_>>(),
        &mapping
            .iter()
            .map(|(_, generation, ..)| *generation)
            .collect::<Vec<_>>(),
        &mapping
            .iter()
            .map(|(_, _, series, _)| *series)
            .collect::<Vec<_>>(),
        &mapping
            .iter()
            .map(|(.., side)| side_word(*side))
            .collect::<Vec<_>>() as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Good => "good",
        Side::Bad => "bad",
    }
}

fn side(column: &'static str, text: &str) -> Result<Side, EngineError> {
    match text {
        "good" => Ok(Side::Good),
        "bad" => Ok(Side::Bad),
        other => Err(EngineError::Unreadable {
            column,
            value: other.to_owned(),
        }),
    }
}
