-- When its source first looked and found nobody listening there any more; null while somebody does. `last_seen_at` alone,
-- which is kept to the minute, says so minutes later.
alter table endpoint add column gone_at timestamptz;
