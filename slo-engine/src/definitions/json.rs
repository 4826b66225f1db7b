//! Holds files named `.json` to JSON.
//!
//! They are read as the YAML they are, which takes more: a comma after the last item, a comment, a key without
//! quotes. Whatever else reads such a file would refuse it later, far from whoever wrote it.

use std::path::Path;

use serde::de::IgnoredAny;

use super::node::{Position, Report};
use super::yaml::end_of;

/// Whether the file is what its name says. Nothing of it is kept, however large or deep it is.
pub(super) fn check(file: &Path, text: &str, report: &mut Report) -> bool {
    if file.extension().is_none_or(|extension| extension != "json") {
        return true;
    }
    let Err(error) = serde_json::from_str::<IgnoredAny>(text) else {
        return true;
    };
    let Slip { at, what, way_out } = Slip::of(text, &error);
    report.error(at, format!("this is not JSON: {what}"), Some(way_out));
    report.unread.anything();
    false
}

struct Slip {
    at: Position,
    what: String,
    way_out: String,
}

impl Slip {
    fn of(text: &str, error: &serde_json::Error) -> Self {
        if error.is_eof() {
            return Self::new(
                text.trim_end(),
                "it ends before it is complete",
                "close what is open, or write `[]` for nothing",
            );
        }
        let lines_before = text.split_inclusive('\n').take(error.line().saturating_sub(1));
        let offset = lines_before.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
        let (before, rest) = text.split_at(text.floor_char_boundary(offset));
        let found = rest.chars().next().unwrap_or_default();
        if let ('}' | ']', Some(last)) = (found, before.trim_end().strip_suffix(',')) {
            let what = format!("a comma before `{found}`");
            return Self::new(
                last,
                &what,
                "remove it, or name the file `.yaml`, where it may stand",
            );
        }
        let said = error.to_string();
        let said = said
            .split_once(" at line ")
            .map_or(said.as_str(), |(said, _)| said);
        match found {
            // Of a bad escape the sign is the one behind it.
            _ if said == "invalid escape" => Self::new(before, said, "write `\\\\` for a backslash"),
            '#' | '/' => Self::new(
                before,
                "a comment",
                "remove it, or name the file `.yaml`, where `#` begins one",
            ),
            '\'' => Self::new(
                before,
                "a text in single quotes",
                "write `\"`, or name the file `.yaml`",
            ),
            _ if said == "trailing characters" => Self::new(
                before,
                "something behind its end",
                "write several documents as a list, or name the file `.yaml` and divide them by `---`",
            ),
            _ => Self::new(before, said, "name the file `.yaml` if YAML is meant"),
        }
    }

    fn new(before: &str, what: &str, way_out: &str) -> Self {
        Self {
            at: end_of(before.as_bytes()),
            what: what.to_owned(),
            way_out: way_out.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{Definitions, Diagnostics, read_text};

    fn read(text: &[u8]) -> Result<Definitions, Diagnostics> {
        read_text(Path::new("a.json"), text)
    }

    #[track_caller]
    fn refused(text: impl AsRef<[u8]>, expected: &str) {
        assert_eq!(read(text.as_ref()).unwrap_err().to_string(), expected);
    }

    const SERVICE: &str =
        r#"{"apiVersion": "slowburn/v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {}}"#;

    #[test]
    fn a_document_or_a_list_of_them_is_read_behind_a_mark_of_utf8_too() {
        for text in [SERVICE.to_owned(), format!("\u{feff}[\r\n\t{SERVICE}\r\n]\n")] {
            let read = read(text.as_bytes()).unwrap_or_else(|found| panic!("{found}"));
            assert_eq!(read.services.len(), 1);
        }
    }

    #[test]
    fn what_yaml_takes_beyond_json_is_refused_where_it_stands() {
        let comma = "a comma before `}`\nhint: remove it, or name the file `.yaml`, where it may stand";
        refused(r#"{"é": 1,}"#, &format!("a.json:1:8: this is not JSON: {comma}"));
        refused(
            "[1,\n2,\n\n]",
            &format!("a.json:2:2: this is not JSON: {}", comma.replace('}', "]")),
        );
        let comment = "a comment\nhint: remove it, or name the file `.yaml`, where `#` begins one";
        refused(
            "{\"a\": 1, # why\n\"b\": 2}",
            &format!("a.json:1:10: this is not JSON: {comment}"),
        );
        refused("{}\n// why", &format!("a.json:2:1: this is not JSON: {comment}"));
        let single = "a text in single quotes\nhint: write `\"`, or name the file `.yaml`";
        refused("{'a': 1}", &format!("a.json:1:2: this is not JSON: {single}"));
        let yaml = "hint: name the file `.yaml` if YAML is meant";
        refused(
            "{a: 1}",
            &format!("a.json:1:2: this is not JSON: key must be a string\n{yaml}"),
        );
        refused(
            r#"{"a": yes}"#,
            &format!("a.json:1:7: this is not JSON: expected value\n{yaml}"),
        );
        let more = "something behind its end\nhint: write several documents as a list, or name the file `.yaml` and divide them by `---`";
        refused("{}\n---\n{}", &format!("a.json:2:1: this is not JSON: {more}"));
        let open = "it ends before it is complete\nhint: close what is open, or write `[]` for nothing";
        refused("{\"a\": [1\n", &format!("a.json:1:9: this is not JSON: {open}"));
        refused("", &format!("a.json:1:1: this is not JSON: {open}"));
    }

    #[test]
    fn what_json_takes_is_held_to_the_rules_of_all_files() {
        refused(
            SERVICE.replace("\"spec\"", "\"kind\": \"Service\", \"spec\""),
            "a.json:1:77: the key `kind` is given twice, first on line 1\nhint: remove one",
        );
        refused(
            b"{\"a\xff\": 1}",
            "a.json:1:4: the byte `0xff` is not UTF-8\nhint: save the file as UTF-8",
        );
        // As deep as no stack would take it.
        let deep = 500_000;
        refused(
            format!("{}{}", "[".repeat(deep), "]".repeat(deep)),
            "a.json:1:256: this is not YAML: recursion limit exceeded",
        );
    }

    #[test]
    fn a_sign_that_a_text_may_not_hold_is_told_behind_letters_of_several_bytes() {
        let found = read("{\"éé\n\": 1}".as_bytes()).unwrap_err().to_string();
        assert!(
            found.starts_with("a.json:1:4: this is not JSON: control character"),
            "{found}"
        );
    }
}
