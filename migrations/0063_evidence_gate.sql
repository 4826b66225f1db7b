-- How much evidence an objective's alerts take, as its definition spells it (`off`, `page 1%, ticket 5%`); null where it
-- says nothing.
alter table objective_definition add column evidence text;
