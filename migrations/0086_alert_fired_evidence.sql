-- What an alert fired on, kept when it resolves: `evidence` is that of the last transition. Null: it never fired, or did
-- before this was kept.
alter table alert add column fired_evidence jsonb;
update alert set fired_evidence = evidence where state = 'firing';
