//! A connection of HTTP/2 as the kernel walks along it: of what it is told user space can make what a plain reader
//! makes of both streams, however their segments are cut and in whichever order they come; and each request that
//! began is told or counted as unknown, and none is both.

mod host;
mod made;
mod plan;
mod told;

pub use host::Walk;
pub use made::{Random, frame, made};
pub use plan::{DIVIDER, FIRST, Plan, Segment, fate};
use probes_ebpf::{
    http2::PREFACE,
    http2_wire::{event as http2_event, mode, part},
    replay::http2::{Entry, event},
    wire::role,
};
use told::{Frames, plain};

pub fn ask(input: &[u8]) {
    let Some(plan) = Plan::read(input) else {
        return;
    };
    let mut walk = Walk::new(&plan);
    for segment in plan.segments() {
        walk.segment(&segment);
    }
    let entries: Vec<Entry> = walk.journal.iter().map(|(entry, _)| *entry).collect();
    nothing_is_told_once_it_is_lost(&entries);
    if plan.role() == role::SERVER {
        every_request_is_told_or_unknown(&entries);
    }
    if plan.is_late() {
        return;
    }
    let is_followed = walk.case.http2.mode == mode::TRACKED;
    for (asks, text) in [(true, &plan.asks[PREFACE as usize..]), (false, &plan.answers)] {
        if !asks && walk.has_missed_answers {
            continue;
        }
        let told = Frames::of(&walk.journal, asks);
        let plain = plain(text);
        assert!(told.begins(&plain), "told {told:?}\nof {plain:?}");
        if is_followed && plan.is_whole() && !told.is_given_up {
            assert!(plain.begins(&told), "told {told:?}\nof {plain:?}");
            assert_eq!(walk.case.http2.early, 0, "what came early has been walked along");
        }
    }
}

/// For each request that began one of both, before the next begins; and for nothing else, trailers among it.
fn every_request_is_told_or_unknown(entries: &[Entry]) {
    let mut begun = None;
    for entry in entries {
        let record = &entry.record;
        match entry.event {
            event::CHARGED => {
                assert_eq!(begun, None, "it is neither: {entries:#?}");
                begun = Some(entry.what);
            }
            event::UNKNOWN => assert_eq!(begun.take(), Some(entry.what), "it is both: {entries:#?}"),
            event::TOLD if record.part & part::BEGINS != 0 => {
                assert_eq!(begun.take(), Some(record.stream), "it is neither: {entries:#?}");
            }
            _ => {}
        }
    }
    assert_eq!(begun, None, "it is neither: {entries:#?}");
}

/// But that it is lost, once. Until then the records of each direction are numbered.
fn nothing_is_told_once_it_is_lost(entries: &[Entry]) {
    let (mut is_lost, mut numbers) = (false, [0; 2]);
    for entry in entries.iter().filter(|entry| entry.event == event::TOLD) {
        assert!(!is_lost, "{entry:?}");
        is_lost = entry.record.kind == http2_event::LOST;
        if !is_lost {
            let number = &mut numbers[usize::from(entry.record.direction)];
            assert_eq!(entry.record.number, *number);
            *number += 1;
        }
    }
}
