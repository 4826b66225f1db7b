//! XDP rate limiter. In: frames, and the rules user space wrote. Out: pass or drop, and counts.
//!
//! Passing is the answer to every doubt: no rule, no lease, panic, a frame that cannot be read, a
//! bucket others keep changing. A drop needs a live lease, a rule before its deadline, a packet
//! that costs the service something, an empty bucket, and no entry on the allow list.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod program {
    use core::{arch::asm, ffi::c_void, ptr};

    use aya_ebpf::{
        bindings::xdp_action::{XDP_DROP, XDP_PASS},
        helpers::{bpf_ktime_get_boot_ns, generated::bpf_map_lookup_elem},
        macros::{map, xdp},
        maps::{Array, LpmTrie, PerCpuArray},
        programs::XdpContext,
    };
    use probes_ebpf::{
        is_plain,
        limit::{
            frame::Packet,
            packet::{Segment, Source, Unread, parse},
            rate::{Rate, cells, is_later, ticks},
        },
        limit_wire::{
            ALLOWED_MAX, Hits, LEASE_MAX_NANOSECONDS, PORT_WORDS, PORTS_MAX, PortWord, RULES_MAX, Rule,
            SOURCE_CELLS, SOURCES_MAX, SourceKey, control, count,
        },
    };

    #[map]
    static CONTROL: Array<u64> = Array::with_max_entries(control::WORDS, 0);
    #[map]
    static PORT_WORD: Array<PortWord> = Array::with_max_entries(PORT_WORDS, 0);
    /// To the element of `RULES`. A hash for exact addresses beside it was measured: 30 ns less with
    /// 1024 rules, 10 ns more with one.
    #[map]
    static SOURCES: LpmTrie<[u8; 20], u32> = LpmTrie::with_max_entries(SOURCES_MAX, 0);
    #[map]
    static RULES: Array<Rule> = Array::with_max_entries(RULES_MAX, 0);
    /// The bucket of the rule of the same index.
    #[map]
    static BUCKETS: Array<u64> = Array::with_max_entries(RULES_MAX, 0);
    /// Buckets of the sources of rules over every source, two rows by hash. Nothing is ever
    /// inserted or evicted: a flood of forged sources costs no more than one source does.
    #[map]
    static SOURCE_BUCKETS: Array<u64> = Array::with_max_entries(2 * SOURCE_CELLS, 0);
    #[map]
    static HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(RULES_MAX, 0);
    #[map]
    static PORT_HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(PORTS_MAX, 0);
    /// Port of each element of `PORT_HITS`; 0: free. Read by user space alone.
    #[map]
    static PORT_NUMBERS: Array<u32> = Array::with_max_entries(PORTS_MAX, 0);
    #[map]
    static ALLOWED: LpmTrie<[u8; 20], u32> = LpmTrie::with_max_entries(ALLOWED_MAX, 0);
    #[map]
    static COUNTS: PerCpuArray<u64> = PerCpuArray::with_max_entries(count::KINDS, 0);

    /// Attempts at a bucket that others change at the same time; then the packet passes, counted.
    const ATTEMPTS: u32 = 3;

    enum Decision {
        Under,
        Over,
        Contended,
    }

    /// Before Linux 5.18 no program may be asked for that takes packets in fragments.
    #[xdp]
    pub fn limit_linear(context: XdpContext) -> u32 {
        limited(&context)
    }

    #[xdp(frags)]
    pub fn limit(context: XdpContext) -> u32 {
        limited(&context)
    }

    #[inline(always)]
    fn limited(context: &XdpContext) -> u32 {
        if word(control::RULES) == 0 || word(control::PANIC) != 0 {
            return XDP_PASS;
        }
        match parse(&Packet {
            start: context.data(),
            end: context.data_end(),
        }) {
            Ok(segment) => judge(&segment),
            Err(unread) => {
                match unread {
                    Unread::Other => {}
                    Unread::Truncated => bump(count::TRUNCATED),
                    Unread::Malformed => bump(count::MALFORMED),
                    Unread::TooManyExtensions => bump(count::TOO_MANY_EXTENSIONS),
                    Unread::LaterFragment => bump(count::LATER_FRAGMENT),
                }
                XDP_PASS
            }
        }
    }

    #[inline(always)]
    fn judge(segment: &Segment) -> u32 {
        let Some(ports) = PORT_WORD.get(u32::from(segment.port >> 6)) else {
            return XDP_PASS;
        };
        let bit = 1_u64 << (segment.port & 63);
        if ports.limited & bit == 0 || !segment.charged {
            return XDP_PASS;
        }
        // Before the clock is read, which costs three times as much: most packets of a limited
        // port come from sources without a rule.
        let key = SourceKey {
            prefix_length: SourceKey::HEAD_BITS + 128,
            port: segment.port.to_be_bytes(),
            family: segment.source.family,
            zero: 0,
            address: address_bytes(&segment.source),
        };
        let Some(slot) = find(&SOURCES, &key) else {
            return XDP_PASS;
        };
        let Some(rule) = RULES.get(slot) else {
            return XDP_PASS;
        };
        // SAFETY: the helper takes no arguments and reads a clock.
        let now = unsafe { bpf_ktime_get_boot_ns() };
        let lease = word(control::LEASE).wrapping_sub(now);
        if lease == 0 || lease > LEASE_MAX_NANOSECONDS {
            return XDP_PASS;
        }
        if now >= rule.deadline || rule.increment == 0 {
            return XDP_PASS;
        }
        let rate = Rate {
            increment: rule.increment,
            tolerance: rule.tolerance,
        }
        .floored();
        let decision = if rule.per_source == 0 {
            one_bucket(slot, ticks(now), rate)
        } else {
            bucket_of_source(rule.generation, &segment.source, ticks(now), rate)
        };
        match decision {
            Decision::Under => {
                hit(&HITS, slot, |hits| hits.passed += 1);
                hit(&PORT_HITS, rule.port_slot, |hits| hits.passed += 1);
                XDP_PASS
            }
            Decision::Contended => {
                bump(count::CONTENDED);
                XDP_PASS
            }
            Decision::Over if ports.allowed & bit != 0 || is_allowed(key) => {
                bump(count::SPARED);
                XDP_PASS
            }
            Decision::Over => {
                hit(&HITS, slot, |hits| hits.dropped += 1);
                hit(&PORT_HITS, rule.port_slot, |hits| hits.dropped += 1);
                XDP_DROP
            }
        }
    }

    #[inline(always)]
    fn one_bucket(slot: u32, now: u64, rate: Rate) -> Decision {
        let Some(bucket) = BUCKETS.get_ptr_mut(slot) else {
            return Decision::Contended;
        };
        for _ in 0..ATTEMPTS {
            let due = load(bucket);
            let Some(next) = rate.admit(due, now) else {
                return Decision::Over;
            };
            if compare_exchange(bucket, due, next) == due {
                return Decision::Under;
            }
        }
        Decision::Contended
    }

    /// The earlier of the source's two cells is the closer to the truth, as a neighbour in the
    /// table can only push a cell ahead. It decides, and the other one is raised to it.
    #[inline(always)]
    fn bucket_of_source(generation: u32, source: &Source, now: u64, rate: Rate) -> Decision {
        let mut address = source.address;
        if source.family == 6 {
            // A /64 is one customer: its other 64 bits cost an attacker nothing.
            address[2] = 0;
            address[3] = 0;
        }
        let (first, second) = cells(word(control::SEED), generation, address, SOURCE_CELLS);
        let Some(first) = SOURCE_BUCKETS.get_ptr_mut(first) else {
            return Decision::Contended;
        };
        let Some(second) = SOURCE_BUCKETS.get_ptr_mut(second) else {
            return Decision::Contended;
        };
        for _ in 0..ATTEMPTS {
            let (due_first, due_second) = (load(first), load(second));
            let (bucket, due, other, other_due) = if is_later(due_first, due_second) {
                (second, due_second, first, due_first)
            } else {
                (first, due_first, second, due_second)
            };
            let Some(next) = rate.admit(due, now) else {
                return Decision::Over;
            };
            if compare_exchange(bucket, due, next) == due {
                if is_later(next, other_due) {
                    compare_exchange(other, other_due, next);
                }
                return Decision::Under;
            }
        }
        Decision::Contended
    }

    #[inline(always)]
    fn is_allowed(mut key: SourceKey) -> bool {
        key.port = [0, 0];
        find(&ALLOWED, &key).is_some()
    }

    /// `LpmTrie::get` takes a packed key, which is read byte by byte.
    #[inline(always)]
    fn find(trie: &'static LpmTrie<[u8; 20], u32>, key: &SourceKey) -> Option<u32> {
        // SAFETY: the key has the trie's key size; an element of an LPM trie lives until the end
        // of the program, and its value is a u32.
        unsafe {
            let found = bpf_map_lookup_elem(
                ptr::from_ref(trie).cast_mut().cast::<c_void>(),
                ptr::from_ref(key).cast::<c_void>(),
            );
            if found.is_null() {
                None
            } else {
                Some(*found.cast::<u32>())
            }
        }
    }

    #[inline(always)]
    fn address_bytes(source: &Source) -> [u8; 16] {
        // SAFETY: four words are sixteen bytes, in memory order on both sides.
        unsafe { core::mem::transmute(source.address) }
    }

    #[inline(always)]
    fn word(index: u32) -> u64 {
        CONTROL.get_ptr(index).map_or(0, |word| load(word.cast_mut()))
    }

    #[inline(always)]
    fn bump(kind: u32) {
        if let Some(counter) = COUNTS.get_ptr_mut(kind) {
            // SAFETY: this processor's element, and XDP programs do not nest.
            unsafe { *counter += 1 };
        }
    }

    #[inline(always)]
    fn hit(hits: &'static PerCpuArray<Hits>, index: u32, change: impl FnOnce(&mut Hits)) {
        if let Some(hits) = hits.get_ptr_mut(index) {
            // SAFETY: this processor's element, and XDP programs do not nest.
            change(unsafe { &mut *hits });
        }
    }

    #[inline(always)]
    fn load(cell: *mut u64) -> u64 {
        // SAFETY: an aligned element of an array map.
        unsafe { ptr::read_volatile(cell) }
    }

    /// `core::sync::atomic` has no read-modify-write for BPF. Returns what the cell held.
    #[inline(always)]
    fn compare_exchange(cell: *mut u64, expected: u64, new: u64) -> u64 {
        if is_plain(env!("CARGO_BIN_NAME")) {
            // Linux before 5.12: packets that race for a bucket may pass for the price of one.
            // SAFETY: as below.
            return unsafe {
                let held = ptr::read_volatile(cell);
                if held == expected {
                    ptr::write_volatile(cell, new);
                }
                held
            };
        }
        let mut held = expected;
        // SAFETY: an aligned element of an array map; the instruction compares with r0 and leaves
        // the old value there.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({cell} + 0, r0, {new})",
                cell = in(reg) cell,
                new = in(reg) new,
                inout("r0") held,
            );
        }
        held
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
