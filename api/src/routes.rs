//! One file per noun: handlers read a model, turn it into a view, and know no arithmetic.

#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod alert;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod annotation;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod correction;
pub mod dashboard;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod event;
pub mod health;
pub mod limit;
pub mod metrics;
pub mod openapi;
pub mod overview;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod run;
pub mod runbook;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod service;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod silence;
#[expect(unused_qualifications, reason = "utoipa's macro writes them")]
pub mod slo;
pub mod stream;
