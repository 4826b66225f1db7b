//! The `edge` object from user space: loading it, its pins, its links, and what its maps say.

pub(crate) mod attach;
pub(crate) mod entries;
pub(crate) mod fold;
pub(crate) mod generation;
pub(crate) mod layout;
pub(crate) mod listened;
pub(crate) mod meaning;
pub(crate) mod object;
pub(crate) mod overdue;
pub(crate) mod quiet;
pub(crate) mod reading;
pub(crate) mod room;
pub(crate) mod settings;
pub(crate) mod sources;
pub(crate) mod starts;
pub(crate) mod table;
