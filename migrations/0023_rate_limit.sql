-- Limits as they are wanted. The kernel ends each at expires_at by itself; a daemon that comes back
-- makes live again only what still stands here.
create table rate_limit (
    rate_limit_id integer generated always as identity primary key,
    step_id bigint not null references step (step_id) on delete cascade,
    service text not null,
    source text not null,
    rate_per_second bigint not null,
    burst bigint not null,
    node text not null,
    mode text,
    wanted_at timestamptz not null,
    applied_at timestamptz,
    expires_at timestamptz not null,
    released_at timestamptz,
    constraint rate_limit_one_per_source unique (step_id, source),
    constraint rate_limit_never_drops_all check (rate_per_second > 0 and burst > 0),
    constraint rate_limit_mode_known check (mode in ('native', 'generic'))
);

create index rate_limit_standing on rate_limit (node) where released_at is null;
