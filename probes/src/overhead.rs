//! What the programs cost, measured while they run, and what is given up when it is too much.
//!
//! In: the kernel's run-time statistics of each program. Out: runs, time and share of one core; and, past
//! a budget, modes in which less is done: the costliest probe that can is the first to do less. The statistics cost about 65 ns a run themselves, so
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

/// What can do less by itself when it costs too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// What runs for segments: it can count no remote addresses, and then match no routes.
    Requests,
    /// What runs as applications read: it can time no reads.
    Reads,
    /// What walks the sockets: it can walk them at one read in [`FEWER_WALKS`].
    Walks,
}

/// Reads a walk, where walks are fewer.
pub const FEWER_WALKS: u64 = 5;

impl Probe {
    pub const ALL: [Self; 3] = [Self::Requests, Self::Reads, Self::Walks];

    /// As metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Reads => "reads",
            Self::Walks => "walks",
        }
    }

    fn of(program: &str) -> Option<Self> {
        match program {
            "edge_in" | "edge_out" | "edge_http2_in" | "edge_http2_out" => Some(Self::Requests),
            "edge_read" => Some(Self::Reads),
            "edge_in_flight" => Some(Self::Walks),
            _ => None,
        }
    }

    /// The mode that leaves out most.
    fn least(self) -> u64 {
        match self {
            Self::Requests => mode::NO_ROUTES,
            Self::Reads | Self::Walks => 1,
        }
    }

    /// What is missing in this mode, in plain words.
    fn missing(self, mode: u64) -> Option<&'static str> {
        match (self, mode) {
            (_, mode::FULL) => None,
            (Self::Requests, mode::NO_SOURCES) => {
                Some("remote addresses are not counted, to stay within the overhead budget")
            }
            (Self::Requests, _) => {
                Some("remote addresses and routes are not counted, to stay within the overhead budget")
            }
            (Self::Reads, _) => {
                Some("how long requests wait to be read is not timed, to stay within the overhead budget")
            }
            (Self::Walks, _) => Some(
                "requests in flight are looked at every fifth second only, to stay within the overhead budget",
            ),
        }
    }
}

/// What each probe leaves out: 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes([u64; Probe::ALL.len()]);

impl Modes {
    pub fn of(self, probe: Probe) -> u64 {
        self.0[probe as usize]
    }

    /// What is missing, a line for each probe that does less.
    pub fn missing(self) -> impl Iterator<Item = &'static str> {
        Probe::ALL
            .into_iter()
            .filter_map(move |probe| probe.missing(self.of(probe)))
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

    /// One read has come. Returns the modes when they are others from now on.
    pub fn tick(&mut self, now_ns: u64, read: impl Fn() -> Vec<ProgramStatistics>) -> Option<Modes> {
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
        let shares = self.add(&look.before, &now, elapsed);
        if self.config.watching == Watching::Always {
            self.look = Some(Look {
                since_ns: now_ns,
                before: now,
                ..look
            });
        }
        let budget = self.config.budget;
        let is_over = budget.is_some_and(|budget| shares.all > budget);
        self.rest = if is_over { 0 } else { REST };
        let before = self.judge.modes;
        let after = self.judge.judge(shares, budget?);
        (after != before).then_some(after)
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

    /// Adds what each program has done since.
    fn add(&mut self, before: &[ProgramStatistics], now: &[ProgramStatistics], elapsed_ns: u64) -> Shares {
        let mut shares = Shares::default();
        for program in now {
            let earlier = before.iter().find(|known| known.program == program.program);
            let (runs, nanoseconds) = earlier.map_or((0, 0), |known| (known.runs, known.nanoseconds));
            let cost = self.costs.entry(program.program.clone()).or_default();
            let spent = program.nanoseconds.saturating_sub(nanoseconds);
            cost.program.clone_from(&program.program);
            cost.runs += program.runs.saturating_sub(runs);
            cost.nanoseconds += spent;
            cost.share = to_f64(spent) / to_f64(elapsed_ns);
            shares.all += cost.share;
            if let Some(probe) = Probe::of(&program.program) {
                shares.of[probe as usize] += cost.share;
            }
        }
        shares
    }

    pub fn costs(&self) -> impl Iterator<Item = &ProgramCost> {
        self.costs.values()
    }

    pub fn modes(&self) -> Modes {
        self.judge.modes
    }
}

/// Of one core, lately.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    all: f64,
    of: [f64; Probe::ALL.len()],
}

/// Looks in a row that must agree before less is done, and before more is.
const OVER: u32 = 3;
const UNDER: u32 = 6;
/// More is done only while it would leave some of the budget.
const ROOM: f64 = 0.6;
/// A step up that was taken back makes the next one wait twice as long, up to this.
const UNDER_MAX: u32 = 96;

/// Decides on the modes.
#[derive(Debug)]
struct Judge {
    modes: Modes,
    /// Who stepped down, in order: who did last is the first to do more again.
    taken: Vec<Probe>,
    over: u32,
    under: u32,
    patience: u32,
    has_risen: bool,
}

impl Default for Judge {
    fn default() -> Self {
        Self {
            modes: Modes::default(),
            taken: Vec::new(),
            over: 0,
            under: 0,
            patience: UNDER,
            has_risen: false,
        }
    }
}

impl Judge {
    fn judge(&mut self, shares: Shares, budget: f64) -> Modes {
        self.over = if shares.all > budget { self.over + 1 } else { 0 };
        self.under = if shares.all < budget * ROOM {
            self.under + 1
        } else {
            0
        };
        if self.over >= OVER
            && let Some(probe) = self.costliest(shares)
        {
            if std::mem::take(&mut self.has_risen) {
                self.patience = (self.patience * 2).min(UNDER_MAX);
            }
            self.modes.0[probe as usize] += 1;
            self.taken.push(probe);
            (self.over, self.under) = (0, 0);
        } else if self.under >= self.patience
            && let Some(probe) = self.taken.pop()
        {
            self.modes.0[probe as usize] -= 1;
            self.has_risen = true;
            (self.over, self.under) = (0, 0);
        }
        self.modes
    }

    /// Of those that cost anything and can do less.
    fn costliest(&self, shares: Shares) -> Option<Probe> {
        let share = |probe: Probe| shares.of[probe as usize];
        Probe::ALL
            .into_iter()
            .filter(|probe| self.modes.of(*probe) < probe.least() && share(*probe) > 0.0)
            .max_by(|a, b| share(*a).total_cmp(&share(*b)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people and for a budget")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of it by what runs for segments.
    fn requests(share: f64) -> Shares {
        Shares {
            all: share,
            of: [share, 0.0, 0.0],
        }
    }

    #[test]
    fn less_is_done_after_some_looks_past_the_budget_and_more_only_with_room_to_spare() {
        let mut judge = Judge::default();
        let mut modes = |share: f64, looks: u32| -> Vec<u64> {
            (0..looks)
                .map(|_| judge.judge(requests(share), 0.02).of(Probe::Requests))
                .collect()
        };
        assert_eq!(modes(0.03, 2), [mode::FULL; 2]);
        assert_eq!(modes(0.01, 1), [mode::FULL], "a spike is no reason");
        assert_eq!(modes(0.03, 3)[2], mode::NO_SOURCES);
        assert_eq!(modes(0.03, 3)[2], mode::NO_ROUTES);
        assert_eq!(modes(0.03, 9)[8], mode::NO_ROUTES, "there is no less");
        assert_eq!(
            modes(0.015, 50)[49],
            mode::NO_ROUTES,
            "within it, but without room"
        );
        assert_eq!(modes(0.001, 5)[4], mode::NO_ROUTES);
        assert_eq!(modes(0.001, 1), [mode::NO_SOURCES]);
        assert_eq!(modes(0.001, 6)[5], mode::FULL);
    }

    #[test]
    fn the_costliest_that_can_does_less_and_the_last_to_do_so_does_more_first() {
        let mut judge = Judge::default();
        let mut modes = |of: [f64; 3]| -> [u64; 3] {
            let all = of.iter().sum::<f64>() + 0.001;
            let steps = if all > 0.02 { OVER } else { UNDER };
            (0..steps)
                .map(|_| judge.judge(Shares { all, of }, 0.02).0)
                .last()
                .unwrap()
        };
        assert_eq!(modes([0.01, 0.005, 0.02]), [0, 0, 1]);
        assert_eq!(modes([0.01, 0.005, 0.02]), [1, 0, 1], "walks can do no less");
        assert_eq!(modes([0.01, 0.012, 0.0]), [1, 1, 1]);
        assert_eq!(modes([0.002, 0.0, 0.0]), [1, 0, 1]);
        assert_eq!(modes([0.002, 0.0, 0.0]), [0, 0, 1]);
        assert_eq!(modes([0.002, 0.0, 0.0]), [0, 0, 0]);
        assert_eq!(modes([0.0, 0.0, 0.0]), [0, 0, 0]);
    }

    #[test]
    fn nobody_does_less_for_what_others_cost() {
        let mut judge = Judge::default();
        let shares = Shares {
            all: 0.5,
            of: [0.0; 3],
        };
        for _ in 0..50 {
            assert_eq!(judge.judge(shares, 0.02), Modes::default());
        }
    }

    #[test]
    fn a_step_that_was_taken_back_is_tried_less_and_less_often() {
        let mut judge = Judge::default();
        let mut waits = Vec::new();
        for _ in 0..6 {
            while judge.modes == Modes::default() {
                judge.judge(requests(0.03), 0.02);
            }
            let mut looks = 0;
            while judge.modes != Modes::default() {
                judge.judge(requests(0.01), 0.02);
                looks += 1;
            }
            waits.push(looks);
        }
        assert_eq!(waits, [6, 12, 24, 48, 96, 96]);
    }
}
