-- How long a tier's windows have to burn before its alert fires; until then it is pending.
alter table objective_tier add column fires_after interval not null default interval '0';
