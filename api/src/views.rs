//! The JSON this API speaks. In: read models of the engine and of remediation. Out: serde structs.
//!
//! A view is its own struct and every conversion is written out, so a renamed column or field
//! cannot change the API. Times are RFC 3339 in UTC, spans carry their unit in the name, counts
//! are integers, and what is not known is `null`: never zero.

mod alert;
mod correction;
mod event;
mod limit;
mod number;
mod overview;
mod run;
mod runbook;
mod service;
mod silence;
mod slo;
mod tcp;

pub use alert::{AcknowledgementView, AlertView, EvidenceView, WindowCountsView};
pub use correction::{
    AnnotationView, CorrectionView, CorrectionsView, LeftOutView, RecurrenceView, SpanView,
};
pub use event::{EventView, TickView};
pub use limit::{ClearedView, LimitView};
pub use overview::{CheckView, OverviewView, ReadinessView, SourceView};
pub use run::{DeliveryView, RunDetail, RunSummary, StepView};
pub use runbook::{RunbookStepView, RunbookView};
pub use service::{EndpointView, RouteView, ServiceDetail, ServiceSeriesView, ServiceSummary};
pub use silence::SilenceView;
pub use slo::{BurnView, SloDetail, SloKind, SloSeriesView, SloState, SloSummary, TierView};
pub use tcp::{ConnectionsView, TcpView};

pub(crate) use number::{measured, number};

use serde::Serialize;
use slo_engine::{Partly, Unreadable};
use utoipa::ToSchema;

use crate::error::Result;

/// Every list has this shape, so that a list can gain fields without breaking a reader.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Items<T: ToSchema> {
    pub items: Vec<T>,
    /// What is missing among them, as it cannot be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<UnreadableView>,
}

impl<T: ToSchema> Items<T> {
    pub fn of<D>(found: impl IntoIterator<Item = D>) -> Self
    where
        T: From<D>,
    {
        Self {
            items: found.into_iter().map(T::from).collect(),
            unreadable: Vec::new(),
        }
    }

    /// What there is, and what is missing.
    ///
    /// # Errors
    /// When there is nothing at all.
    pub fn partly<D>(found: std::result::Result<Vec<D>, Partly<D>>) -> Result<Self>
    where
        T: From<D>,
    {
        let (rest, unreadable) = Partly::named(found)?;
        Ok(Self {
            unreadable: unreadable.into_iter().map(UnreadableView::from).collect(),
            ..Self::of(rest)
        })
    }
}

/// What somebody changed by hand, or a newer release wrote: it is not judged either.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnreadableView {
    /// The objective's.
    #[schema(example = "checkout-availability")]
    pub name: String,
    #[schema(example = "`urgent` in column `severity` cannot be read")]
    pub why: String,
}

impl From<Unreadable> for UnreadableView {
    fn from(unreadable: Unreadable) -> Self {
        Self {
            name: unreadable.name,
            why: unreadable.why,
        }
    }
}
