//! Where the records of TLS are read, see `probes_ebpf::turns` for what becomes of it.
//!
//! The walks over records are global functions, which take and give plain numbers: the verifier looks at each of
//! them once, and not again on every path that leads to it.

use aya_ebpf::bindings::__sk_buff;
use probes_ebpf::{
    tls::{self, Payload},
    turns::{read_client, read_server},
};

use crate::reading::bytes;

struct Bytes {
    skb: *mut __sk_buff,
    offset: u32,
    length: u32,
}

impl Payload for Bytes {
    #[inline(always)]
    fn length(&self) -> u32 {
        self.length
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        bytes(self.skb, self.offset + at)
    }
}

/// [`tls::client_hello`], which does not ask how long the segment is: an argument that is not used must not be there.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_tls_hello(skb: *mut __sk_buff, offset: u32) -> u64 {
    let length = 0;
    tls::client_hello(&Bytes { skb, offset, length })
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_tls_client(skb: *mut __sk_buff, offset: u32, length: u32, at: u32, state: u64) -> u64 {
    read_client(&Bytes { skb, offset, length }, at, state)
}

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_tls_server(skb: *mut __sk_buff, offset: u32, length: u32, state: u64) -> u64 {
    read_server(&Bytes { skb, offset, length }, state)
}
