//! What became of the measurements handed to the engine, counted for `/metrics`.
//!
//! The binary's intake loop calls [`IngestCounters::count`] after every batch.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slo_engine::{IngestError, Ingested};

#[derive(Debug, Default)]
pub struct IngestCounters {
    batches: AtomicU64,
    batches_refused: AtomicU64,
    batches_failed: AtomicU64,
    batches_dropped: AtomicU64,
    applied: AtomicU64,
    ignored: AtomicU64,
    refused: AtomicU64,
}

impl IngestCounters {
    pub fn count(&self, outcome: &Result<Ingested, IngestError>) {
        match outcome {
            Ok(ingested) => {
                self.batches.fetch_add(1, Relaxed);
                self.applied.fetch_add(ingested.applied, Relaxed);
                self.ignored.fetch_add(ingested.ignored, Relaxed);
                self.refused.fetch_add(ingested.refused, Relaxed);
            }
            Err(IngestError::FromTheFuture { .. }) => {
                self.batches_refused.fetch_add(1, Relaxed);
            }
            Err(IngestError::Engine(_)) => {
                self.batches_failed.fetch_add(1, Relaxed);
            }
        }
    }

    /// A batch that left the buffer unbooked because the buffer was full.
    pub fn count_dropped(&self) {
        self.batches_dropped.fetch_add(1, Relaxed);
    }

    /// By outcome, batches first, then values.
    pub(crate) fn read(&self) -> ([(&'static str, u64); 4], [(&'static str, u64); 3]) {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        (
            [
                ("booked", get(&self.batches)),
                ("refused", get(&self.batches_refused)),
                ("failed", get(&self.batches_failed)),
                ("dropped", get(&self.batches_dropped)),
            ],
            [
                ("applied", get(&self.applied)),
                ("ignored", get(&self.ignored)),
                ("refused", get(&self.refused)),
            ],
        )
    }
}
