-- Corrections that a definition states, by its name: a reload keeps them in step with the files, and undoes what is in
-- none of them any more. Null: somebody asked for it.
alter table correction add column definition text;

create unique index correction_definition_key on correction (objective_id, definition) where undone_at is null;
