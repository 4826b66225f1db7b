-- Whose objective it is, and where people read what to do when it alerts.
alter table objective_definition add column owner text, add column runbook_url text;
