//! Programs that tests and benches put beside the limiter. Never attached by slowburn.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::xdp_action::{XDP_DROP, XDP_PASS},
        macros::{map, xdp},
        maps::Array,
        programs::XdpContext,
    };
    use probes_ebpf::{
        limit::{frame::Packet, packet::parse},
        limit_wire::ParsedRecord,
    };

    #[map]
    static PARSED: Array<ParsedRecord> = Array::with_max_entries(1, 0);

    #[xdp]
    pub fn bare_pass(_: XdpContext) -> u32 {
        XDP_PASS
    }

    #[xdp]
    pub fn bare_drop(_: XdpContext) -> u32 {
        XDP_DROP
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
