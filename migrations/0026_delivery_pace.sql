-- How fast each target may be told, over all workers.
create table delivery_pace (
    target text primary key,
    -- When the next one would arrive if all arrived evenly spaced.
    theoretical_at timestamptz not null,
    -- No delivery before this: the pace, or the receiver's Retry-After.
    ready_at timestamptz not null
);
