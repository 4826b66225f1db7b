//! Protocols that nobody reads: as many turns as the server counted commands.

use super::{
    case::{CASE, Case},
    client::Client::Silent,
    servers::{POSTGRES, REDIS},
};

const REDIS_CASE: Case = Case {
    server: &REDIS,
    ..CASE
};

const POSTGRES_CASE: Case = Case {
    server: &POSTGRES,
    ..CASE
};

/// Without the questions whether it would rather encrypt: they are turns that no log has.
macro_rules! plainly {
    ($program:literal, $($word:literal),*) => {
        Silent(&["env", "PGSSLMODE=disable", "PGGSSENCMODE=disable", $program, $($word),*])
    };
}

pub const CASES: &[Case] = &[
    Case {
        name: "one command at a time",
        clients: &[Silent(&[
            "redis-cli",
            "-h",
            "SERVER",
            "-p",
            "8080",
            "-r",
            "200",
            "INCR",
            "counter",
        ])],
        at_least: 200,
        ..REDIS_CASE
    },
    Case {
        name: "redis-benchmark",
        clients: &[Silent(&[
            "redis-benchmark",
            "-h",
            "SERVER",
            "-p",
            "8080",
            "-c",
            "8",
            "-n",
            "2000",
            "-t",
            "set",
            "-q",
        ])],
        at_least: 2000,
        // It asks for two settings in one go before it begins.
        together: 1,
        ..REDIS_CASE
    },
    Case {
        name: "sessions and simple queries",
        clients: &[
            plainly!(
                "psql", "-h", "SERVER", "-p", "8080", "-U", "postgres", "-c", "select 1", "-c", "select 2"
            ),
            plainly!(
                "pgbench",
                "-h",
                "SERVER",
                "-p",
                "8080",
                "-U",
                "postgres",
                "-n",
                "-f",
                "HERE/clients/one.sql",
                "-c4",
                "-t100",
                "postgres"
            ),
        ],
        at_least: 407,
        ..POSTGRES_CASE
    },
    Case {
        name: "extended queries",
        clients: &[plainly!(
            "pgbench",
            "-h",
            "SERVER",
            "-p",
            "8080",
            "-U",
            "postgres",
            "-n",
            "-M",
            "extended",
            "-f",
            "HERE/clients/one.sql",
            "-c4",
            "-t100",
            "postgres"
        )],
        at_least: 404,
        ..POSTGRES_CASE
    },
];
