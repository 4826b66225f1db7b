//! Corrections that files state: a kind of ours, since OpenSLO has no word for time that does not count.
//!
//! In: documents of kind Correction. Out: what each leaves out, and of which objectives. Maintenance of a whole
//! service is stated for the service: all its objectives leave it out, those that come later, too.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::budgeting::time_zone;
use super::document::{Envelope, Place};
use super::metric_source::word;
use super::node::{Node, Position, Report, shorten};
use super::report::OBJECTIVE;
use crate::correction::{CorrectionKind, DATES_MAX, NewCorrection, Recurrence, RecurrenceDate};
use crate::measurement::ServiceName;
use crate::objective::{Objective, ObjectiveName};

/// Documents of this kind that one set of files may have.
pub const CORRECTIONS_MAX: usize = 200;

/// A correction of one objective, by the name of its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct DefinedCorrection {
    pub definition: String,
    pub correction: NewCorrection,
}

/// One document, before its objectives are known. A part with a mistake is `None`, and the other is still looked at.
pub(super) struct CorrectionDraft {
    name: String,
    place: Place,
    of: Option<Of>,
    what: Option<What>,
}

struct What {
    kind: CorrectionKind,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    recurrence: Option<Recurrence>,
    comment: String,
}

enum Of {
    Service(String, Position),
    Objectives(Vec<(String, Position)>),
}

pub(super) fn read(envelope: &Envelope<'_>, report: &mut Report) -> Option<CorrectionDraft> {
    let mut fields = envelope.spec(report)?;
    let service = fields.optional("service");
    let objectives = fields.optional("objectives");
    let kind = fields
        .required_such_as("kind", "kind: maintenance", report)
        .and_then(|n| word(n, "kind", CorrectionKind::ALL, report));
    let starts = fields.required_such_as("startsAt", "startsAt: 2026-11-01T01:00:00Z", report);
    let ends = fields.required_such_as("endsAt", "endsAt: 2026-11-01T03:00:00Z", report);
    let rule = fields.optional("rule");
    let zone = fields.optional("timeZone");
    let dates = Dates {
        exdate: fields.optional("exdate"),
        rdate: fields.optional("rdate"),
    };
    let comment = match fields.optional("comment") {
        Some(node) => node.text("comment", report).map(str::to_owned),
        None => Some(String::new()),
    };
    let at = fields.at();
    fields.finish(report);
    let text = |node: &Node, what, report: &mut Report| Some((node.text(what, report)?.to_owned(), node.at));
    let of = match (service, objectives) {
        (Some(service), None) => text(service, "service", report).map(|(name, at)| Of::Service(name, at)),
        (None, Some(list)) => {
            let names = list.one_or_many().iter();
            let names = names.filter_map(|n| text(n, "objectives", report));
            Some(Of::Objectives(names.collect()))
        }
        _ => {
            let hint =
                "write `service: checkout` for all its objectives, or `objectives: [checkout-latency]`";
            let message = format!("{} needs either a `service` or `objectives`", envelope.title());
            report.error(at, message, Some(hint.to_owned()));
            None
        }
    };
    let starts_at = starts.and_then(|n| time(n, "startsAt", report));
    let ends_at = ends.and_then(|n| time(n, "endsAt", report));
    let recurrence = match (rule, zone) {
        (None, None) if dates.first().is_none() => Some(None),
        (Some(rule), Some(zone)) => recurrence(rule, zone, dates, starts_at, report).map(Some),
        (rule, zone) => {
            let at = rule.or(zone).or(dates.first()).map_or(at, |only| only.at);
            let hint = "such as `rule: FREQ=WEEKLY;BYDAY=SU` with `timeZone: Europe/Berlin`".to_owned();
            let message = "what recurs needs a `rule` and the `timeZone` of its clocks";
            report.error(at, message, Some(hint));
            None
        }
    };
    let what = || {
        Some(What {
            kind: kind?,
            starts_at: starts_at?,
            ends_at: ends_at?,
            recurrence: recurrence?,
            comment: comment?,
        })
    };
    Some(CorrectionDraft {
        name: envelope.name.to_owned(),
        place: envelope.place(),
        of,
        what: what(),
    })
}

fn time(node: &Node, what: &str, report: &mut Report) -> Option<DateTime<Utc>> {
    let text = node.text(what, report)?;
    let found = DateTime::parse_from_rfc3339(text).ok();
    if found.is_none() {
        let hint = "such as `2026-11-01T02:00:00Z` or `2026-11-01T03:00:00+01:00`".to_owned();
        node.wrong(what, "a time of RFC 3339, with its offset", Some(hint), report);
    }
    found.map(|at| at.to_utc())
}

/// What a rule does not say, as it is written.
#[derive(Clone, Copy)]
struct Dates<'a> {
    exdate: Option<&'a Node>,
    rdate: Option<&'a Node>,
}

impl<'a> Dates<'a> {
    fn first(self) -> Option<&'a Node> {
        self.exdate.or(self.rdate)
    }
}

fn recurrence(
    rule: &Node,
    zone: &Node,
    dates: Dates<'_>,
    starts_at: Option<DateTime<Utc>>,
    report: &mut Report,
) -> Option<Recurrence> {
    let zone = time_zone(zone, report);
    let exdate = read_dates(dates.exdate, "exdate", report);
    let rdate = read_dates(dates.rdate, "rdate", report);
    let text = rule.text("rule", report)?;
    // Where the zone is wrong the rule is read all the same: all mistakes come at once.
    let found = Recurrence::on_clocks_of(zone.unwrap_or_default(), text);
    let found = found.map(|found| found.with_dates(dates_of(&exdate), dates_of(&rdate)));
    let found = found.map_err(|error| report.error(rule.at, format!("`rule`: {error}"), None));
    let (found, starts_at, _) = (found.ok()?, starts_at?, zone?);
    let mut fits = true;
    for (date, at) in rdate {
        if let Err(error) = found.check_added(date, starts_at) {
            let hint = "`startsAt` is the first time: state an earlier one".to_owned();
            report.error(at, format!("`rdate`: {error}"), Some(hint));
            fits = false;
        }
    }
    for (date, at) in exdate {
        if let Err(error) = found.check_left_out(date, starts_at) {
            let hint = "state a day on which it begins, or the time at which it does".to_owned();
            report.error(at, format!("`exdate`: {error}"), Some(hint));
            fits = false;
        }
    }
    if let Err(error) = found.check(starts_at) {
        report.error(rule.at, format!("`rule`: {error}"), None);
        fits = false;
    }
    fits.then_some(found)
}

fn dates_of(written: &[(RecurrenceDate, Position)]) -> Vec<RecurrenceDate> {
    written.iter().map(|(date, _)| *date).collect()
}

/// Those that can be read, each with its place.
fn read_dates(node: Option<&Node>, what: &str, report: &mut Report) -> Vec<(RecurrenceDate, Position)> {
    let dates = node.map_or(&[][..], Node::one_or_many);
    if let (Some(node), true) = (node, dates.len() > DATES_MAX) {
        node.wrong(what, &format!("at most {DATES_MAX} dates"), None, report);
    }
    dates
        .iter()
        .take(DATES_MAX)
        .filter_map(|each| Some((each.parse(what, report)?, each.at)))
        .collect()
}

/// Finds what each leaves time out of. `names` are all objectives that some document defines, and `services` what they
/// are of, mistakes in them or not.
pub(super) fn collect(
    drafts: Vec<CorrectionDraft>,
    objectives: &[Objective],
    names: &HashMap<ObjectiveName, Place>,
    services: &HashSet<ServiceName>,
    report: &mut Report,
) -> Vec<DefinedCorrection> {
    let mut found = Vec::new();
    for (index, draft) in drafts.into_iter().enumerate() {
        report.switch(&draft.place.file);
        if index == CORRECTIONS_MAX {
            let message = format!("more than {CORRECTIONS_MAX} documents of kind Correction");
            let hint = "one may be of a whole `service`, and recur by a `rule`".to_owned();
            report.error(draft.place.at, message, Some(hint));
        }
        let of: Vec<ObjectiveName> = match &draft.of {
            None => Vec::new(),
            Some(Of::Service(service, at)) => {
                let of = objectives.iter().filter(|each| each.service.as_str() == service);
                let of: Vec<_> = of.map(|each| each.name.clone()).collect();
                let is_known = services.iter().any(|known| known.as_str() == service);
                if !is_known && !report.may_be(OBJECTIVE, service) {
                    let message = format!("no objective is of a service `{}`", shorten(service));
                    let services = services.iter().map(ServiceName::as_str);
                    let hint = report
                        .nearest(service, services)
                        .map(|near| format!("did you mean `{near}`?"));
                    report.error(*at, message, hint);
                }
                of
            }
            Some(Of::Objectives(list)) => list
                .iter()
                .filter_map(|(name, at)| {
                    let known = names.keys().find(|known| known.as_str() == name);
                    if known.is_none() && !report.may_be(OBJECTIVE, name) {
                        let message = format!("no objective is named `{}`", shorten(name));
                        let known = names.keys().map(ObjectiveName::as_str);
                        let hint = report
                            .nearest(name, known)
                            .map(|near| format!("did you mean `{near}`?"));
                        report.error(*at, message, hint);
                    }
                    known.cloned()
                })
                .collect(),
        };
        let Some(what) = &draft.what else { continue };
        let of: BTreeSet<_> = of.into_iter().collect();
        for objective in of {
            let correction = NewCorrection {
                objective,
                kind: what.kind,
                starts_at: what.starts_at,
                ends_at: what.ends_at,
                recurrence: what.recurrence.clone(),
                author: format!("definition {}", draft.name),
                comment: what.comment.clone(),
            };
            // As of its own beginning: a file may state what is long over, or far ahead.
            if let Err(error) = correction.check(what.starts_at) {
                report.error(draft.place.at, format!("{error}"), None);
                break;
            }
            found.push(DefinedCorrection {
                definition: draft.name.clone(),
                correction,
            });
        }
    }
    found
}
