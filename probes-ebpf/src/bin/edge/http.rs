//! The route of a request.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::bpf_map_lookup_elem;
use probes_ebpf::{
    http1::{CARRY, Window},
    wire::{ROUTE_OTHER, ROUTE_TEXT, Settings, loss, mode},
};

use crate::{
    count::{lose_of, mode},
    maps::{ROUTES, SETTINGS},
    scratch::START,
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
pub fn route(window: &mut Window, from: u32, settings: u32) -> u16 {
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
        lose_of(settings, loss::UNROUTED);
        return ROUTE_OTHER;
    }
    if from == START {
        longest_prefix_here(window, settings)
    } else {
        longest_prefix(window, from, settings)
    }
}

/// Of the request line at [`START`]: the key is made in front of it, where nothing is carried over.
#[inline(always)]
fn longest_prefix_here(window: &mut Window, settings: u32) -> u16 {
    const HEAD: usize = CARRY / 8 - 1;
    let head: *mut u32 = (&raw mut window.0[HEAD]).cast();
    // SAFETY: the two words in front of the text.
    unsafe {
        head.write(PREFIX);
        head.add(1).write(settings);
    }
    look_up((&raw const window.0[HEAD]).cast())
}

const PREFIX: u32 = (4 + ROUTE_TEXT as u32) * 8;

/// Apart, as the key takes much of the stack.
#[inline(never)]
fn longest_prefix(window: &Window, from: u32, settings: u32) -> u16 {
    // Written word by word: zeroing it first is a call of `memset`, with a frame of its own.
    let mut key = MaybeUninit::<RouteKey>::uninit();
    let key = key.as_mut_ptr();
    // SAFETY: every field of the key, inside of it.
    unsafe {
        (&raw mut (*key).prefix).write(PREFIX);
        (&raw mut (*key).settings).write(settings);
    }
    let mut index = 0;
    while index < WORDS {
        // What stands behind a short request matches nothing: no route has a space behind its path.
        let word = window.word(from + index as u32 * 8).to_be();
        // SAFETY: as above.
        unsafe { (&raw mut (*key).text).cast::<u64>().add(index).write(word) };
        index += 1;
    }
    look_up(key.cast_const())
}

#[inline(always)]
fn look_up(key: *const RouteKey) -> u16 {
    // SAFETY: a key of the trie's size.
    let found = unsafe { bpf_map_lookup_elem((&raw const ROUTES).cast_mut().cast(), key.cast()) };
    if found.is_null() {
        return ROUTE_OTHER;
    }
    // SAFETY: a live map value.
    unsafe { *found.cast::<u32>() as u16 }
}
