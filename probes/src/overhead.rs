//! What the programs cost, measured while they run, and what is given up when it is too much.
//!
//! In: the kernel's run-time statistics of each program. Out: runs, time and share of one core; and, past
//! a budget, a mode in which the kernel does less. The statistics cost about 65 ns a run themselves, so
//! unless told otherwise they are on for one read in ten.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use probes_ebpf::wire::mode;

use crate::{bpf_syscall, statistics::ProgramStatistics};

/// How closely to watch, and how much may be spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OverheadConfig {
    pub watching: Watching,
    /// Of one core, above 0. `None`: whatever it costs.
    pub budget: Option<f64>,
}

/// When the kernel accounts what programs cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watching {
    Off,
    /// One read in ten; more often while the budget is overspent.
    #[default]
    Sampled,
    Always,
}

/// What is left out, from nothing to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    #[default]
    Full,
    /// Remote addresses are not counted: no runbook can tell who asks most.
    NoSources,
    /// Requests are not matched against routes either: all count under `other`.
    NoRoutes,
}

impl Mode {
    /// As the kernel and the metrics know it: 0 is [`Mode::Full`].
    pub fn number(self) -> u64 {
        match self {
            Self::Full => mode::FULL,
            Self::NoSources => mode::NO_SOURCES,
            Self::NoRoutes => mode::NO_ROUTES,
        }
    }

    fn less(self) -> Self {
        match self {
            Self::Full => Self::NoSources,
            Self::NoSources | Self::NoRoutes => Self::NoRoutes,
        }
    }

    fn more(self) -> Self {
        match self {
            Self::Full | Self::NoSources => Self::Full,
            Self::NoRoutes => Self::NoSources,
        }
    }

    /// What is missing in this mode, in plain words.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::NoSources => Some("remote addresses are not counted, to stay within the overhead budget"),
            Self::NoRoutes => {
                Some("remote addresses and routes are not counted, to stay within the overhead budget")
            }
        }
    }
}

/// Runs and time of one program while it was watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProgramCost {
    pub program: String,
    pub runs: u64,
    pub nanoseconds: u64,
    /// Of one core, over the last time it was watched.
    pub share: f64,
}

/// Reads between two looks, and the shortest look: a shorter one tells little.
const REST: u32 = 9;
const LOOK_NS: u64 = 200_000_000;

pub(crate) struct Overhead {
    config: OverheadConfig,
    look: Option<Look>,
    rest: u32,
    costs: BTreeMap<String, ProgramCost>,
    judge: Judge,
    /// Why nothing is measured.
    refused: Option<String>,
}

struct Look {
    _statistics: OwnedFd,
    since_ns: u64,
    before: Vec<ProgramStatistics>,
}

impl Overhead {
    pub fn new(config: OverheadConfig) -> Self {
        Self {
            config,
            look: None,
            rest: 0,
            costs: BTreeMap::new(),
            judge: Judge::default(),
            refused: None,
        }
    }

    /// One read has come. Returns the mode when it is another from now on.
    pub fn tick(&mut self, now_ns: u64, read: impl Fn() -> Vec<ProgramStatistics>) -> Option<Mode> {
        if self.config.watching == Watching::Off {
            return None;
        }
        let Some(look) = self.look.take() else {
            if self.rest > 0 && self.config.watching == Watching::Sampled {
                self.rest -= 1;
                return None;
            }
            match self.begin(now_ns, &read) {
                Ok(look) => (self.look, self.refused) = (Some(look), None),
                Err(error) => self.refuse(&error),
            }
            return None;
        };
        let elapsed = now_ns.saturating_sub(look.since_ns);
        if elapsed < LOOK_NS {
            self.look = Some(look);
            return None;
        }
        let now = read();
        let share = self.add(&look.before, &now, elapsed);
        if self.config.watching == Watching::Always {
            self.look = Some(Look {
                since_ns: now_ns,
                before: now,
                ..look
            });
        }
        let (mode, is_over) = (
            self.judge.mode,
            self.config.budget.is_some_and(|budget| share > budget),
        );
        self.rest = if is_over { 0 } else { REST };
        let after = self.judge.judge(share, self.config.budget?);
        (after != mode).then_some(after)
    }

    fn begin(&self, now_ns: u64, read: &impl Fn() -> Vec<ProgramStatistics>) -> io::Result<Look> {
        Ok(Look {
            _statistics: bpf_syscall::enable_statistics()?,
            since_ns: now_ns,
            before: read(),
        })
    }

    fn refuse(&mut self, error: &io::Error) {
        self.rest = REST;
        let text = error.to_string();
        if self.refused.as_ref() != Some(&text) {
            tracing::warn!(%error, "the kernel does not account what the probes cost");
            self.refused = Some(text);
        }
    }

    /// Adds what each program has done since; returns the share of one core of all together.
    fn add(&mut self, before: &[ProgramStatistics], now: &[ProgramStatistics], elapsed_ns: u64) -> f64 {
        let mut all = 0.0;
        for program in now {
            let earlier = before.iter().find(|known| known.program == program.program);
            let (runs, nanoseconds) = earlier.map_or((0, 0), |known| (known.runs, known.nanoseconds));
            let cost = self.costs.entry(program.program.clone()).or_default();
            let spent = program.nanoseconds.saturating_sub(nanoseconds);
            cost.program.clone_from(&program.program);
            cost.runs += program.runs.saturating_sub(runs);
            cost.nanoseconds += spent;
            cost.share = to_f64(spent) / to_f64(elapsed_ns);
            all += cost.share;
        }
        all
    }

    pub fn costs(&self) -> impl Iterator<Item = &ProgramCost> {
        self.costs.values()
    }

    pub fn mode(&self) -> Mode {
        self.judge.mode
    }
}

/// Looks in a row that must agree before less is done, and before more is.
const OVER: u32 = 3;
const UNDER: u32 = 6;
/// More is done only while it would leave some of the budget.
const ROOM: f64 = 0.6;
/// A step up that was taken back makes the next one wait twice as long, up to this.
const UNDER_MAX: u32 = 96;

/// Decides on the mode.
#[derive(Debug)]
struct Judge {
    mode: Mode,
    over: u32,
    under: u32,
    patience: u32,
    has_risen: bool,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            mode: Mode::Full,
            over: 0,
            under: 0,
            patience: UNDER,
            has_risen: false,
        }
    }
}

impl Judge {
    fn judge(&mut self, share: f64, budget: f64) -> Mode {
        self.over = if share > budget { self.over + 1 } else { 0 };
        self.under = if share < budget * ROOM { self.under + 1 } else { 0 };
        if self.over >= OVER && self.mode != self.mode.less() {
            if std::mem::take(&mut self.has_risen) {
                self.patience = (self.patience * 2).min(UNDER_MAX);
            }
            self.mode = self.mode.less();
            (self.over, self.under) = (0, 0);
        } else if self.under >= self.patience && self.mode != self.mode.more() {
            self.mode = self.mode.more();
            self.has_risen = true;
            (self.over, self.under) = (0, 0);
        }
        self.mode
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people and for a budget")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_done_after_some_looks_past_the_budget_and_more_only_with_room_to_spare() {
        let mut judge = Judge::default();
        let mut modes =
            |share: f64, looks: u32| -> Vec<Mode> { (0..looks).map(|_| judge.judge(share, 0.02)).collect() };
        assert_eq!(modes(0.03, 2), [Mode::Full; 2]);
        assert_eq!(modes(0.01, 1), [Mode::Full], "a spike is no reason");
        assert_eq!(modes(0.03, 3)[2], Mode::NoSources);
        assert_eq!(modes(0.03, 3)[2], Mode::NoRoutes);
        assert_eq!(modes(0.03, 9)[8], Mode::NoRoutes, "there is no less");
        assert_eq!(
            modes(0.015, 50)[49],
            Mode::NoRoutes,
            "within it, but without room"
        );
        assert_eq!(modes(0.001, 5)[4], Mode::NoRoutes);
        assert_eq!(modes(0.001, 1), [Mode::NoSources]);
        assert_eq!(modes(0.001, 6)[5], Mode::Full);
    }

    #[test]
    fn a_step_that_was_taken_back_is_tried_less_and_less_often() {
        let mut judge = Judge::default();
        let mut waits = Vec::new();
        for _ in 0..6 {
            while judge.mode == Mode::Full {
                judge.judge(0.03, 0.02);
            }
            let mut looks = 0;
            while judge.mode != Mode::Full {
                judge.judge(0.01, 0.02);
                looks += 1;
            }
            waits.push(looks);
        }
        assert_eq!(waits, [6, 12, 24, 48, 96, 96]);
    }
}
