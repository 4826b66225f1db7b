//! Waiting for what one waits for.

use std::time::{Duration, Instant};

/// Polls until `look` finds something. Panics with `what` when patience ends.
#[track_caller]
pub fn eventually<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let patience = patience * scale();
    let give_up = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < give_up,
            "waited {} s in vain for {what}",
            patience.as_secs()
        );
        pause(Duration::from_millis(50));
    }
}

/// `scripts/test-kernels` asks for more patience, since it emulates.
pub fn scale() -> u32 {
    let asked = std::env::var("SLOWBURN_TEST_PATIENCE");
    asked.map_or(1, |times| times.parse().expect("a number"))
}

/// Between two looks, never instead of one.
#[expect(clippy::disallowed_methods, reason = "the pause of a poll")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Fails, rather than skips, without the privilege the tests are about.
#[track_caller]
pub fn needs_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test loads BPF programs and makes namespaces: run `make test`"
    );
}
