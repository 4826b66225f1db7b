//! One file per noun: handlers read a model, turn it into a view, and know no arithmetic.

pub mod alert;
pub mod event;
pub mod health;
pub mod limit;
pub mod overview;
pub mod run;
pub mod runbook;
pub mod service;
pub mod slo;
pub mod stream;
