-- `ledger_slot` of whom the last row before `before` ends at `slot_end`: rows of thinned days are minutes apart, and some are booked
-- before their slot is over. It is asked of each objective, not of all together as there, so that one with a row between, as where
-- slots were shorter once, hides nobody else's and keeps none of its own.
create function ledger_slot(slot_end timestamptz, before timestamptz)
    returns table (
        objective_id bigint, generation integer, at timestamptz, good bigint, bad bigint,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language plpgsql stable strict rows 10000
    set enable_nestloop = off
    set jit = off
as $$
#variable_conflict use_column
declare
    -- Chunks that may hold the slot begin after this, and not later than it ends: one of each objective, or those of a coarser stretch.
    stretch_from constant timestamptz := (select s.from_at from ledger_stretch(slot_end) s);
begin
    return query
    with later as materialized (
        select l.objective_id, l.generation from ledger l where l.at > slot_end and l.at < before
        union all
        select c.objective_id, c.generation from ledger_chunk c where c.at > slot_end and c.at < before
    )
    select r.objective_id, r.generation, slot_end, r.good + b.good, r.bad + b.bad,
           r.expected_ms + b.expected_ms, r.covered_ms + b.covered_ms, r.lost + b.lost
    from (
        select l.objective_id, l.generation, l.good, l.bad, l.expected_ms, l.covered_ms, l.lost
        from ledger l
        where l.at = slot_end
        union all
        select c.objective_id, c.generation, c.good + c.good_after[c.n], c.bad + c.bad_after[c.n],
               c.expected_ms + coalesce(c.expected_after[c.n], c.watchers::bigint * c.after_ms[c.n]),
               c.covered_ms + coalesce(c.covered_after[c.n], c.expected_after[c.n], c.watchers::bigint * c.after_ms[c.n]),
               c.lost + coalesce(c.lost_after[c.n], 0)
        from (
            select k.*, k.at + k.after_ms[f.n] * interval '1 millisecond' as row_at, f.n
            from ledger_chunk k
            -- How many of its rows are not later: found once, by halving.
            cross join lateral (
                select width_bucket((extract(epoch from slot_end - k.at) * 1000)::integer, k.after_ms) as n
                offset 0
            ) f
            where k.at > stretch_from and k.at <= slot_end
        ) c
        where c.row_at = slot_end
          and coalesce(c.at + c.after_ms[c.n + 1] * interval '1 millisecond' >= before, true)
    ) r
    join ledger_day b
        on b.objective_id = r.objective_id and b.generation = r.generation and b.day = ledger_day_of(slot_end)
    where not exists (
        select from later m where m.objective_id = r.objective_id and m.generation = r.generation
    );
end
$$;
