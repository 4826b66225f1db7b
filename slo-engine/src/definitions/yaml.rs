//! Turns the bytes of one file into documents with positions.
//!
//! In: bytes. Out: one [`Node`] a document, or diagnostics. JSON is read as the YAML it is, once [`super::json`] has
//! seen that it is JSON.
//! Everything that could grow without bound has a limit: bytes, values, nesting, and what anchors and aliases repeat.

use std::cell::Cell;
use std::collections::HashMap;
use std::str::Chars;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::node::{Key, Node, Position, Report, Value};

/// Longest file that is read.
pub const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// How many values a file may hold, what anchors and aliases repeat included.
pub const NODES_MAX: usize = 2_000_000;
/// How many signs (`,`, `:`, quotes, brackets) one list in `[]` or mapping in `{}` may hold that could be a key.
pub const LOOK_AHEAD_MAX: usize = 1_000_000;
/// Deepest nesting of lists and mappings.
pub const NESTING_MAX: usize = 64;
/// How many values the aliases of one file may repeat altogether.
pub const ALIAS_NODES_MAX: usize = 10_000;

/// The bytes as text.
pub(super) fn decode<'a>(bytes: &'a [u8], report: &mut Report) -> Option<&'a str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            let byte = bad.first().copied().unwrap_or_default();
            let hint = Some("save the file as UTF-8".to_owned());
            report.error(
                end_of(good),
                format!("the byte `0x{byte:02x}` is not UTF-8"),
                hint,
            );
            report.unread.anything();
            None
        }
    }
}

/// Reads every document. One that is no YAML ends there; those after it are read all the same.
pub(super) fn parse(text: &str, report: &mut Report) -> Vec<Node> {
    let mut builder = Builder::default();
    for part in parts(text) {
        if builder.read(part, report).is_err() {
            report.unread.anything();
            break;
        }
        builder.lines_before += part.matches('\n').count();
    }
    builder.documents
}

/// The file before each line that begins a document: such a line does so wherever it stands, in a quoted text, too.
/// A directive is about the document after it, so a file that may have one stays whole.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    let begins = |at: usize| {
        let after = text
            .get(at + "\n---".len()..)
            .and_then(|after| after.chars().next());
        after.is_none_or(|next| next.is_ascii_whitespace())
    };
    if !text.starts_with('%') && !text.contains("\n%") {
        for (at, _) in text.match_indices("\n---").filter(|(at, _)| begins(*at)) {
            let read = text.len() - rest.len();
            let (part, more) = rest.split_at(at + 1 - read);
            parts.push(part);
            rest = more;
        }
    }
    parts.push(rest);
    parts
}

impl Builder {
    /// Reads one part of the file, which may end by a mistake; `Stop` where the file is to be read no further.
    fn read(&mut self, text: &str, report: &mut Report) -> Result<(), Stop> {
        let ahead = Cell::new(0);
        let mut parser = Parser::new_from_iter(LookAhead {
            text: text.chars(),
            ahead: &ahead,
        });
        let before = self.lines_before;
        let position = |marker: &Marker| Position {
            line: before + marker.line(),
            column: marker.col() + 1,
        };
        while let Some(event) = parser.next_event() {
            if ahead.get() > LOOK_AHEAD_MAX {
                // What was read ahead for is what comes next.
                let at = event.map_or_else(
                    |error| position(error.marker()),
                    |(_, span)| position(&span.start),
                );
                let message = format!(
                    "what begins here goes on for more than {LOOK_AHEAD_MAX} of `,`, `:`, quotes and brackets"
                );
                let hint = "write documents apart with `---`, or lists as lines with `- `, or split the file";
                report.error(at, message, Some(hint.to_owned()));
                return Err(Stop);
            }
            ahead.set(0);
            match event {
                Ok((event, span)) => self.take(event, position(&span.start), report)?,
                Err(error) => {
                    let said = error.info().replacen("character: `", "character '", 1);
                    let hint = way_out(&said);
                    report.error(
                        position(error.marker()),
                        format!("this is not YAML: {said}"),
                        hint,
                    );
                    // What it would have defined is not known.
                    report.unread.anything();
                    self.open.clear();
                    break;
                }
            }
        }
        Ok(())
    }
}

/// What the parser says, by what it says it with, and what people most often did.
const WAYS_OUT: [(&str, &str); 14] = [
    ("tabs ", "indent with spaces"),
    ("tab cannot", "indent with spaces"),
    ("a tab", "indent with spaces"),
    (
        "unprintable",
        "save the file as UTF-8, without control characters",
    ),
    ("Unicode character escape", "write the character itself"),
    (
        "quoted scalar",
        "close the quote, and indent what goes on over several lines",
    ),
    ("or '}'", "is a `}` or a `,` missing, here or above?"),
    ("or ']'", "is a `]` or a `,` missing, here or above?"),
    ("illegal placement", "is a `]` or a `}` missing above?"),
    ("misplaced bracket", "is a `]` or a `}` too many?"),
    (
        "mapping values are not allowed",
        "put a text with `: ` in it in quotes, and begin the keys of one mapping in the same column",
    ),
    (
        "block",
        "begin the keys of one mapping, and the `-` of one list, in the same column",
    ),
    (
        "indentation",
        "begin the keys of one mapping, and the `-` of one list, in the same column",
    ),
    ("unexpected character", "put a text that begins with it in quotes"),
];

fn way_out(said: &str) -> Option<String> {
    let found = WAYS_OUT.iter().find(|(part, _)| said.contains(part));
    found.map(|(_, hint)| (*hint).to_owned())
}

/// Hands the text to the parser, which reads a list in `[]` to its end before it says that it begins, as it could be
/// a key. What it then keeps in memory is many times the text, so the text ends where that is too much.
struct LookAhead<'a> {
    text: Chars<'a>,
    /// Signs read since the parser last said something; each is, or ends, something that it keeps.
    ahead: &'a Cell<usize>,
}

impl Iterator for LookAhead<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let next = self.text.next()?;
        if matches!(
            next,
            ',' | '[' | ']' | '{' | '}' | ':' | '?' | '&' | '*' | '!' | '"' | '\''
        ) {
            self.ahead.set(self.ahead.get() + 1);
        }
        (self.ahead.get() <= LOOK_AHEAD_MAX).then_some(next)
    }
}

/// The place right after valid text.
pub(super) fn end_of(good: &[u8]) -> Position {
    let text = String::from_utf8_lossy(good);
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Position { line, column }
}

/// The rest of the file cannot be read.
struct Stop;

/// Of a text, so many bytes count as one value: repeating a long one is no smaller a bomb than many short ones.
const BYTES_A_NODE: usize = 64;

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    repeated: usize,
    /// Values of the file so far, copies included.
    kept: usize,
    /// Of the parts that have been read.
    lines_before: usize,
}

/// A finished part, with what repeating it would cost.
#[derive(Clone)]
struct Built {
    node: Node,
    nodes: usize,
    depth: usize,
}

struct Frame {
    at: Position,
    anchor: usize,
    nodes: usize,
    depth: usize,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        key: Option<Key>,
        seen: HashMap<String, Position>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position, report: &mut Report) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let nodes = 1 + text.len() / BYTES_A_NODE;
                self.keep(nodes, at, report)?;
                let value = scalar(&text, style, tag.as_deref(), at, report);
                return self.finish(
                    Built {
                        node: Node { at, value },
                        nodes,
                        depth: 0,
                    },
                    anchor,
                    report,
                );
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at, report);
                return self.begin(at, anchor, FrameKind::List(Vec::new()), report);
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at, report);
                let kind = FrameKind::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: HashMap::new(),
                };
                return self.begin(at, anchor, kind, report);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.open.pop() {
                    let Frame {
                        at,
                        anchor,
                        nodes,
                        depth,
                        kind,
                    } = frame;
                    let value = match kind {
                        FrameKind::List(items) => Value::List(items),
                        FrameKind::Map { entries, .. } => Value::Map(entries),
                    };
                    return self.finish(
                        Built {
                            node: Node { at, value },
                            nodes,
                            depth,
                        },
                        anchor,
                        report,
                    );
                }
            }
            Event::Alias(anchor) => {
                // Counted before it is copied.
                let Some(nodes) = self.anchors.get(&anchor).map(|built| built.nodes) else {
                    let hint = "write out what is to be repeated".to_owned();
                    report.error(at, "the alias is inside of what it repeats", Some(hint));
                    return Err(Stop);
                };
                self.repeated = self.repeated.saturating_add(nodes);
                if self.repeated > ALIAS_NODES_MAX {
                    let message =
                        format!("the aliases of this file repeat more than {ALIAS_NODES_MAX} values");
                    report.error(
                        at,
                        message,
                        Some("write the values out, or split the file".to_owned()),
                    );
                    return Err(Stop);
                }
                self.keep(nodes, at, report)?;
                let Some(built) = self.anchors.get(&anchor).cloned() else {
                    return Err(Stop);
                };
                return self.finish(built, 0, report);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        at: Position,
        anchor: usize,
        kind: FrameKind,
        report: &mut Report,
    ) -> Result<(), Stop> {
        self.keep(1, at, report)?;
        self.open.push(Frame {
            at,
            anchor,
            nodes: 1,
            depth: 1,
            kind,
        });
        self.check_nesting(0, at, report)
    }

    /// Makes room for more values.
    fn keep(&mut self, nodes: usize, at: Position, report: &mut Report) -> Result<(), Stop> {
        self.kept = self.kept.saturating_add(nodes);
        if self.kept <= NODES_MAX {
            return Ok(());
        }
        report.error(
            at,
            format!("this file holds more than {NODES_MAX} values"),
            Some("split the file; a directory is read whole".to_owned()),
        );
        Err(Stop)
    }

    fn check_nesting(&self, more: usize, at: Position, report: &mut Report) -> Result<(), Stop> {
        if self.open.len() + more <= NESTING_MAX {
            return Ok(());
        }
        report.error(
            at,
            format!("lists and mappings are nested more than {NESTING_MAX} deep"),
            None,
        );
        Err(Stop)
    }

    /// Puts a finished part where it belongs.
    fn finish(&mut self, built: Built, anchor: usize, report: &mut Report) -> Result<(), Stop> {
        self.check_nesting(built.depth, built.node.at, report)?;
        if anchor > 0 {
            self.keep(built.nodes, built.node.at, report)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.documents.push(built.node);
            return Ok(());
        };
        frame.nodes += built.nodes;
        frame.depth = frame.depth.max(built.depth + 1);
        match &mut frame.kind {
            FrameKind::List(items) => items.push(built.node),
            FrameKind::Map { entries, key, seen } => match key.take() {
                Some(key) => entries.push((key, built.node)),
                None => *key = Some(as_key(&built.node, seen, report)),
            },
        }
        Ok(())
    }
}

fn as_key(node: &Node, seen: &mut HashMap<String, Position>, report: &mut Report) -> Key {
    let name = match node.scalar() {
        Some(name) => name,
        None => {
            node.wrong("key", "a text", None, report);
            String::new()
        }
    };
    if name == "<<" {
        report.error(
            node.at,
            "merge keys (`<<`) are not read",
            Some("write the keys out".to_owned()),
        );
    } else if let Some(first) = seen.get(&name) {
        let message = format!(
            "the key `{}` is given twice, first on line {}",
            super::node::shorten(&name),
            first.line
        );
        report.error(node.at, message, Some("remove one".to_owned()));
    } else {
        seen.insert(name.clone(), node.at);
    }
    Key { at: node.at, name }
}

fn refuse_tag(tag: Option<&Tag>, at: Position, report: &mut Report) {
    if let Some(tag) = tag {
        let handle = if tag.is_yaml_core_schema() {
            "!!"
        } else {
            tag.handle.as_str()
        };
        let spelled = format!("{handle}{}", tag.suffix);
        let hint = Some("remove it: types follow from what is expected".to_owned());
        report.error(
            at,
            format!("the tag `{}` is not read", super::node::shorten(&spelled)),
            hint,
        );
    }
}

/// YAML 1.2's core schema, with numbers kept as written.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position, report: &mut Report) -> Value {
    // `!!int "3"` means 3; the tag is reported, the value is no second mistake.
    let quoted = style != ScalarStyle::Plain && !tag.is_some_and(Tag::is_yaml_core_schema);
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => return Value::Text(text.to_owned()),
        other => refuse_tag(other, at, report),
    }
    if quoted {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if is_number(text) => Value::Number(text.to_owned()),
        _ => Value::Text(text.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if let Some(digits) = unsigned.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|b| (b'0'..b'8').contains(&b));
    }
    if [".inf", ".Inf", ".INF"].contains(&unsigned) || [".nan", ".NaN", ".NAN"].contains(&text) {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}
