//! Every file that fuzzing has kept is asked the same questions again, so that what it found once stays found.
//! The kernel's build is asked, too: what it makes of a packet is what the host's build makes of it.

#![allow(clippy::unwrap_used, reason = "tests panic")]
#![expect(clippy::print_stdout, reason = "which file it was, when a test fails")]

use std::{fs, path::Path};

#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

#[path = "../../../tests/support/patience.rs"]
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod patience;
#[path = "../support/mod.rs"]
mod support;

mod replayed;
mod sequences;
mod streams;
mod turned;
mod walked;

#[test]
fn serve_when_asked() {
    support::serve_when_asked();
}

#[test]
fn conversations() {
    all("conversation", fuzz::conversation::ask);
}

#[test]
fn http1() {
    all("http1", fuzz::http1::ask);
}

#[test]
fn http2() {
    all("http2", fuzz::http2::ask);
}

#[test]
fn hpack() {
    all("hpack", fuzz::hpack::ask);
}

#[test]
fn openings() {
    all("opening", fuzz::opening::ask);
}

#[test]
fn tls_records() {
    all("tls", fuzz::tls::ask);
}

#[test]
fn turns() {
    all("turns", fuzz::turns::ask);
}

#[test]
fn walks() {
    all("walk", fuzz::walk::ask);
}

fn all(target: &str, mut ask: impl FnMut(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&directory).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        println!("{}", path.display());
        ask(&fs::read(&path).expect("readable"));
        count += 1;
    }
    assert!(count > 0, "nothing in {}", directory.display());
}
