//! Trailers of HTTP/2, as far as their first bytes tell them.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use probes_ebpf::http2::begins_trailers;

/// Global, for its frame: those of the walk have no room left for it.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_begins_trailers(skb: *mut __sk_buff, offset: u32) -> u32 {
    let Some([first]) = bytes(skb, offset) else {
        return 0;
    };
    u32::from(begins_trailers(first, bytes(skb, offset + 1)))
}

#[inline(always)]
fn bytes<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: N bytes into N bytes.
    let rc = unsafe { bpf_skb_load_bytes(skb.cast(), offset, bytes.as_mut_ptr().cast(), N as u32) };
    (rc == 0).then_some(bytes)
}
