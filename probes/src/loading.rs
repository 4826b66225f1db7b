//! Loading a program although signals come.

use std::io;

use aya::programs::ProgramError;

/// As often as libbpf tries.
const ATTEMPTS: u32 = 5;

/// The verifier gives up with `EAGAIN` where a signal is pending, which is delivered before the next attempt.
pub(crate) fn uninterrupted<T, E: ByTheKernel>(mut load: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        match load() {
            Err(error) if error.number() == Some(libc::EAGAIN) => {}
            done => return done,
        }
    }
    load()
}

/// An error that may be the answer of `BPF_PROG_LOAD`.
pub(crate) trait ByTheKernel {
    fn number(&self) -> Option<i32>;
}

impl ByTheKernel for io::Error {
    fn number(&self) -> Option<i32> {
        self.raw_os_error()
    }
}

impl ByTheKernel for ProgramError {
    fn number(&self) -> Option<i32> {
        match self {
            Self::LoadError { io_error, .. } => io_error.number(),
            _ => None,
        }
    }
}
