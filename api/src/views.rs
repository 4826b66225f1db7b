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
use utoipa::ToSchema;

/// Every list has this shape, so that a list can gain fields without breaking a reader.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Items<T: ToSchema> {
    pub items: Vec<T>,
}

impl<T: ToSchema> Items<T> {
    pub fn of<D>(found: impl IntoIterator<Item = D>) -> Self
    where
        T: From<D>,
    {
        Self {
            items: found.into_iter().map(T::from).collect(),
        }
    }
}
