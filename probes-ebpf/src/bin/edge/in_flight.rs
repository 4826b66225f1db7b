//! Walks the sockets of the reader's network namespace: books what is overdue and what TCP says of
//! each, and tells user space what is in flight. The kernel holds the socket's lock meanwhile.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_seq_write;
use probes_ebpf::wire::{InFlight, asks};

use crate::{
    connection::{endpoint, find, is_in_flight},
    last_byte,
    request::book_overdue,
    tcp::passed,
    turns::is_doubtful,
};

/// The context is `struct bpf_iter__tcp { meta, sk_common, uid }`, and `meta` begins with `seq`.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn edge_in_flight(context: *mut c_void) -> i32 {
    // SAFETY: the verifier knows this context's layout, and checks every access.
    unsafe {
        let meta = *context.cast::<*const *mut c_void>();
        let sk = *context.cast::<*mut c_void>().add(1);
        if sk.is_null() {
            return 0;
        }
        let Some(connection) = find(sk) else { return 0 };
        let connection = &mut *connection;
        passed(connection, sk);
        if connection.asks & asks::LAST_BYTE != 0 {
            last_byte::book_overdue(sk, connection);
        }
        if !is_in_flight(connection) || is_doubtful(connection) {
            return 0;
        }
        let record = InFlight {
            overdue: u8::from(book_overdue(connection)),
            endpoint: endpoint(connection, connection.role),
            settings: connection.request_settings,
            pad: [0; 3],
        };
        bpf_seq_write(
            (*meta).cast(),
            (&raw const record).cast(),
            size_of::<InFlight>() as u32,
        );
    }
    0
}
