//! The route of a request.

use aya_ebpf::helpers::generated::bpf_map_lookup_elem;
use probes_ebpf::{
    http1::Window,
    wire::{ROUTE_OTHER, ROUTE_TEXT, Settings, loss, mode},
};

use crate::{
    count::{lose, mode},
    maps::{ROUTES, SETTINGS},
};

const WORDS: usize = ROUTE_TEXT.div_ceil(8);

/// A key of the prefix trie; its data is `RouteText`.
#[repr(C, align(8))]
struct RouteKey {
    prefix: u32,
    settings: u32,
    text: [u64; WORDS],
}

/// The route of the request whose line begins at `from`.
#[inline(always)]
pub fn route(window: &Window, from: u32, settings: u32) -> u16 {
    if settings == 0 {
        return ROUTE_OTHER;
    }
    let Some(entry) = SETTINGS.get_ptr(settings) else {
        return ROUTE_OTHER;
    };
    // SAFETY: a live map value.
    let entry: &Settings = unsafe { &*entry };
    if entry.route_count == 0 {
        return ROUTE_OTHER;
    }
    if mode() >= mode::NO_ROUTES {
        lose(loss::UNROUTED);
        return ROUTE_OTHER;
    }
    longest_prefix(window, from, settings)
}

/// Apart, as the key takes much of the stack.
#[inline(never)]
fn longest_prefix(window: &Window, from: u32, settings: u32) -> u16 {
    let mut key = RouteKey {
        prefix: (4 + ROUTE_TEXT as u32) * 8,
        settings,
        text: [0; WORDS],
    };
    let mut index = 0;
    while index < WORDS {
        // What stands behind a short request matches nothing: no route has a space behind its path.
        key.text[index] = window.word(from + index as u32 * 8).to_be();
        index += 1;
    }
    // SAFETY: a key of the trie's size.
    let found =
        unsafe { bpf_map_lookup_elem((&raw const ROUTES).cast_mut().cast(), (&raw const key).cast()) };
    if found.is_null() {
        return ROUTE_OTHER;
    }
    // SAFETY: a live map value.
    unsafe { *found.cast::<u32>() as u16 }
}
