-- What was about the definitions as a whole had the subject `definitions`, which an objective or a service may be called.
update event
set subject = 'definition files'
where subject = 'definitions' and kind in ('definitions_taken_up', 'definitions_refused');
