-- What each series counted in each slot, `at` being the slot's end. The open slot is updated in
-- place. Slots that counted nothing have no row.
-- A day's partition holds 00:00:00 excluded to 24:00:00 included, as slots do: its bounds lie one
-- microsecond after midnight. The engine adds partitions ahead of time.
create table measurement (
    series_id bigint not null,
    at timestamptz not null,
    value bigint not null,
    constraint measurement_pkey primary key (series_id, at)
) partition by range (at);
