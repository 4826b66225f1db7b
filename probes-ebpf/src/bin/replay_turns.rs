//! Turns without sockets: what tests hold the host's build of `turns` against, a packet at a time
//! (`BPF_PROG_TEST_RUN`). Never attached.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[path = "edge/reading.rs"]
#[expect(dead_code, reason = "as `edge` has it")]
mod reading;
#[cfg(target_arch = "bpf")]
#[path = "edge/tls_records.rs"]
mod tls_records;

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::{__sk_buff, TC_ACT_OK, TC_ACT_SHOT},
        macros::{classifier, map},
        maps::Array,
        programs::TcContext,
    };
    use probes_ebpf::{
        opening::OPENING,
        replay::turns::{self as replay, Case, OFFSET},
        tls::Payload,
    };

    use crate::{
        reading,
        tls_records::{edge_tls_client, edge_tls_hello, edge_tls_server},
    };

    /// The test writes it before each packet, and reads it after.
    #[map]
    static CASE: Array<Case> = Array::with_max_entries(1, 0);

    struct Packet {
        skb: *mut __sk_buff,
        payload: u32,
    }

    impl Payload for Packet {
        #[inline(always)]
        fn length(&self) -> u32 {
            self.payload
        }

        #[inline(always)]
        fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
            reading::bytes(self.skb, OFFSET + at)
        }
    }

    impl replay::Packet for Packet {
        #[inline(always)]
        fn opening(&mut self, length: u32) -> Option<[u8; OPENING]> {
            reading::opening(self.skb, OFFSET, length)
        }

        #[inline(always)]
        fn read_hello(&mut self) -> u64 {
            edge_tls_hello(self.skb, OFFSET)
        }

        #[inline(always)]
        fn read_client(&mut self, at: u32, state: u64) -> u64 {
            edge_tls_client(self.skb, OFFSET, self.payload, at, state)
        }

        #[inline(always)]
        fn read_server(&mut self, state: u64) -> u64 {
            edge_tls_server(self.skb, OFFSET, self.payload, state)
        }
    }

    #[classifier]
    pub fn replay_turn(context: TcContext) -> i32 {
        let skb = context.skb.skb;
        // SAFETY: the program's own context.
        let payload = unsafe { (*skb).len }.saturating_sub(OFFSET);
        // SAFETY: the test waits for the packet.
        let Some(case) = CASE.get_ptr_mut(0).and_then(|case| unsafe { case.as_mut() }) else {
            return TC_ACT_SHOT as i32;
        };
        replay::step(case, &mut Packet { skb, payload });
        TC_ACT_OK as i32
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
