//! HTTP/1 as far as counting needs it: methods, status lines, where a request ends, its route.

use aya_ebpf::helpers::generated::{bpf_map_lookup_elem, bpf_skb_load_bytes};
use probes_ebpf::wire::{ROUTE_OTHER, ROUTE_TEXT, Settings, flag, loss, mode};

use crate::{
    body::{self, End},
    count::{lose, mode},
    maps::{ROUTES, SETTINGS},
    segment::Segment,
};

/// `HTTP/1.` in the first seven bytes of a word.
pub const HTTP_1: u64 = u64::from_be_bytes(*b"\0HTTP/1.");

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    None,
    /// Without a body.
    Bare,
    WithBody,
    /// The preface of HTTP/2.
    Http2,
}

#[inline(always)]
pub fn method(word: u64) -> Method {
    const GET: u64 = u64::from_be_bytes(*b"\0\0\0\0GET ");
    const PUT: u64 = u64::from_be_bytes(*b"\0\0\0\0PUT ");
    const PRI: u64 = u64::from_be_bytes(*b"\0\0\0\0PRI ");
    const POST: u64 = u64::from_be_bytes(*b"\0\0\0POST ");
    const HEAD: u64 = u64::from_be_bytes(*b"\0\0\0HEAD ");
    const PATCH: u64 = u64::from_be_bytes(*b"\0\0PATCH ");
    const TRACE: u64 = u64::from_be_bytes(*b"\0\0TRACE ");
    const DELETE: u64 = u64::from_be_bytes(*b"\0DELETE ");
    const OPTIONS: u64 = u64::from_be_bytes(*b"OPTIONS ");
    const CONNECT: u64 = u64::from_be_bytes(*b"CONNECT ");
    if word >> 32 == GET {
        Method::Bare
    } else if word >> 24 == POST || word >> 32 == PUT || word >> 16 == PATCH {
        Method::WithBody
    } else if word >> 24 == HEAD
        || word >> 16 == TRACE
        || word >> 8 == DELETE
        || word == OPTIONS
        || word == CONNECT
    {
        Method::Bare
    } else if word >> 32 == PRI {
        Method::Http2
    } else {
        Method::None
    }
}

/// The sequence number after the request, and the flags that say what is known of it.
#[inline(always)]
pub fn bounds(segment: &Segment, method: Method) -> (u32, u8) {
    if method != Method::WithBody {
        return (0, flag::COMPLETE);
    }
    let last = segment.seq.wrapping_add(segment.payload);
    match body::find_end(segment.skb.cast(), segment.offset, segment.payload) {
        End::After(length) => {
            let request_end = segment.seq.wrapping_add(length);
            let complete = (last.wrapping_sub(request_end) as i32) >= 0;
            (
                request_end,
                flag::END_KNOWN | if complete { flag::COMPLETE } else { 0 },
            )
        }
        End::Chunked => {
            let complete = body::ends_chunked(segment.skb.cast(), segment.offset + segment.payload);
            (0, if complete { flag::COMPLETE } else { 0 })
        }
        End::Unknown => (0, flag::COMPLETE),
    }
}

/// 0 when there is none.
#[inline(always)]
pub fn status_of(head: &[u8; 12]) -> u16 {
    let (a, b, c) = (
        head[9].wrapping_sub(b'0'),
        head[10].wrapping_sub(b'0'),
        head[11].wrapping_sub(b'0'),
    );
    if head[8] != b' ' || a < 1 || a > 9 || b > 9 || c > 9 {
        return 0;
    }
    u16::from(a) * 100 + u16::from(b) * 10 + u16::from(c)
}

/// A key of the prefix trie; its data is `RouteText`.
#[repr(C, align(8))]
struct RouteKey {
    prefix: u32,
    settings: u32,
    text: [u64; ROUTE_TEXT.div_ceil(8)],
}

/// The route of the request that this segment begins.
#[inline(always)]
pub fn route(segment: &Segment, settings: u32) -> u16 {
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
    let mut key = RouteKey {
        prefix: (4 + ROUTE_TEXT as u32) * 8,
        settings,
        text: [0; ROUTE_TEXT.div_ceil(8)],
    };
    let mut length = segment.payload;
    if length > ROUTE_TEXT as u32 {
        length = ROUTE_TEXT as u32;
    }
    // Keeps the lower bound of 1 visible to the verifier; 60 fits into the mask.
    let length = ((length.wrapping_sub(1)) & 63) + 1;
    // SAFETY: at most 64 bytes into 64.
    let found = unsafe {
        if bpf_skb_load_bytes(
            segment.skb.cast(),
            segment.offset,
            (&raw mut key.text).cast(),
            length,
        ) != 0
        {
            return ROUTE_OTHER;
        }
        bpf_map_lookup_elem((&raw const ROUTES).cast_mut().cast(), (&raw const key).cast())
    };
    if found.is_null() {
        return ROUTE_OTHER;
    }
    // SAFETY: a live map value.
    unsafe { *found.cast::<u32>() as u16 }
}
