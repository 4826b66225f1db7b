//! The stack that each program needs, as the strictest kernel counts it.
//!
//! A verifier allows the frames of a chain of calls 512 bytes together. Newer ones round a frame up to 16 bytes, those
//! up to Linux 6.1 to 32: what loads here may not load there, and no kernel is as quick to say so as this.

#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aya::include_bytes_aligned;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionKind, SymbolKind};

const STACK: u32 = 512;
const ROUNDED_TO: u32 = 32;
/// Where a function begins: its section, and where in it.
type Place = (usize, u64);

#[derive(Default)]
struct Function {
    name: String,
    is_program: bool,
    frame: u32,
    calls: BTreeSet<Place>,
}

#[test]
fn no_chain_of_calls_needs_more_stack_than_the_strictest_kernel_allows() {
    for (name, bytes) in [
        (
            "edge",
            include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge")) as &[u8],
        ),
        (
            "edge_plain",
            include_bytes_aligned!(concat!(env!("OUT_DIR"), "/edge_plain")),
        ),
        (
            "limit",
            include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit")),
        ),
        (
            "limit_plain",
            include_bytes_aligned!(concat!(env!("OUT_DIR"), "/limit_plain")),
        ),
    ] {
        let functions = functions(bytes);
        let programs: Vec<_> = functions
            .iter()
            .filter(|(_, function)| function.is_program)
            .collect();
        assert!(!programs.is_empty(), "{name}");
        let mut most = 0;
        for (place, _) in programs {
            let (depth, chain) = deepest(&functions, *place);
            most = most.max(depth);
            assert!(depth <= STACK, "{name}: {depth} bytes by {chain:#?}");
        }
        println!("{name}: {most}");
    }
}

/// The frames of the worst chain from here on, and which those are.
fn deepest(functions: &BTreeMap<Place, Function>, place: Place) -> (u32, Vec<String>) {
    let function = &functions[&place];
    let frame = function.frame.max(1).next_multiple_of(ROUNDED_TO);
    let (below, mut chain) = function
        .calls
        .iter()
        .map(|callee| deepest(functions, *callee))
        .max()
        .unwrap_or_default();
    chain.insert(0, format!("{} {}", function.name, function.frame));
    (frame + below, chain)
}

/// Every function of an object, by its section and address.
fn functions(bytes: &[u8]) -> BTreeMap<Place, Function> {
    let file = object::File::parse(bytes).unwrap();
    let mut found = BTreeMap::new();
    for section in file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
    {
        let code = section.data().unwrap();
        let relocations: HashMap<u64, Place> = section
            .relocations()
            .filter_map(|(offset, relocation)| {
                let RelocationTarget::Symbol(symbol) = relocation.target() else {
                    return None;
                };
                let symbol = file.symbol_by_index(symbol).unwrap();
                let is_code = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Section);
                let target = symbol.section_index().filter(|_| is_code)?;
                Some((offset, (target.0, symbol.address())))
            })
            .collect();
        let symbols = file.symbols().filter(|symbol| {
            symbol.kind() == SymbolKind::Text && symbol.section_index() == Some(section.index())
        });
        for symbol in symbols {
            let (from, to) = (symbol.address(), symbol.address() + symbol.size());
            let mut function = Function {
                name: symbol.name().unwrap().to_owned(),
                is_program: section.name().unwrap() != ".text",
                ..Function::default()
            };
            let own = &code[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            read(&mut function, own, (section.index().0, from), &relocations);
            found.insert((section.index().0, from), function);
        }
    }
    let starts: BTreeSet<_> = found.keys().copied().collect();
    for function in found.values_mut() {
        // A map is no function.
        function.calls.retain(|callee| starts.contains(callee));
    }
    found
}

/// Goes through the instructions: what they touch below the frame pointer, and what they call.
fn read(function: &mut Function, code: &[u8], (section, start): Place, relocations: &HashMap<u64, Place>) {
    const FRAME_POINTER: u8 = 10;
    const PSEUDO_CALL: u8 = 1;
    let mut copies_of_frame_pointer = 0_u16;
    let mut at = start;
    for instruction in code.chunks_exact(8) {
        let [opcode, registers, low, high, immediate @ ..] = instruction else {
            unreachable!()
        };
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i16::from_le_bytes([*low, *high]);
        let immediate = i32::from_le_bytes(immediate.try_into().unwrap());
        let mut touches = |offset: i32| function.frame = function.frame.max(offset.min(0).unsigned_abs());
        match (opcode, opcode & 7) {
            (_, 1) if from == FRAME_POINTER => touches(offset.into()),
            (_, 2 | 3) if to == FRAME_POINTER => touches(offset.into()),
            (0xbf, _) if from == FRAME_POINTER => copies_of_frame_pointer |= 1 << to,
            (0x07, _) if copies_of_frame_pointer & 1 << to != 0 => {
                touches(immediate);
                copies_of_frame_pointer &= !(1 << to);
            }
            // The immediate counts from the next instruction, or from where a relocation says less one.
            (0x85, _) if from == PSEUDO_CALL => {
                let (section, base) = relocations.get(&at).copied().unwrap_or((section, at));
                let is_named = base != 0 && relocations.contains_key(&at);
                let ahead = if is_named {
                    0
                } else {
                    (i64::from(immediate) + 1) * 8
                };
                function.calls.insert((section, base.wrapping_add_signed(ahead)));
            }
            // The address of a callback.
            (0x18, _) => {
                if let Some((section, base)) = relocations.get(&at) {
                    let place = base.wrapping_add_signed(immediate.into());
                    function.calls.insert((*section, place));
                }
            }
            _ => {}
        }
        at += 8;
    }
}
