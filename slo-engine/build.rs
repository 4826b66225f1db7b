//! Tells cargo what the embedded migrations depend on.

fn main() {
    // A new migration changes `MIGRATOR`, which cargo cannot see by itself.
    println!("cargo::rerun-if-changed=../migrations");
}
