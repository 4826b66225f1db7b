//! Sets of ways a request can end: exact status codes, those of gRPC among them, and ends without an
//! answer.

use std::fmt;
use std::str::FromStr;

use crate::grpc;
use crate::measurement::{Signal, UnknownWord, words};

words!(
    /// An end without a status code.
    Outcome, "outcome", {
        ResetByServer => "reset_by_server",
        ClosedUnanswered => "closed_unanswered",
        TimedOut => "timed_out",
        ClientGaveUp => "client_gave_up",
        Unknown => "unknown",
        Answered => "answered",
    }
);

impl Outcome {
    /// The ends that are the server's: together spelled `unanswered`.
    pub const UNANSWERED: [Self; 3] = [Self::ResetByServer, Self::ClosedUnanswered, Self::TimedOut];

    /// The outcome a signal counts, if it counts one.
    #[must_use]
    pub fn of(signal: Signal) -> Option<Self> {
        match signal {
            Signal::ResetByServer => Some(Self::ResetByServer),
            Signal::ClosedUnanswered => Some(Self::ClosedUnanswered),
            Signal::TimedOut => Some(Self::TimedOut),
            Signal::ClientGaveUp => Some(Self::ClientGaveUp),
            Signal::Unknown => Some(Self::Unknown),
            Signal::Answered => Some(Self::Answered),
            _ => None,
        }
    }
}

/// Which ends of a request are meant. Spelled as a list: `2xx,404,unanswered`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StatusSet {
    /// Codes 100 to 599, one bit each.
    codes: [u64; 8],
    /// One bit a code of gRPC.
    grpc: u32,
    /// One bit an [`Outcome`].
    outcomes: u8,
}

impl StatusSet {
    /// 1xx to 4xx, and answers that have no status to read: a ratio without them would hold nothing but
    /// failures for a service that speaks TLS, and be at zero with the first.
    #[must_use]
    pub fn good_by_default() -> Self {
        let mut set = Self::default();
        (1..=4).for_each(|class| set.add_class(class));
        set.add_outcome(Outcome::Answered);
        set.grpc = grpc::ALL & !grpc::SERVER_ERRORS;
        set
    }

    /// Every answer, and every end that is the server's. A client that gave up and an unknown end
    /// are left out.
    #[must_use]
    pub fn all_by_default() -> Self {
        let mut set = Self::good_by_default();
        set.add_class(5);
        set.grpc = grpc::ALL;
        Outcome::UNANSWERED
            .into_iter()
            .for_each(|outcome| set.add_outcome(outcome));
        set
    }

    /// What a total is that nobody wrote, beside a `good` or a `bad` that somebody did. An answer whose
    /// status cannot be read is not bad for not being among the good.
    #[must_use]
    pub fn all_beside(part: &Self, is_good: bool) -> Self {
        let mut all = Self::all_by_default();
        if is_good && !part.has_outcome(Outcome::Answered) {
            all.outcomes &= !Self::outcome_bit(Outcome::Answered);
        }
        // Nor do codes of HTTP say which of gRPC's are meant.
        if part.grpc == 0 {
            all.grpc = 0;
        }
        all
    }

    /// Who calls every 5xx bad, and says nothing of gRPC, means the errors of its servers, too.
    #[must_use]
    pub fn with_grpc_errors(mut self) -> Self {
        let is_said = (500..600).all(|code| self.has_code(code));
        if is_said && self.grpc == 0 {
            self.grpc = grpc::SERVER_ERRORS;
        }
        self
    }

    #[must_use]
    pub fn has_code(&self, code: u16) -> bool {
        let (word, bit) = Self::place(code);
        self.codes[word] & bit != 0
    }

    #[must_use]
    pub fn has_grpc(&self, code: u8) -> bool {
        self.grpc & grpc::bit(code) != 0
    }

    #[must_use]
    pub fn has_outcome(&self, outcome: Outcome) -> bool {
        self.outcomes & Self::outcome_bit(outcome) != 0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.without(other).is_empty()
    }

    pub(crate) fn add_class(&mut self, class: u16) {
        (class * 100..(class + 1) * 100).for_each(|code| self.add_code(code));
    }

    pub(crate) fn add_code(&mut self, code: u16) {
        let (word, bit) = Self::place(code);
        self.codes[word] |= bit;
    }

    pub(crate) fn add_outcome(&mut self, outcome: Outcome) {
        self.outcomes |= Self::outcome_bit(outcome);
    }

    /// Adds what one word of a definition names: `2xx`, `404`, `unanswered`, `timed_out` ...
    pub(crate) fn add_word(&mut self, word: &str) -> Result<(), UnknownWord> {
        let unknown = || UnknownWord {
            what: "status",
            text: word.to_owned(),
        };
        match word.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => self.add_class(u16::from(class - b'0')),
            [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9'] => self.add_code(word.parse().map_err(|_| unknown())?),
            b"grpc" => self.grpc |= grpc::ALL,
            [b'g', b'r', b'p', b'c', b':', ..] => {
                self.grpc |= word
                    .strip_prefix("grpc:")
                    .and_then(grpc::bits_of)
                    .ok_or_else(unknown)?;
            }
            b"unanswered" => Outcome::UNANSWERED
                .into_iter()
                .for_each(|outcome| self.add_outcome(outcome)),
            _ => self.add_outcome(word.parse().map_err(|_| unknown())?),
        }
        Ok(())
    }

    /// The fewest words that name the set.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for class in 1..=5 {
            let codes: Vec<u16> = (class * 100..(class + 1) * 100)
                .filter(|code| self.has_code(*code))
                .collect();
            if codes.len() == 100 {
                words.push(format!("{class}xx"));
            } else {
                words.extend(codes.iter().map(ToString::to_string));
            }
        }
        words.extend(self.grpc_words());
        let unanswered = Outcome::UNANSWERED
            .iter()
            .all(|outcome| self.has_outcome(*outcome));
        if unanswered {
            words.push("unanswered".to_owned());
        }
        let rest = Outcome::ALL
            .iter()
            .filter(|outcome| !(unanswered && Outcome::UNANSWERED.contains(outcome)));
        words.extend(
            rest.filter(|outcome| self.has_outcome(**outcome))
                .map(ToString::to_string),
        );
        words
    }

    fn grpc_words(&self) -> Vec<String> {
        if self.grpc == grpc::ALL {
            return vec!["grpc".to_owned()];
        }
        let mut words = Vec::new();
        for (bits, word) in [
            (grpc::SERVER_ERRORS, "server_error"),
            (grpc::ALL & !grpc::SERVER_ERRORS, "no_server_error"),
        ] {
            if self.grpc & bits == bits {
                words.push(format!("grpc:{word}"));
                continue;
            }
            let named = grpc::codes().filter(|(code, _)| self.grpc & bits & grpc::bit(*code) != 0);
            words.extend(named.map(|(_, name)| format!("grpc:{name}")));
        }
        words
    }

    fn zip(&self, other: &Self, bits: impl Fn(u64, u64) -> u64) -> Self {
        let mut set = Self {
            codes: [0; 8],
            // A bitwise operation on fewer bits than it was made for.
            grpc: u32::try_from(bits(self.grpc.into(), other.grpc.into())).unwrap_or(0),
            outcomes: u8::try_from(bits(self.outcomes.into(), other.outcomes.into())).unwrap_or(0),
        };
        for (word, (a, b)) in set.codes.iter_mut().zip(self.codes.iter().zip(other.codes)) {
            *word = bits(*a, b);
        }
        set
    }

    /// RFC 9110 section 15: a code outside 100 to 599 is to be treated as a 5xx.
    fn place(code: u16) -> (usize, u64) {
        let index = usize::from(if (100..600).contains(&code) { code } else { 599 }) - 100;
        (index / 64, 1 << (index % 64))
    }

    fn outcome_bit(outcome: Outcome) -> u8 {
        match outcome {
            Outcome::ResetByServer => 1,
            Outcome::ClosedUnanswered => 2,
            Outcome::TimedOut => 4,
            Outcome::ClientGaveUp => 8,
            Outcome::Unknown => 16,
            Outcome::Answered => 32,
        }
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words().join(","))
    }
}

impl fmt::Debug for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatusSet({self})")
    }
}

impl FromStr for StatusSet {
    type Err = UnknownWord;

    /// The empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let mut set = Self::default();
        text.split(',')
            .filter(|word| !word.is_empty())
            .try_for_each(|word| set.add_word(word))?;
        Ok(set)
    }
}
