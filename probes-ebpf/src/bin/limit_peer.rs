//! Programs that tests and benches put beside the limiter. Never attached by slowburn.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
        helpers::bpf_get_prandom_u32,
        macros::{map, xdp},
        maps::{Array, ProgramArray},
        programs::XdpContext,
    };
    use probes_ebpf::{
        limit::{frame::Packet, packet::parse},
        limit_wire::ParsedRecord,
    };

    #[map]
    static PARSED: Array<ParsedRecord> = Array::with_max_entries(1, 0);

    /// Bits of the source address that `random_source` draws anew for each packet.
    #[map]
    static SOURCE_MASK: Array<u32> = Array::with_max_entries(1, 0);
    /// Where `random_source` goes on to.
    #[map]
    static NEXT: ProgramArray = ProgramArray::with_max_entries(1, 0);

    #[xdp]
    pub fn bare_pass(_: XdpContext) -> u32 {
        XDP_PASS
    }

    #[xdp]
    pub fn bare_drop(_: XdpContext) -> u32 {
        XDP_DROP
    }

    /// Has fragments, as the limiter: a program array holds one kind.
    #[xdp(frags)]
    pub fn next_pass(_: XdpContext) -> u32 {
        XDP_PASS
    }

    /// Gives an IPv4 packet without tags a source in 10.0.0.0/8, so that one frame run many times
    /// comes from many.
    #[xdp(frags)]
    pub fn random_source(context: XdpContext) -> u32 {
        let address = context.data() + 26;
        if address + 4 > context.data_end() {
            return XDP_ABORTED;
        }
        let Some(mask) = SOURCE_MASK.get(0) else {
            return XDP_ABORTED;
        };
        // SAFETY: the helper takes no arguments; the four bytes were checked.
        unsafe {
            let source = 0x0a00_0000 | bpf_get_prandom_u32() & *mask;
            *(address as *mut u32) = source.to_be();
            // Comes back only if there is nothing to go on to.
            let _ = NEXT.tail_call(&context, 0);
        }
        XDP_ABORTED
    }

    /// The limiter's parser alone.
    #[xdp]
    pub fn parse_only(context: XdpContext) -> u32 {
        let Some(record) = PARSED.get_ptr_mut(0) else {
            return XDP_DROP;
        };
        let parsed = ParsedRecord::from(parse(&Packet {
            start: context.data(),
            end: context.data_end(),
        }));
        // SAFETY: an element of an array map; tests run one packet at a time.
        unsafe { *record = parsed };
        XDP_PASS
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
