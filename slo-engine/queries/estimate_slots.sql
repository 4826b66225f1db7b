-- What was measured in the time after $1 up to $2, by source, route and slot: of the counters $3, each of a kind ($4), and of
-- the histograms $5, of which buckets up to $6 lie within a threshold and those from $7 on past it.
with counted as (
    select s.source_id, s.route, m.at,
           sum(m.value) filter (where k.kind in ('answer', 'error', 'doubtful')) as answers,
           sum(m.value) filter (where k.kind = 'error') as errors,
           sum(m.value) filter (where k.kind = 'doubtful') as doubtful,
           sum(m.value) filter (where k.kind = 'unanswered') as unanswered,
           sum(m.value) filter (where k.kind = 'timed_out') as timed_out
    from unnest($3::bigint[], $4::text[]) k (series_id, kind)
    join series s using (series_id)
    join measurement m on m.series_id = s.series_id and m.at > $1 and m.at <= $2
    group by s.source_id, s.route, m.at
),
timed as (
    select h.source_id, h.route, b.at,
           sum(b.count) filter (where b.bucket <= $6) as within,
           sum(b.count) filter (where b.bucket > $6 and b.bucket < $7) as astride,
           sum(b.count) filter (where b.bucket >= $7) as over
    from unnest($5::bigint[]) i (histogram_id)
    join histogram h using (histogram_id)
    join histogram_bucket b on b.histogram_id = h.histogram_id and b.at > $1 and b.at <= $2
    group by h.source_id, h.route, b.at
)
select coalesce(t.within, 0)::bigint as "within!", coalesce(t.astride, 0)::bigint as "astride!",
       coalesce(t.over, 0)::bigint as "over!", coalesce(c.answers, 0)::bigint as "answers!",
       coalesce(c.errors, 0)::bigint as "errors!", coalesce(c.doubtful, 0)::bigint as "doubtful!",
       coalesce(c.unanswered, 0)::bigint as "unanswered!", coalesce(c.timed_out, 0)::bigint as "timed_out!"
from counted c
full join timed t using (source_id, route, at)
