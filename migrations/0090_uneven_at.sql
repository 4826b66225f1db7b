-- Up to when a generation's time was not covered as it was expected: later than that, every window that ends now is covered
-- whole, whatever its length, and an evaluation need not look up where it begins. Times that were booked before this
-- column was, or by a release that does not know it, count as uneven for an hour more.
alter table objective_generation add column uneven_at timestamptz not null default now() + interval '1 hour';
alter table objective_generation alter column uneven_at set default '-infinity';
