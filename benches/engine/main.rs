//! What the engine costs, beside what a user would run instead:
//! `scripts/with-postgres cargo bench --bench engine [-- OBJECTIVES...]`, 100 and 1,000 by default, or `[-- week]`:
//! how much larger the books of 100 are after a week of ticks, or `[-- windows]`: windows of up to 90 days, of 100.
//!
//! Each objective has thirty days of history at the default thinning, the default tiers and a fast page.
//! Time is told to the engine, so rounds follow each other without waiting, but for five minutes by the clock. CPU is the kernel's own
//! account of Postgres's backends and of this process; the writer and the checkpointer are not in it.
//! The peer is Debian's Prometheus with the rules that Sloth writes for the same objectives, on the same
//! counts: its CPU is what it uses a round, scrape, recording and alerting rules together.

#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod books;
mod burning;
mod history;
mod kept;
mod peer;
mod rounds;
mod traffic;
mod week;

use std::{env, fs, time::Duration};

use anyhow::Context as _;
use history::Span;
use kept::Kept;
use rounds::{Cost, World};
use slo_engine::Settings;

/// Of the peer, which needs minutes for a history; what it costs grows with the number of objectives.
const PEER_OBJECTIVES: usize = 100;
/// A week is 60,480 ticks.
const WEEK_OBJECTIVES: usize = 100;
const WINDOWS_OBJECTIVES: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // What asks Prometheus is built without one.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    // cargo passes `--bench`.
    let words: Vec<_> = env::args().skip(1).filter(|word| word != "--bench").collect();
    if words == ["week"] {
        print_week(&week::measure(WEEK_OBJECTIVES).await?);
        return Ok(());
    }
    if words == ["windows"] {
        print_windows(&windows().await?);
        return Ok(());
    }
    let mut sizes = words.into_iter().map(size).collect::<anyhow::Result<Vec<_>>>()?;
    if sizes.is_empty() {
        sizes = vec![PEER_OBJECTIVES, 1_000];
    }
    let end = traffic::fullest(chrono::Utc::now());
    println!("30 days of history to {end}; medians; CPU of Postgres unless it says otherwise");
    let mut a_round = Duration::ZERO;
    for objectives in sizes {
        let world = World::create(objectives, Span::ending(end), Settings::default()).await?;
        let exact = world.check(end).await?;
        let cost = world.measure().await?;
        world.drop().await?;
        println!("\n{objectives} objectives; the counts of 30 days equal arithmetic in {exact} of {exact}");
        print(objectives, &cost);
        a_round = (cost.evaluation + cost.decision + cost.tick) / u32::try_from(objectives)?;
    }
    let peer = peer::measure(PEER_OBJECTIVES).await?;
    println!(
        "\nPrometheus, {PEER_OBJECTIVES} objectives, a round every {} s: {:.3} ms CPU an objective a round, {:.0} times the engine's {:.3} \
         (evaluation and intake, Postgres and engine); {} MiB resident; its ratio of 30 days is wrong by up to {:.2} %",
        peer::INTERVAL_SECONDS,
        ms(peer.a_round),
        peer.a_round.as_secs_f64() / a_round.as_secs_f64(),
        ms(a_round),
        peer.resident >> 20,
        peer.worst_error * 100.0
    );
    Ok(())
}

/// Of books of 91 days.
async fn windows() -> anyhow::Result<Vec<(&'static str, Duration)>> {
    let end = traffic::fullest(chrono::Utc::now());
    let world = World::create(WINDOWS_OBJECTIVES, Span::of_days(91, end), Settings::default()).await?;
    let lengths = [
        ("1 h", 1),
        ("1 d", 24),
        ("7 d", 168),
        ("30 d", 720),
        ("90 d", 2_160),
    ];
    let windows = world.windows(&lengths, end).await?;
    world.drop().await?;
    Ok(windows)
}

fn size(word: String) -> anyhow::Result<usize> {
    let size = word.parse().ok();
    size.filter(|size| *size > 0 && size % traffic::A_SERVICE == 0)
        .with_context(|| format!("`{word}` is no number of objectives: write an even one, as 1000"))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print(objectives: usize, cost: &Cost) {
    let each = |time: Duration| ms(time) / objectives as f64;
    println!(
        "  evaluation of all tiers   {:9.1} ms   {:.4} ms an objective; engine {:.1} ms, wall {:.1} ms",
        ms(cost.evaluation),
        each(cost.evaluation),
        ms(cost.decision),
        ms(cost.evaluation_wall)
    );
    println!(
        "  period budgets of all     {:9.1} ms   {:.4} ms an objective",
        ms(cost.budgets),
        each(cost.budgets)
    );
    println!(
        "  intake of a 10 s tick     {:9.1} ms   {:.4} ms an objective; wall {:.1} ms",
        ms(cost.tick),
        each(cost.tick),
        ms(cost.tick_wall)
    );
    println!(
        "  intake every second       {:9.1} ms   {:.3} of a core over whole slots, engine and sequential test included",
        ms(cost.second),
        cost.second.as_secs_f64()
    );
    let burning = [
        ("an evaluation, all burning", cost.burning.evaluation),
        ("the one in which they fire", cost.burning.firing),
        ("every second, all burning", cost.burning.second),
    ];
    for (name, time) in burning {
        println!(
            "  {name:26}{:9.1} ms   {:.4} ms an objective; engine included",
            ms(time),
            each(time)
        );
    }
    print_kept(&cost.kept);
    print_windows(&cost.windows);
    println!(
        "  ledger                    {:9.1} MB   {:.2} MB an objective; engine {} MiB resident",
        cost.ledger_bytes as f64 / 1e6,
        cost.ledger_bytes as f64 / 1e6 / objectives as f64,
        cost.resident >> 20
    );
}

fn print_kept(kept: &Kept) {
    let paces = [("intakes", &kept.intakes), ("evaluations", &kept.evaluations)];
    for (name, pace) in paces {
        println!(
            "  {name:11} by the clock  {} of {} done before the next was due, the longest after {:.0} ms",
            pace.due - pace.missed,
            pace.due,
            ms(pace.longest)
        );
    }
    println!(
        "  by the clock              {:.3} of a core; the counts of 30 days equal arithmetic in {} afterwards",
        kept.cores, kept.exact
    );
}

fn print_windows(windows: &[(&str, Duration)]) {
    print!("  one window               ");
    for (name, time) in windows {
        print!("  {name} {:.3} ms", ms(*time));
    }
    let times = || windows.iter().map(|(_, time)| time.as_secs_f64());
    println!(
        "   longest / shortest {:.2}",
        times().fold(0.0, f64::max) / times().fold(f64::INFINITY, f64::min)
    );
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print_week(week: &week::Week) {
    let line = |name: &str, before: i64, after: i64| {
        let (before, after) = (before as f64 / 1e6, after as f64 / 1e6);
        let more = (after / before - 1.0) * 100.0;
        println!("  {name:24} {before:9.2} MB   {after:9.2} MB after a week, {more:+.1} %");
    };
    println!(
        "{WEEK_OBJECTIVES} objectives, 30 days kept, a tick every 10 s; {} vacuums",
        week.vacuums
    );
    line("ledger", week.before.ledger, week.after.ledger);
    line("beside it", week.before.beside, week.after.beside);
}

/// Bytes of a process that are in memory.
fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmRSS")?
        .parse()?;
    Ok(kib * 1024)
}
