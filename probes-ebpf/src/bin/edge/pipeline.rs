//! Where the requests of a socket are kept that wait behind the one in flight, and how all of them end.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE, bpf_sock_ops},
    btf_maps::SkStorage,
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
};
use probes_ebpf::{
    conversation::{Pipelines, is_in_flight, take},
    wire::{Connection, Pipeline, QUEUE, asking, loss},
};

use crate::{connection, conversation::Kernel, count::lose_of, request::end};

#[btf_map]
static PIPELINE: SkStorage<Pipeline> = SkStorage::new();

#[inline(always)]
pub fn find(sk: *mut c_void) -> Option<&'static mut Pipeline> {
    storage(sk, 0)
}

#[inline(always)]
pub fn find_or_create(sk: *mut c_void, connection: &mut Connection) -> Option<&'static mut Pipeline> {
    let found = storage(sk, u64::from(BPF_SK_STORAGE_GET_F_CREATE));
    if found.is_some() {
        connection.asking |= asking::PIPELINE;
    } else {
        lose_of(connection.settings, loss::STORAGE_FULL);
    }
    found
}

#[inline(always)]
fn storage(sk: *mut c_void, flags: u64) -> Option<&'static mut Pipeline> {
    // SAFETY: the verifier demands that `sk` is a socket; a new record is all zeros, which is one.
    unsafe {
        let map = (&raw const PIPELINE).cast_mut().cast();
        bpf_sk_storage_get(map, sk, ptr::null_mut(), flags)
            .cast::<Pipeline>()
            .as_mut()
    }
}

#[inline(always)]
pub fn forget(sk: *mut c_void) {
    connection::forget(&raw const PIPELINE, sk);
}

/// A socket, as what has hung a pipeline on it.
pub struct Socket(pub *mut c_void);

impl Pipelines for Socket {
    #[inline(always)]
    fn find(&mut self) -> Option<&mut Pipeline> {
        find(self.0)
    }

    #[inline(always)]
    fn find_or_create(&mut self, connection: &mut Connection) -> Option<&mut Pipeline> {
        find_or_create(self.0, connection)
    }
}

/// Ends every request of the segment's connection: no more answers will be understood.
#[inline(always)]
pub fn abandon(skb: *mut __sk_buff, outcome: u16) {
    let mut ended = 0;
    while ended <= QUEUE && edge_end_next(skb, u32::from(outcome)) != 0 {
        ended += 1;
    }
}

/// Ends the request in flight and puts the next there; says whether there is one. Global, so that the
/// verifier looks at it once and not at every repetition.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_end_next(skb: *mut __sk_buff, outcome: u32) -> u32 {
    // SAFETY: the program's own context.
    end_next(unsafe { (*skb).__bindgen_anon_2.sk }.cast(), outcome)
}

/// As [`edge_end_next`], where a socket ends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn edge_end_next_of(ops: *mut bpf_sock_ops, outcome: u32) -> u32 {
    // SAFETY: the program's own context.
    end_next(unsafe { (*ops).__bindgen_anon_2.sk }.cast(), outcome)
}

#[inline(always)]
fn end_next(sk: *mut c_void, outcome: u32) -> u32 {
    if sk.is_null() {
        return 0;
    }
    let Some(connection) = connection::find(sk) else {
        return 0;
    };
    // SAFETY: a live map value.
    let connection = unsafe { &mut *connection };
    end(connection, outcome as u16);
    if connection.asking & asking::PIPELINE == 0 {
        return 0;
    }
    if let Some(pipeline) = find(sk) {
        take::<Kernel>(connection, pipeline);
    }
    u32::from(is_in_flight(connection))
}
