//! Walks along HTTP/2 without sockets: what tests hold the host's build of `http2::walk` against, a packet at a
//! time (`BPF_PROG_TEST_RUN`). Never attached.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[path = "edge/exchange.rs"]
#[expect(dead_code, reason = "as `edge` has it")]
mod exchange;
#[cfg(target_arch = "bpf")]
#[path = "edge/http2_slots.rs"]
mod http2_slots;
#[cfg(target_arch = "bpf")]
#[path = "edge/http2_trailers.rs"]
mod http2_trailers;

#[cfg(target_arch = "bpf")]
mod program {
    use core::ffi::c_void;

    use aya_ebpf::{
        bindings::{__sk_buff, TC_ACT_OK, TC_ACT_SHOT},
        helpers::{bpf_loop, generated::bpf_skb_load_bytes},
        macros::{classifier, map},
        maps::Array,
        programs::TcContext,
    };
    use probes_ebpf::{
        http2::walk::{Bytes, STEPS, Span},
        replay::http2::{self as replay, Case, OFFSET},
    };

    use crate::{
        http2_slots::{bounded, copy, edge_early_forget, edge_early_next, edge_early_place, extent, fill},
        http2_trailers::edge_begins_trailers,
    };

    /// The test writes it before each packet, and reads it after.
    #[map]
    static CASE: Array<Case> = Array::with_max_entries(1, 0);

    #[repr(C)]
    struct Packet {
        skb: *mut __sk_buff,
    }

    impl Bytes for Packet {
        #[inline(always)]
        fn head(&mut self, offset: u32) -> Option<[u8; 12]> {
            let mut head = [0u8; 12];
            // SAFETY: twelve bytes into twelve bytes.
            let rc = unsafe { bpf_skb_load_bytes(self.skb.cast(), offset, head.as_mut_ptr().cast(), 12) };
            (rc == 0).then_some(head)
        }

        #[inline(always)]
        fn read<const N: usize>(&mut self, source: u8, offset: u32) -> [u8; N] {
            let mut bytes = [0u8; N];
            // SAFETY: N bytes into N bytes.
            unsafe { copy(self.skb, source, offset, bytes.as_mut_ptr().cast(), N as u32) };
            bytes
        }

        #[inline(always)]
        fn begins_trailers(&mut self, offset: u32) -> bool {
            edge_begins_trailers(self.skb, offset) != 0
        }

        #[inline(always)]
        fn early_place(&mut self, owner: u64, seq: u32, length: u32, has: u8) -> u64 {
            edge_early_place(owner, seq, length, u32::from(has))
        }

        #[inline(always)]
        fn early_fill(&mut self, slot: u32, from: u32, span: &Span) -> bool {
            fill(self.skb, slot, from, span)
        }

        #[inline(always)]
        fn early_next(&mut self, owner: u64, next: u32) -> u64 {
            edge_early_next(owner, next)
        }

        #[inline(always)]
        fn early_extent(&mut self, slot: u32) -> Option<(u32, u32)> {
            extent(slot)
        }

        #[inline(always)]
        fn early_forget(&mut self, owner: u64) -> u32 {
            edge_early_forget(owner)
        }
    }

    impl replay::Packet for Packet {
        #[inline(always)]
        fn first(&mut self) -> Option<[u8; 4]> {
            let mut first = [0u8; 4];
            // SAFETY: four bytes into four bytes.
            let rc = unsafe { bpf_skb_load_bytes(self.skb.cast(), OFFSET, first.as_mut_ptr().cast(), 4) };
            (rc == 0).then_some(first)
        }

        #[inline(always)]
        fn copy<const N: usize>(&mut self, source: u8, offset: u32, to: &mut [u8; N], length: u32) {
            // SAFETY: at most N bytes into N bytes.
            unsafe {
                copy(
                    self.skb,
                    source,
                    offset,
                    to.as_mut_ptr().cast(),
                    bounded::<N>(length),
                );
            }
        }
    }

    #[classifier]
    pub fn replay_segment(context: TcContext) -> i32 {
        let mut packet = Packet { skb: context.skb.skb };
        // SAFETY: the program's own context.
        let payload = unsafe { (*packet.skb).len }.saturating_sub(OFFSET);
        let Some(case) = case() else {
            return TC_ACT_SHOT as i32;
        };
        if replay::arrive(case, &mut packet, payload) {
            // SAFETY: the callback takes an index and the context given here, which outlives the call.
            unsafe { bpf_loop(STEPS, step as *mut c_void, (&raw mut packet).cast(), 0) };
            replay::leave(case, &mut packet);
        }
        TC_ACT_OK as i32
    }

    /// Not mangled would make it global, and a callback must not be.
    extern "C" fn step(_: u64, packet: *mut Packet) -> i64 {
        let Some(case) = case() else {
            return 1;
        };
        // SAFETY: the context `replay_segment` passed.
        i64::from(!replay::step(case, unsafe { &mut *packet }))
    }

    #[inline(always)]
    fn case() -> Option<&'static mut Case> {
        // SAFETY: the test waits for the packet.
        unsafe { CASE.get_ptr_mut(0)?.as_mut() }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
