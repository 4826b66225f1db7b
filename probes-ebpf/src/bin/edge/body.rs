//! Where a request with a body ends: a client that uploads slowly is not a server that hangs.

use core::ffi::c_void;

use aya_ebpf::{
    helpers::{bpf_loop, generated::bpf_skb_load_bytes},
    macros::map,
    maps::PerCpuArray,
};

/// How much of a request's first segment is searched for its end.
const WINDOW: u32 = 1024;

#[map]
static WINDOW_BYTES: PerCpuArray<[u8; WINDOW as usize]> = PerCpuArray::with_max_entries(1, 0);

pub enum End {
    /// The request is this many bytes long, header and body.
    After(u32),
    /// Chunked: its last segment tells.
    Chunked,
    /// The header does not end within the window.
    Unknown,
}

#[repr(C)]
struct Scan {
    bytes: *const u8,
    length: u32,
    phase: u32,
    /// The last sixteen bytes read, in lower case.
    low: u64,
    high: u64,
    content_length: u32,
    header_length: u32,
    is_chunked: u32,
    pad: u32,
}

const SEEKING: u32 = 0;
const IN_NUMBER: u32 = 1;

const DASH_LENGTH: u64 = u64::from_be_bytes(*b"-length:");
const CONTENT: u64 = u64::from_be_bytes(*b"\0content");
const NCODING: u64 = u64::from_be_bytes(*b"ncoding:");
const TRANSFER_E: u64 = u64::from_be_bytes(*b"ansfer-e");
/// As lower-casing leaves it: bit 5 is set in every byte.
const END_OF_HEADER: u32 = u32::from_be_bytes([b'\r' | 32, b'\n' | 32, b'\r' | 32, b'\n' | 32]);

#[inline(always)]
pub fn find_end(skb: *mut c_void, offset: u32, payload: u32) -> End {
    let Some(bytes) = WINDOW_BYTES.get_ptr_mut(0) else {
        return End::Unknown;
    };
    let length = if payload < WINDOW { payload } else { WINDOW };
    // Keeps the bounds 1 and WINDOW visible to the verifier.
    let length = (length.wrapping_sub(1) & (WINDOW - 1)) + 1;
    // SAFETY: `length` is at most the size of the element.
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.cast(), length) } != 0 {
        return End::Unknown;
    }
    let mut scan = Scan {
        bytes: bytes.cast_const().cast(),
        length,
        phase: SEEKING,
        low: 0,
        high: 0,
        content_length: 0,
        header_length: 0,
        is_chunked: 0,
        pad: 0,
    };
    // SAFETY: the callback takes an index and the context given here, which outlives the call.
    unsafe { bpf_loop(WINDOW, step as *mut c_void, (&raw mut scan).cast(), 0) };
    if scan.header_length == 0 {
        End::Unknown
    } else if scan.is_chunked != 0 {
        End::Chunked
    } else {
        End::After(scan.header_length.wrapping_add(scan.content_length))
    }
}

/// Whether the segment ends as a chunked body does.
#[inline(always)]
pub fn ends_chunked(skb: *mut c_void, end: u32) -> bool {
    let mut tail = [0u8; 5];
    // SAFETY: five bytes into five bytes.
    let rc = unsafe { bpf_skb_load_bytes(skb.cast(), end - 5, tail.as_mut_ptr().cast(), 5) };
    rc == 0 && tail[0] == b'0' && tail[1] == b'\r' && tail[2] == b'\n' && tail[3] == b'\r' && tail[4] == b'\n'
}

/// Not mangled would make it global, and a callback must not be.
extern "C" fn step(index: u64, scan: *mut Scan) -> i64 {
    // SAFETY: `scan` is the context `find_end` passed, and the index is masked to the element.
    let scan = unsafe { &mut *scan };
    if index >= u64::from(scan.length) {
        return 1;
    }
    let byte = unsafe { *scan.bytes.add(index as usize & (WINDOW as usize - 1)) };
    if scan.phase == IN_NUMBER {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            scan.content_length = scan
                .content_length
                .wrapping_mul(10)
                .wrapping_add(u32::from(digit));
        } else if byte != b' ' {
            scan.phase = SEEKING;
        }
    }
    scan.high = (scan.high << 8) | (scan.low >> 56);
    scan.low = (scan.low << 8) | u64::from(byte | 32);
    if byte == b'\n' && scan.low as u32 == END_OF_HEADER {
        scan.header_length = index as u32 + 1;
        return 1;
    }
    if byte == b':' {
        if scan.low == DASH_LENGTH && scan.high & 0x00ff_ffff_ffff_ffff == CONTENT {
            scan.phase = IN_NUMBER;
            scan.content_length = 0;
        }
        if scan.low == NCODING && scan.high == TRANSFER_E {
            scan.is_chunked = 1;
        }
    }
    0
}
