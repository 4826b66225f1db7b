//! The demo itself: its exit code is 0 only when each act really happened.

#![expect(clippy::unwrap_used, reason = "tests panic")]

mod support;

use std::process::Command;

#[test]
fn the_demo_tells_the_whole_story_and_cleans_up() {
    support::needs_root();
    let output = Command::new(env!("CARGO_BIN_EXE_slowburn"))
        .args(["demo", "--headless", "--listen=127.0.0.1:0"])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap();
    let (text, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{text}\n{log}");
    let left = Command::new("ip").args(["netns", "list"]).output().unwrap();
    let left = String::from_utf8_lossy(&left.stdout).into_owned();
    let pid = text
        .lines()
        .find_map(|line| line.split_once("sb-")?.1.split('-').next().map(String::from));
    if let Some(pid) = pid {
        assert!(
            !left.contains(&format!("sb-{pid}-")),
            "namespaces left behind: {left}"
        );
    }
}
