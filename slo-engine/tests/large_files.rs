//! Files of the largest size: what they define is read, and what is made to hurt ends in a clear error, in little
//! memory. All in one test, since memory is the process's.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::Path;

use slo_engine::definitions::{self, Diagnostics, FILE_BYTES_MAX};

/// Several times what the largest of the files takes to read, a fraction of what it would take without limits.
const MEMORY_MAX_MIB: u64 = 1024;

#[test]
fn a_file_of_ten_megabytes_is_read_and_a_bomb_of_that_size_is_refused_in_bounded_memory() {
    let mut text = String::new();
    let mut services = 0;
    while text.len() < FILE_BYTES_MAX - 2048 {
        services += 1;
        text.push_str(&service(services));
    }
    let read = definitions::read_text(Path::new("large.yaml"), text.as_bytes());
    let read = read.unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(
        (read.services.len(), read.objectives.len()),
        (services, 2 * services)
    );
    drop((text, read));

    let values = "this file holds more than 2000000 values";
    let ahead = "what begins here goes on for more than 1000000 of `,`, `:`, quotes and brackets";
    let aliases = "the aliases of this file repeat more than 10000 values";
    let sixty = |part: &str| -> String { (0..60).map(|n| part.replace('N', &n.to_string())).collect() };
    let text = "a".repeat(FILE_BYTES_MAX / 2);
    refused(filled("[", "1,", "]"), (1, 1, ahead));
    refused(filled("[&a x", ",&a x", "]"), (1, 1, ahead));
    refused(filled("key: [", "1,", "]"), (1, 4_000_001, values));
    refused(filled("", "---\n", ""), (2_000_002, 1, values));
    refused(
        filled("[", "[", ""),
        (1, 256, "this is not YAML: recursion limit exceeded"),
    );
    refused(
        filled("", "- ", ""),
        (1, 129, "lists and mappings are nested more than 64 deep"),
    );
    refused(filled("key: [&a x,", "*a,", "]"), (1, 30_012, aliases));
    // Copies of the same values, or of the same text, by anchors in each other and by aliases.
    refused(
        format!("key: {}{}{}", sixty("&aN ["), "1,".repeat(100_000), sixty("]")).into_bytes(),
        (1, 242, values),
    );
    refused(
        format!("key: {}\"{text}\"{}", sixty("&aN ["), sixty("]")).into_bytes(),
        (1, 212, values),
    );
    refused(
        format!("key: &a \"{text}\"\nkeys: [{}]", "*a,".repeat(10)).into_bytes(),
        (2, 8, aliases),
    );
    let mut bytes = text.into_bytes();
    bytes.push(0xff);
    refused(bytes, (1, FILE_BYTES_MAX / 2 + 1, "the byte `0xff` is not UTF-8"));
    assert!(peak_mib() < MEMORY_MAX_MIB, "{} MiB", peak_mib());
}

/// About a kilobyte, as a large file is: many services, each with something to say.
fn service(number: usize) -> String {
    format!(
        "---\napiVersion: slowburn/v1\nkind: Service\nmetadata: {{name: web-{number}}}\nspec:\n  description: {}\n  \
         objectives: {{availability: 99.9%, latency: {{below: 250ms, target: 99%}}}}\n",
        "what it is for ".repeat(60)
    )
}

fn filled(start: &str, part: &str, end: &str) -> Vec<u8> {
    let parts = (FILE_BYTES_MAX - start.len() - end.len()) / part.len();
    format!("{start}{}{end}", part.repeat(parts)).into_bytes()
}

#[track_caller]
fn refused(text: Vec<u8>, (line, column, message): (usize, usize, &str)) {
    let Diagnostics(found) = definitions::read_text(Path::new("large.yaml"), &text).unwrap_err();
    assert_eq!(
        (found[0].line, found[0].column, found[0].message.as_str()),
        (line, column, message)
    );
    assert_eq!(found.len(), 1, "{found:?}");
}

/// The most that this process ever held.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
