-- Whoever was told of an alert is told that somebody takes care of it.
alter table outbox
    drop constraint outbox_action_known,
    add constraint outbox_action_known check (action in ('trigger', 'escalate', 'acknowledge', 'resolve'));
