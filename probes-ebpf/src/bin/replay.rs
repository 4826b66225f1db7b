//! Conversations without sockets: what tests hold the host's build of `conversation` against, a packet at a
//! time (`BPF_PROG_TEST_RUN`). Never attached.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[path = "edge/reading.rs"]
#[expect(dead_code, reason = "as `edge` has it")]
mod reading;

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::{__sk_buff, TC_ACT_OK, TC_ACT_SHOT},
        macros::{classifier, map},
        maps::Array,
        programs::TcContext,
    };
    use probes_ebpf::{
        conversation::{ANSWER_PARTS, Bytes, REQUEST_PARTS, Scratch, all_parts},
        replay::{self, Case},
    };

    use crate::reading::{self, edge_end_of_head, edge_read_chunks, edge_read_head};

    /// The test writes it before each packet, and reads it after.
    #[map]
    static CASE: Array<Case> = Array::with_max_entries(1, 0);

    /// What a packet needs in front of its payload to be one.
    const ETHERNET: u32 = 14;

    struct Packet {
        skb: *mut __sk_buff,
        payload: u32,
    }

    impl Packet {
        #[inline(always)]
        fn of(skb: *mut __sk_buff) -> Self {
            // SAFETY: the program's own context.
            let length = unsafe { (*skb).len };
            Self {
                skb,
                payload: length.saturating_sub(ETHERNET),
            }
        }
    }

    impl Bytes for Packet {
        #[inline(always)]
        fn load(&mut self, scratch: &mut Scratch, offset: u32) -> u32 {
            let rest = self.payload.wrapping_sub(offset);
            reading::load(self.skb, ETHERNET + offset, rest, scratch)
        }

        #[inline(always)]
        fn bytes<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
            reading::bytes(self.skb, ETHERNET + offset)
        }

        #[inline(always)]
        fn end_of_head(&mut self, _: &mut Scratch, to: u32) -> u32 {
            edge_end_of_head(0, to)
        }

        #[inline(always)]
        fn read_head(&mut self, _: &mut Scratch, from: u32, to: u32) -> u32 {
            edge_read_head(0, from, to)
        }

        #[inline(always)]
        fn read_chunks(&mut self, _: &mut Scratch, to: u32) -> u32 {
            edge_read_chunks(0, to)
        }
    }

    #[classifier]
    pub fn replay_packet(context: TcContext) -> i32 {
        let skb = context.skb.skb;
        let mut packet = Packet::of(skb);
        let (Some(case), Some(scratch)) = (case(), reading::at(0)) else {
            return TC_ACT_SHOT as i32;
        };
        let payload = packet.payload;
        if !replay::arrive(case, &mut packet, scratch, payload) {
            return TC_ACT_OK as i32;
        }
        let most = if case.asks != 0 {
            REQUEST_PARTS
        } else {
            ANSWER_PARTS
        };
        let is_followed = all_parts(most, || replay_part(skb) != 0);
        replay::leave(case, &mut packet, scratch, is_followed);
        TC_ACT_OK as i32
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    pub extern "C" fn replay_part(skb: *mut __sk_buff) -> u32 {
        let (Some(case), Some(scratch)) = (case(), reading::at(0)) else {
            return 0;
        };
        u32::from(replay::part(case, &mut Packet::of(skb), scratch))
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
