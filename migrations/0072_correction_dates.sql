-- Dates that a recurring correction leaves out (RFC 5545's EXDATE) and adds (RDATE): days of its zone, `2026-12-27`, or
-- moments, `2026-12-27T01:00:00Z`. Its spans are written without the first and with the second.
alter table correction
    add column exdate text[] not null default '{}',
    add column rdate text[] not null default '{}';

alter table correction add constraint correction_dates_recur
    check (rule is not null or (exdate = '{}' and rdate = '{}'));
