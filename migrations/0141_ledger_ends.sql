-- Where ledgers end: totals of all at their last row before `as_of` and a slot more, if that row is of the slot that is not over, as of
-- those who do not wait for its end, or of the one before it, which is read when not all have one in the first. Of the others
-- nothing is said. Nobody is in both, since `ledger_slot` tells of last rows only.
create function ledger_ends(as_of timestamptz)
    returns table (
        objective_id bigint, generation integer, at timestamptz, good bigint, bad bigint,
        expected_ms bigint, covered_ms bigint, lost bigint
    )
    language plpgsql stable strict rows 10000
as $$
declare
    slot constant interval := (select e.slot from engine_state e);
    slot_end constant timestamptz := date_bin(
        slot, as_of + slot - interval '1 microsecond', timestamptz '2000-01-01 00:00:00+00'
    );
    ended bigint;
begin
    return query select * from ledger_slot(slot_end, as_of + slot);
    get diagnostics ended = row_count;
    if ended < (select count(*) from objective o where o.withdrawn_at is null) then
        return query select * from ledger_slot(slot_end - slot, as_of + slot);
    end if;
end
$$;
