-- As before, but whether anybody has a later row is asked once, and of each objective only where somebody has.
-- And `date_part`, whose float holds milliseconds as exactly as the numeric of `extract` does, and takes half as long.
create or replace function ledger_slot(slot_end timestamptz, before timestamptz)
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
    has_later constant boolean := exists (select from ledger l where l.at > slot_end and l.at < before)
        or exists (select from ledger_chunk c where c.at > slot_end and c.at < before);
begin
    return query
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
                select width_bucket((date_part('epoch', slot_end - k.at) * 1000)::integer, k.after_ms) as n
                offset 0
            ) f
            where k.at > stretch_from and k.at <= slot_end
        ) c
        where c.row_at = slot_end
          and coalesce(c.at + c.after_ms[c.n + 1] * interval '1 millisecond' >= before, true)
    ) r
    join ledger_day b
        on b.objective_id = r.objective_id and b.generation = r.generation and b.day = ledger_day_of(slot_end)
    where not has_later
       or not exists (
           select from ledger l
           where l.objective_id = r.objective_id and l.generation = r.generation and l.at > slot_end and l.at < before
       ) and not exists (
           select from ledger_chunk c
           where c.objective_id = r.objective_id and c.generation = r.generation and c.at > slot_end and c.at < before
       );
end
$$;
