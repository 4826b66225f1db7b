//! The engine: everything the ledger can be asked and told.
//!
//! In: definitions, greetings, batches. Out: evaluations, transitions, counts of windows.
//! Every method takes the time it acts at, and is safe to run twice. Most are one transaction or none;
//! each source that is given up, and each day that is thinned or dropped, is a transaction of its own.

use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::alert::{AcknowledgeError, Acknowledgement, AlertId, Transition};
use crate::annotation::{AnnotationError, NewAnnotation};
use crate::correction::{CorrectionError, CorrectionId, NewCorrection};
use crate::definitions::Definitions;
use crate::evaluate::{self, Evaluation};
use crate::measurement::{Batch, Hello, SourceId};
use crate::objective::ObjectiveName;
use crate::partly::{self, Partly, Unreadable};
use crate::read::Annotation;
use crate::service::Discovered;
use crate::settings::Settings;
use crate::silence::{NewSilence, SilenceError, SilenceId};
use crate::store::evaluation::Tiers;
use crate::store::memory::Memory;
use crate::store::{self, micros};
use crate::window::WindowCounts;

/// Every migration of the project, in order.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// Why the engine could not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("database failed")]
    Database(#[from] sqlx::Error),
    #[error("no objective is called `{0}`")]
    UnknownObjective(ObjectiveName),
    #[error("no service is called `{0}`")]
    UnknownService(crate::measurement::ServiceName),
    #[error(
        "Postgres has no time zone `{0}`: write a current name of the place, or install its zones (Debian: `tzdata-legacy`)"
    )]
    UnknownZone(String),
    #[error("`{value}` in column `{column}` cannot be read")]
    Unreadable { column: &'static str, value: String },
    #[error("what is kept of {} was left out", partly::named(names))]
    LeftOut {
        /// Objectives, or what stands beside them, as they were come across.
        names: Vec<Unreadable>,
        /// Why the first of them was.
        #[source]
        first: Box<EngineError>,
    },
    #[error("slots of {0:?} do not divide a minute")]
    Slot(Duration),
}

/// Why a batch was not taken at all. Nothing of it was booked.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("batch of `{source_id}` is dated {ahead_ms} ms after its arrival")]
    FromTheFuture { source_id: SourceId, ahead_ms: i64 },
    #[error("could not book the batch")]
    Engine(#[from] EngineError),
}

impl From<sqlx::Error> for IngestError {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// What became of a batch's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ingested {
    /// Moved the books, or became a baseline.
    pub applied: u64,
    /// Known already: the same or an older `at`.
    pub ignored: u64,
    /// Impossible: lower than before with the same start, or a start that lies before the last one.
    pub refused: u64,
}

impl AddAssign for Ingested {
    fn add_assign(&mut self, more: Self) {
        self.applied += more.applied;
        self.ignored += more.ignored;
        self.refused += more.refused;
    }
}

/// How many objectives another set of definitions made new, changed and withdrew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TakenUp {
    /// Defined for the first time, or again after they were withdrawn.
    pub new: u64,
    pub changed: u64,
    pub withdrawn: u64,
}

/// What [`Engine::maintain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Maintained {
    pub partitions_added: u64,
    /// Of the ledger.
    pub days_thinned: u64,
    pub partitions_dropped: u64,
    pub sources_retired: u64,
}

/// Cheap to clone; clones share what they remember.
#[derive(Debug, Clone)]
pub struct Engine {
    pool: PgPool,
    settings: Arc<Settings>,
    memory: Arc<Mutex<Memory>>,
}

impl Engine {
    #[must_use]
    pub fn new(pool: PgPool, settings: Settings) -> Self {
        Self {
            pool,
            settings: Arc::new(settings),
            memory: Arc::default(),
        }
    }

    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        // What is remembered is also in Postgres: a panic elsewhere left nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the definitions true from `now` on: what is new starts, what changed gets a dated
    /// definition (a new SLI a new generation), what is gone is withdrawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn apply(&self, definitions: &Definitions, now: DateTime<Utc>) -> Result<TakenUp, EngineError> {
        let mut transaction = self.pool.begin().await?;
        let taken_up = self.apply_within(&mut transaction, definitions, now).await?;
        transaction.commit().await?;
        Ok(taken_up)
    }

    /// As [`Engine::apply`], in a transaction of the caller's: nothing is booked meanwhile, so it is to be short.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn apply_within(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        definitions: &Definitions,
        now: DateTime<Utc>,
    ) -> Result<TakenUp, EngineError> {
        store::definition::apply(transaction, &self.settings, definitions, now).await
    }

    /// A source is about to attach.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hello(&self, hello: &Hello) -> Result<(), EngineError> {
        let mut connection = self.pool.acquire().await?;
        store::source::hello(&mut connection, &self.settings, hello).await
    }

    /// A source leaves in an orderly way: from now on it is not expected.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn goodbye(&self, source: &SourceId, now: DateTime<Utc>) -> Result<(), EngineError> {
        let mut transaction = self.pool.begin().await?;
        store::source::goodbye(&mut transaction, source, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Endpoints that discovery named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn discovered(
        &self,
        source: &SourceId,
        found: &[Discovered],
        now: DateTime<Utc>,
    ) -> Result<(), EngineError> {
        let mut transaction = self.pool.begin().await?;
        store::endpoint::discovered(&mut transaction, source, found, micros(now)).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Books a batch that has just arrived.
    ///
    /// # Errors
    /// When the batch is dated in the future, or the database fails.
    pub async fn ingest(&self, batch: &Batch) -> Result<Ingested, IngestError> {
        self.ingest_at(batch, Utc::now()).await
    }

    /// Books a batch that arrived at `received_at`.
    ///
    /// # Errors
    /// When the batch is dated in the future, or the database fails.
    pub async fn ingest_at(
        &self,
        batch: &Batch,
        received_at: DateTime<Utc>,
    ) -> Result<Ingested, IngestError> {
        store::ingest::ingest(self, batch, received_at).await
    }

    /// Takes a batch that has just been read, as one of many, a second apart: books at once what an objective counts as bad, and what is new;
    /// what is calm when its slot is over. Whatever is in the books is right; of calm services the last seconds are not in
    /// them yet.
    ///
    /// # Errors
    /// When the batch is dated in the future, or the database fails: it can be taken again.
    pub async fn take(&self, batch: &Batch) -> Result<Ingested, IngestError> {
        self.take_at(batch, Utc::now()).await
    }

    /// As [`Engine::take`], of a batch that arrived at `received_at`.
    ///
    /// # Errors
    /// When the batch is dated in the future, or the database fails: it can be taken again.
    pub async fn take_at(&self, batch: &Batch, received_at: DateTime<Utc>) -> Result<Ingested, IngestError> {
        store::ingest::patience::take(self, batch, received_at).await
    }

    /// Books all that was taken and waits, before its slot is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self) -> Result<(), IngestError> {
        store::ingest::patience::settle(self).await
    }

    /// Books every slice of time that is over, for budgets that count slices; to be called before each
    /// [`Engine::evaluate`]. How many were judged.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judge_slices(&self, now: DateTime<Utc>) -> Result<u64, EngineError> {
        store::slice::judge(self, micros(now)).await
    }

    /// What the tiers of every objective should be, except those that are calm: of which nothing stands and nothing
    /// would be recorded. Reads only, and cheap on a calm day.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some cannot be read, with what the others should be.
    pub async fn evaluate(&self, now: DateTime<Utc>) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        self.evaluate_tiers(Tiers::Moving, now).await
    }

    /// What every tier of every objective should be, calm or not.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some cannot be read, with what the others should be.
    pub async fn evaluate_all(&self, now: DateTime<Utc>) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        self.evaluate_tiers(Tiers::All, now).await
    }

    async fn evaluate_tiers(
        &self,
        tiers: Tiers<'_>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        let inputs = store::evaluation::inputs(&self.pool, &self.settings.rules, tiers, micros(now)).await;
        let (inputs, left_out) = Partly::apart(inputs)?;
        Partly::of(inputs.iter().map(evaluate::evaluate).collect(), left_out)
    }

    /// What the fast page of every objective should be, where that is to change. Reads only; to be
    /// called after each intake, and cheap on a calm day.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some cannot be read, with what the others should be.
    pub async fn evaluate_fast_pages(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        let inputs = store::excursion::inputs(&self.pool, &self.settings.rules, micros(now)).await;
        let (inputs, left_out) = Partly::apart(inputs)?;
        Partly::of(
            inputs.iter().filter_map(evaluate::evaluate_fast_page).collect(),
            left_out,
        )
    }

    /// What the alert of missing data should be, of objectives of which a tier is frozen or that have one. Reads
    /// only; cheap on a calm day.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some cannot be read, with what the others should be.
    pub async fn evaluate_data_outages(
        &self,
        now: DateTime<Utc>,
    ) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        let inputs = store::data_outage::inputs(&self.pool, &self.settings.rules, micros(now)).await;
        let (inputs, left_out) = Partly::apart(inputs)?;
        Partly::of(
            inputs.iter().map(evaluate::evaluate_data_outage).collect(),
            left_out,
        )
    }

    /// What every alert on a budget should be. Reads only; cheap where no definition states one.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some cannot be read, with what the others should be.
    pub async fn evaluate_budgets(&self, now: DateTime<Utc>) -> Result<Vec<Evaluation>, Partly<Evaluation>> {
        let now = micros(now);
        let inputs = store::budget_alert::inputs(&self.pool, &self.settings.rules, None, now).await;
        let (inputs, left_out) = Partly::apart(inputs)?;
        let (withdrawn, too) = Partly::apart(store::budget_alert::withdrawn(&self.pool).await)?;
        let mut found: Vec<Evaluation> = inputs.iter().map(evaluate::evaluate_budget).collect();
        found.extend(
            withdrawn
                .into_iter()
                .map(|gone| evaluate::evaluate_withdrawn_budget(gone, now)),
        );
        Partly::of(found, partly::both(left_out, too))
    }

    /// Records what changes in the caller's transaction, and returns it. An evaluation whose alert
    /// has moved on since, through another engine, changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(
        &self,
        connection: &mut PgConnection,
        evaluations: &[Evaluation],
        traceparent: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Transition>, EngineError> {
        store::alert::record(connection, evaluations, traceparent, micros(now)).await
    }

    /// What anything may be done about, of the transitions that [`Engine::record`] returned in this transaction:
    /// alerts that are silenced are left out as they fire, and added when their silence is over. To be called after
    /// every evaluation, also when nothing changed.
    ///
    /// # Errors
    /// When the database fails; where what is kept of some alerts cannot be read, with what may be done about the others.
    pub async fn hold_back(
        &self,
        connection: &mut PgConnection,
        transitions: Vec<Transition>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Transition>, Partly<Transition>> {
        store::silence::hold_back(connection, transitions, micros(now)).await
    }

    /// Nothing is done about alerts that fire while the silence holds.
    ///
    /// # Errors
    /// When it cannot be, or the database fails.
    pub async fn silence(&self, silence: &NewSilence, now: DateTime<Utc>) -> Result<SilenceId, SilenceError> {
        store::silence::create(self, silence, micros(now)).await
    }

    /// The silence ends before its time.
    ///
    /// # Errors
    /// When there is none of this id, it is over already, or the database fails.
    pub async fn end_silence(&self, id: SilenceId, by: &str, now: DateTime<Utc>) -> Result<(), SilenceError> {
        store::silence::end(self, id, by, micros(now)).await
    }

    /// Somebody takes care of an open alert, once the caller's transaction is committed.
    ///
    /// # Errors
    /// When there is none of this id, it is resolved, or the database fails.
    pub async fn acknowledge(
        &self,
        connection: &mut PgConnection,
        id: AlertId,
        by: &str,
        note: &str,
        now: DateTime<Utc>,
    ) -> Result<Acknowledgement, AcknowledgeError> {
        store::acknowledge::acknowledge(connection, id, by, note, micros(now)).await
    }

    /// The counts of one window of one objective.
    ///
    /// # Errors
    /// When no objective has the name, or the database fails.
    pub async fn burn(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<WindowCounts, EngineError> {
        store::evaluation::window(&self.pool, objective, window, micros(now))
            .await?
            .ok_or_else(|| EngineError::UnknownObjective(objective.clone()))
    }

    /// The requests that the counts of such a window stand on: those of its slices, or of its parts.
    ///
    /// # Errors
    /// When no objective has the name, or the database fails.
    pub async fn requests(
        &self,
        objective: &ObjectiveName,
        window: Duration,
        now: DateTime<Utc>,
    ) -> Result<u64, EngineError> {
        store::evaluation::requests(&self.pool, objective, window, micros(now))
            .await?
            .ok_or_else(|| EngineError::UnknownObjective(objective.clone()))
    }

    /// From now on the objective does not count that time; nothing in the ledger is rewritten.
    ///
    /// # Errors
    /// When it cannot be, or the database fails.
    pub async fn correct(
        &self,
        correction: &NewCorrection,
        now: DateTime<Utc>,
    ) -> Result<CorrectionId, CorrectionError> {
        store::correction::create(self, correction, micros(now)).await
    }

    /// The correction's time counts again, as if there had never been one.
    ///
    /// # Errors
    /// When there is none of this id, it is undone already, or the database fails.
    pub async fn undo_correction(
        &self,
        id: CorrectionId,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), CorrectionError> {
        store::correction::undo(self, id, by, micros(now)).await
    }

    /// Keeps a deploy or a note.
    ///
    /// # Errors
    /// When it cannot be, or the database fails.
    pub async fn annotate(
        &self,
        annotation: &NewAnnotation,
        now: DateTime<Utc>,
    ) -> Result<Annotation, AnnotationError> {
        store::annotation::create(self, annotation, micros(now)).await
    }

    /// Partitions ahead, thinning, retiring silent sources. Called every minute.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn maintain(&self, now: DateTime<Utc>) -> Result<Maintained, EngineError> {
        store::maintain::maintain(self, now).await
    }

    /// Puts a stretch of what was measured before a generation began into its ledger, the newest that lacks. Whether
    /// there was one: to be called until there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn backfill(&self, now: DateTime<Utc>) -> Result<bool, EngineError> {
        store::backfill::step(self, micros(now)).await
    }

    /// Estimates an hour of what a new threshold would have counted before it was counted, the newest that lacks. Whether
    /// there was one: to be called when there is nothing to count back, until there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn estimate(&self, now: DateTime<Utc>) -> Result<bool, EngineError> {
        store::estimate::step(self, micros(now)).await
    }
}
