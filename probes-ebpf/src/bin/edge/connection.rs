//! What is known of a socket, and which settings its endpoint has.

use core::{ffi::c_void, mem, ptr};

use aya_ebpf::{
    bindings::BPF_SK_STORAGE_GET_F_CREATE,
    btf_maps::SkStorage,
    helpers::generated::{bpf_get_netns_cookie, bpf_sk_cgroup_id, bpf_sk_storage_delete, bpf_sk_storage_get},
};
pub use probes_ebpf::conversation::is_in_flight;
use probes_ebpf::wire::{CONNECTION_VERSION, Connection, Endpoint, ROUTE_NONE, birth, control, loss, role};

use crate::{
    count::{count, lose},
    maps::{CONN, CONTROL, ENDPOINTS, SETTINGS, skb_netns},
    segment::Segment,
};

/// What a map keeps of a socket.
#[inline(always)]
pub fn stored<T>(map: *const SkStorage<T>, sk: *mut c_void, create: bool) -> Option<*mut T> {
    // SAFETY: the verifier demands that `sk` is a socket; the helper answers null for none.
    let get = |flags: u32| unsafe {
        bpf_sk_storage_get(map.cast_mut().cast(), sk, ptr::null_mut(), u64::from(flags)).cast::<T>()
    };
    let mut found = get(if create { BPF_SK_STORAGE_GET_F_CREATE } else { 0 });
    if found.is_null() && create {
        // Where another CPU makes it at the same time, the kernel refuses to make a second.
        found = get(0);
        if found.is_null() {
            lose(loss::STORAGE_FULL);
        }
    }
    if found.is_null() { None } else { Some(found) }
}

/// What it keeps goes, if it keeps anything.
#[inline(always)]
pub fn forget<T>(map: *const SkStorage<T>, sk: *mut c_void) {
    // SAFETY: as above.
    unsafe { bpf_sk_storage_delete(map.cast_mut().cast(), sk) };
}

#[inline(always)]
pub fn find(sk: *mut c_void) -> Option<*mut Connection> {
    stored(&raw const CONN, sk, false)
}

/// A new record is all zeros.
#[inline(always)]
pub fn find_or_create(sk: *mut c_void) -> Option<*mut Connection> {
    let connection = stored(&raw const CONN, sk, true)?;
    // SAFETY: a live map value of this type.
    unsafe {
        if (*connection).version == 0 {
            (*connection).version = CONNECTION_VERSION;
        }
    }
    Some(connection)
}

/// Fills what the socket can tell, and looks its settings up when they may have changed.
/// `context` is the program's own, for the network namespace.
#[inline(always)]
pub fn identify(connection: &mut Connection, context: *mut c_void, sk: *mut c_void, port: u16, role: u8) {
    if connection.cgroup == 0 {
        // SAFETY: the verifier demands a socket.
        connection.cgroup = unsafe { bpf_sk_cgroup_id(sk) };
        connection.generation = 0;
    }
    if connection.netns == 0 && skb_netns() {
        // SAFETY: the program's own context.
        connection.netns = unsafe { bpf_get_netns_cookie(context) };
        connection.generation = 0;
    }
    if connection.port != port {
        connection.port = port;
        connection.generation = 0;
    }
    refresh(connection, role);
}

/// Looks the settings up again if user space has changed any since.
#[inline(always)]
pub fn refresh(connection: &mut Connection, role: u8) {
    let generation = match CONTROL.get_ptr(control::GENERATION) {
        // SAFETY: a live map value.
        Some(cell) => unsafe { ptr::read_volatile(cell) as u32 },
        None => return,
    };
    if connection.generation != generation {
        connection.settings = settings_of(endpoint(connection, role));
        connection.asks = match SETTINGS.get_ptr(connection.settings) {
            // SAFETY: a live map value; settings never change under an id.
            Some(settings) => unsafe { (*settings).asks },
            None => 0,
        };
        connection.generation = generation;
    }
}

/// The endpoint's own entry, else the port's, else the cgroup's; 0 when there is none.
#[inline(always)]
pub fn settings_of(mut key: Endpoint) -> u32 {
    let cgroup = key.cgroup;
    if let Some(naming) = ENDPOINTS.get_ptr(&key) {
        // SAFETY: a live map value; a torn read is impossible for an aligned word.
        return unsafe { (*naming).current };
    }
    key.netns = 0;
    key.cgroup = 0;
    if let Some(naming) = ENDPOINTS.get_ptr(&key) {
        // SAFETY: as above.
        return unsafe { (*naming).current };
    }
    key.cgroup = cgroup;
    key.port = 0;
    if let Some(naming) = ENDPOINTS.get_ptr(&key) {
        // SAFETY: as above.
        return unsafe { (*naming).current };
    }
    0
}

/// Whether somebody listens on this port: in this cgroup and namespace, or anywhere.
#[inline(always)]
pub fn listens(mut key: Endpoint) -> bool {
    if ENDPOINTS.get_ptr(&key).is_some() {
        return true;
    }
    key.netns = 0;
    key.cgroup = 0;
    ENDPOINTS.get_ptr(&key).is_some()
}

/// Whether the segment is of a server, as far as it is known who listens.
#[inline(always)]
pub fn serves(segment: &Segment) -> bool {
    let netns = if skb_netns() {
        // SAFETY: the program's own context.
        unsafe { bpf_get_netns_cookie(segment.skb.cast()) }
    } else {
        0
    };
    // SAFETY: the verifier demands a socket.
    let cgroup = unsafe { bpf_sk_cgroup_id(segment.sk) };
    listens(endpoint_at(netns, cgroup, segment.local_port, role::SERVER))
}

#[inline(always)]
pub fn endpoint(connection: &Connection, role: u8) -> Endpoint {
    endpoint_at(connection.netns, connection.cgroup, connection.port, role)
}

/// In three words: zeroing the padding by itself is a call of `memset`, with a frame of its own.
#[inline(always)]
pub fn endpoint_at(netns: u64, cgroup: u64, port: u16, role: u8) -> Endpoint {
    let port_and_role = u64::from(port) | u64::from(role) << 16;
    // SAFETY: the same 24 bytes, in which port, role and padding are the last word; every pattern is one.
    unsafe { mem::transmute([netns, cgroup, port_and_role.to_le()]) }
}

/// The role of a connection on which no request has been seen.
#[inline(always)]
pub fn role_of(connection: &Connection) -> u8 {
    if connection.birth == birth::OPENED {
        role::CLIENT
    } else if connection.birth == birth::ACCEPTED || connection.role == 0 {
        role::SERVER
    } else {
        connection.role
    }
}

/// Clients of services that nobody named are left alone.
#[inline(always)]
pub fn is_counted(connection: &Connection) -> bool {
    connection.settings != 0 || role_of(connection) != role::CLIENT
}

/// Counts segments and connections.
#[inline(never)]
pub fn count_tcp(connection: &Connection, what: u16, by: u64) {
    if is_counted(connection) {
        let endpoint = endpoint(connection, role_of(connection));
        count(&endpoint, connection.settings, ROUTE_NONE, what, by);
    }
}
