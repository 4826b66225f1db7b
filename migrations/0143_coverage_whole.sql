-- As before: what was covered whole, as nearly everything is, is 1 without a division.
create or replace function coverage_of(covered_ms bigint, expected_ms bigint) returns numeric
    language sql immutable parallel safe
    return case
        when covered_ms = expected_ms and expected_ms > 0 then 1
        else least(1, trim_scale(round(covered_ms::numeric / nullif(expected_ms, 0), 9)))
    end;
