-- What a slice of a composite is worth: bad as soon as one of its parts' is, good once all are, and neither while one that
-- was not watched could still be bad. As judging had it; counting back judges them, too.
create function judge_whole(of_objective bigint, of_generation integer, slice_end timestamptz)
    returns table (worth_good bigint, worth_bad bigint)
    language sql stable
as $$
    select bool_and(coalesce(s.booked_good, 0) > 0)::int::bigint, bool_or(coalesce(s.booked_bad, 0) > 0)::int::bigint
    from objective_part p
    left join slice s on s.objective_id = p.part_id and s.generation = p.part_generation and s.at = slice_end
    where p.objective_id = of_objective and p.generation = of_generation
$$;
