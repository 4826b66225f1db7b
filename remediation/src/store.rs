//! The tables of this crate: every statement that names one is beneath this module, except the
//! reading ones of [`crate::read`].

pub(crate) mod limit;
pub(crate) mod outbox;
pub(crate) mod run;
pub(crate) mod step;
