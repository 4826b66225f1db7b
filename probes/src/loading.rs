//! Loading a program although signals come.

use aya::programs::ProgramError;

/// As often as libbpf tries.
const ATTEMPTS: u32 = 5;

/// The verifier gives up with `EAGAIN` where a signal is pending, which is delivered before the next attempt.
pub(crate) fn uninterrupted(mut load: impl FnMut() -> Result<(), ProgramError>) -> Result<(), ProgramError> {
    for _ in 1..ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) => {}
            done => return done,
        }
    }
    load()
}
