#!/bin/sh
# A Postgres of its own in DIR, that logs each statement and each session.
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
mkdir "$1/postgres"
chown postgres "$1/postgres"
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
$as_postgres "$bin/initdb" -D "$1/postgres" -A trust --no-sync >/dev/null
echo "host all all all trust" >>"$1/postgres/pg_hba.conf"
exec $as_postgres "$bin/postgres" -D "$1/postgres" -p 8080 -k "$1" -c listen_addresses=0.0.0.0 -c fsync=off \
    -c log_statement=all -c log_connections=on -c autovacuum=off
