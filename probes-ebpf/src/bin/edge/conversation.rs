//! What a conversation asks for, at a socket in the kernel.

use probes_ebpf::{
    conversation::{Bytes, Edge, Exchange, Scratch},
    wire::{Connection, Ending, Pipeline, ROUTE_OTHER, role, what},
};

use crate::{
    asking,
    connection::endpoint,
    count::{compare_swap, count, lose_of, swap},
    exchange::{lower, raise},
    http, last_byte, pipeline,
    reading::{bytes, edge_end_of_head, edge_read_chunks, edge_read_head},
    request,
    scratch::load,
    segment::Segment,
};

/// A segment whose bytes are read in a slot of the scratch space.
pub struct Kernel<'a> {
    pub segment: &'a Segment,
    pub slot: u32,
}

impl Bytes for Kernel<'_> {
    #[inline(always)]
    fn load(&mut self, scratch: &mut Scratch, offset: u32) -> u32 {
        load(self.segment, offset, scratch)
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self, offset: u32) -> Option<[u8; N]> {
        bytes(self.segment.skb, self.segment.offset + offset)
    }

    #[inline(always)]
    fn end_of_head(&mut self, _: &mut Scratch, to: u32) -> u32 {
        edge_end_of_head(self.slot, to)
    }

    #[inline(always)]
    fn read_head(&mut self, _: &mut Scratch, from: u32, to: u32) -> u32 {
        edge_read_head(self.slot, from, to)
    }

    #[inline(always)]
    fn read_chunks(&mut self, _: &mut Scratch, to: u32) -> u32 {
        edge_read_chunks(self.slot, to)
    }
}

impl Exchange for Kernel<'_> {
    #[inline(always)]
    fn swap(cell: &mut u64, new: u64) -> u64 {
        swap(cell, new)
    }

    #[inline(always)]
    fn compare_swap(cell: &mut u64, old: u64, new: u64) -> u64 {
        compare_swap(cell, old, new)
    }

    #[inline(always)]
    fn raise(connection: &mut Connection, flag: u8) {
        raise(connection, flag);
    }

    #[inline(always)]
    fn lower(connection: &mut Connection, flag: u8) {
        lower(connection, flag);
    }
}

impl Edge for Kernel<'_> {
    #[inline(always)]
    fn now(&mut self) -> u64 {
        asking::now()
    }

    #[inline(always)]
    fn route(&mut self, scratch: &mut Scratch, from: u32, settings: u32) -> u16 {
        http::route(&mut scratch.window, from, settings)
    }

    #[inline(always)]
    fn charge(&mut self, connection: &mut Connection, now: u64) {
        asking::charge(self.segment, connection, now);
    }

    #[inline(always)]
    fn lose(&mut self, settings: u32, reason: u32) {
        lose_of(settings, reason);
    }

    #[inline(always)]
    fn end(&mut self, connection: &mut Connection, status: u16) -> u64 {
        request::end(connection, status)
    }

    #[inline(always)]
    fn unasked(&mut self, connection: &Connection) {
        let endpoint = endpoint(connection, role::SERVER);
        count(&endpoint, connection.settings, ROUTE_OTHER, what::UNKNOWN, 1);
    }

    #[inline(always)]
    fn over(&mut self, connection: &Connection, ending: &mut Ending) {
        last_byte::over(connection, ending, true);
    }

    /// By what the verifier looks at once, which finds both records again.
    #[inline(always)]
    fn abandon(&mut self, _: &mut Connection, _: &mut Pipeline) {
        pipeline::abandon(self.segment.skb, what::UNKNOWN);
    }
}
