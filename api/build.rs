//! Builds the dashboard into `dashboard/dist`, which the crate then embeds.
//!
//! Runs npm only when the sources are not those that `dist` was built from. With
//! `SLOWBURN_SKIP_DASHBOARD` set, what is in `dist` is embedded as it is.

use std::error::Error;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the result depends on. Tests and fixtures are not among them.
const SOURCES: [&str; 7] = [
    "index.html",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "vite.config.ts",
    "public",
    "src",
];
const SKIP: &str = "SLOWBURN_SKIP_DASHBOARD";

#[expect(
    clippy::print_stderr,
    reason = "cargo shows a build script's standard error when it fails"
)]
fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let dashboard = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("dashboard");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={SKIP}");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", dashboard.join(source).display());
    }
    // Absent counts as changed, and what somebody built by hand is embedded.
    println!(
        "cargo::rerun-if-changed={}",
        dashboard.join("dist/index.html").display()
    );
    if std::env::var_os(SKIP).is_some() {
        return Ok(());
    }
    // Two builds, of two profiles say, must not write `dist` at the same time.
    let lock = File::open(&dashboard)?;
    lock.lock()?;
    let sources = fingerprint(&dashboard)?;
    let stamp = dashboard.join("node_modules/.built-from");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == sources)
        && dashboard.join("dist/index.html").exists()
    {
        return Ok(());
    }
    if !installed(&dashboard) {
        npm(&dashboard, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(&dashboard, &["run", "build"])?;
    fs::write(stamp, sources)?;
    Ok(())
}

/// npm leaves a copy of the lock file where it installed.
fn installed(dashboard: &Path) -> bool {
    let changed = |path: &str| fs::metadata(dashboard.join(path)).and_then(|file| file.modified());
    match (
        changed("node_modules/.package-lock.json"),
        changed("package-lock.json"),
    ) {
        (Ok(installed), Ok(wanted)) => installed >= wanted,
        _ => false,
    }
}

fn npm(dashboard: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let output = Command::new("npm")
        .args(arguments)
        .current_dir(dashboard)
        .output()
        .map_err(|error| {
            format!(
                "the dashboard is built with npm, which could not be run: {error}\n\
             hint: `make setup` installs it, or set {SKIP}=1 to build without the dashboard"
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`npm {}` failed in api/dashboard\n{}{}\nhint: `make setup` installs a Node.js that is new enough",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )
    .into())
}

fn fingerprint(dashboard: &Path) -> Result<String, Box<dyn Error>> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        add(&dashboard.join(source), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn add(path: &Path, hasher: &mut DefaultHasher) -> Result<(), Box<dyn Error>> {
    if path.is_dir() {
        let mut entries = fs::read_dir(path)?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<_>, std::io::Error>>()?;
        entries.sort();
        for entry in entries {
            add(&entry, hasher)?;
        }
    } else if path.exists() {
        path.file_name().hash(hasher);
        fs::read(path)?.hash(hasher);
    }
    Ok(())
}
