//! Loses TCP packets for a test, on the wire between two hosts. Never attached by slowburn.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use core::ptr;

    use aya_ebpf::{
        bindings::{TC_ACT_OK, TC_ACT_SHOT},
        macros::{classifier, map},
        maps::Array,
        programs::TcContext,
    };

    /// 0: exactly each such packet. Else which ones is drawn from this seed.
    #[unsafe(no_mangle)]
    static SEED: u64 = 2;

    /// Packets seen, packets lost, and of how many one is lost (0: none).
    #[map]
    static PACKETS: Array<u64> = Array::with_max_entries(3, 0);

    #[classifier]
    pub fn lose(context: TcContext) -> i32 {
        let is_tcp = match context.load::<u16>(12).map(u16::from_be) {
            Ok(0x0800) => context.load::<u8>(23) == Ok(6),
            Ok(0x86dd) => context.load::<u8>(20) == Ok(6),
            _ => false,
        };
        let cell = |index| PACKETS.get_ptr_mut(index);
        let (true, Some(seen), Some(lost), Some(one_in)) = (is_tcp, cell(0), cell(1), cell(2)) else {
            return TC_ACT_OK as i32;
        };
        // SAFETY: the loader may have changed the seed; the cells are live. Two CPUs at once may
        // see the same number, which loses other packets and not the test's footing.
        unsafe {
            *seen += 1;
            let (one_in, seed) = (*one_in, ptr::read_volatile(&raw const SEED));
            let drawn = if seed == 0 { *seen } else { mixed(seed ^ *seen) };
            if one_in != 0 && drawn % one_in == 0 {
                *lost += 1;
                return TC_ACT_SHOT as i32;
            }
        }
        TC_ACT_OK as i32
    }

    /// The finaliser of SplitMix64: neighbours become strangers.
    #[inline(always)]
    fn mixed(value: u64) -> u64 {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
