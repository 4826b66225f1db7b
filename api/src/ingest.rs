//! What became of the measurements handed to the engine, counted for `/metrics`.
//!
//! The binary's intake loop calls [`IngestCounters::count`] after every batch. At rest, what was read is what was
//! booked, refused or dropped, and what waits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use slo_engine::{IngestError, Ingested};

#[derive(Debug, Default)]
pub struct IngestCounters {
    reads: AtomicU64,
    waiting: AtomicU64,
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

    /// A batch was read from the kernel.
    pub fn count_read(&self) {
        self.reads.fetch_add(1, Relaxed);
    }

    /// So many batches are in the buffer.
    pub fn set_waiting(&self, batches: usize) {
        self.waiting.store(batches as u64, Relaxed);
    }

    /// A batch that left the buffer unbooked because the buffer was full.
    pub fn count_dropped(&self) {
        self.batches_dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Relaxed)
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    pub(crate) fn batches(&self) -> [(&'static str, u64); 4] {
        [
            ("booked", self.batches.load(Relaxed)),
            ("refused", self.batches_refused.load(Relaxed)),
            ("failed", self.batches_failed.load(Relaxed)),
            ("dropped", self.batches_dropped.load(Relaxed)),
        ]
    }

    /// Of booked batches.
    pub(crate) fn values(&self) -> [(&'static str, u64); 3] {
        [
            ("applied", self.applied.load(Relaxed)),
            ("ignored", self.ignored.load(Relaxed)),
            ("refused", self.refused.load(Relaxed)),
        ]
    }
}
