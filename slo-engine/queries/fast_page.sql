-- Excursions that are evidence and have no alert yet, and every open alert of a fast page, with what
-- its objective counted in the $2 before ($1 is now) and in the hour before. How much was watched is told of time that
-- corrections leave out, too: what is left out is no error, and who watches sees that there is no other.
select o.name as "objective!", s.name as "service!", d.target as "target!", p.burn_rate as "burn_rate?",
       p.false_pages_a_year as "false_pages_a_year?", p.rate_min as "rate_min?",
       o.withdrawn_at is not null or p.objective_id is null as "withdrawn!",
       e.statistic as "statistic?", e.since_at as "since_at?", e.at as "excursion_at?",
       e.good as "excursion_good?", e.bad as "excursion_bad?",
       recent.good as "recent_good!", recent.bad as "recent_bad!", recent.from_at as "recent_from_at!",
       recent.to_at as "recent_to_at!", recent.expected_ms + left_out.expected_ms as "recent_expected_ms!",
       recent.covered_ms + left_out.covered_ms as "recent_covered_ms!", recent.lost as "recent_lost!",
       hour.good + hour.bad as "hour_total!",
       extract(epoch from $1 - greatest(hour.from_at, $1 - interval '1 hour'))::numeric as "hour_seconds!",
       a.alert_id as "alert_id?", a.state as "state?", a.evidence as "evidence?", m.coverage_min as "coverage_min?"
from (
    select x.objective_id from excursion x
    union
    select x.objective_id from alert x where x.tier = $3 and x.state <> 'resolved'
) due
join objective o using (objective_id)
join objective_definition d on d.objective_id = o.objective_id and d.from_at = o.defined_at
left join objective_fast_page p on p.objective_id = o.objective_id and p.from_at = o.defined_at
left join objective_missing_data m on m.objective_id = o.objective_id and m.from_at = o.defined_at
left join excursion e on e.objective_id = o.objective_id and e.generation = o.generation
left join alert a on a.objective_id = o.objective_id and a.tier = $3 and a.state <> 'resolved'
join objective_generation g
    on g.objective_id = o.objective_id and g.generation = coalesce(a.generation, o.generation)
join service s on s.service_id = g.service_id
cross join lateral ledger_window(g.objective_id, g.generation, $1::timestamptz - $2::interval, $1) recent
cross join lateral ledger_left_out(g.objective_id, g.generation, $1 - $2, $1) left_out
cross join lateral ledger_window(g.objective_id, g.generation, $1 - interval '1 hour', $1) hour
where a.alert_id is not null or (e.statistic >= p.pages_at and o.withdrawn_at is null)
order by 1
