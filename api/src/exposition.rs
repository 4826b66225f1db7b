//! Writes Prometheus text exposition format 0.0.4. Knows nothing of what the numbers mean.

use std::fmt::Write;

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Counter,
    Gauge,
}

/// Counts are printed exactly.
#[derive(Debug, Clone, Copy)]
pub enum Sample {
    Count(u64),
    Number(f64),
}

impl From<u64> for Sample {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Sample {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Sample {
    fn from(holds: bool) -> Self {
        Self::Count(holds.into())
    }
}

pub type Labels<'a> = Vec<(&'static str, &'a str)>;

#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// One family: its help and type once, then its samples. A family without samples is left out.
    pub fn family<'a, V: Into<Sample>>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for (labels, value) in samples {
            self.push(format_args!("{name}"));
            for (index, (label, text)) in labels.iter().enumerate() {
                let open = if index == 0 { '{' } else { ',' };
                self.push(format_args!("{open}{label}=\"{}\"", escaped(text)));
            }
            let close = if labels.is_empty() { "" } else { "}" };
            self.push(format_args!("{close} {}\n", spelled(value.into())));
        }
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a `String` cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn spelled(sample: Sample) -> String {
    let value = match sample {
        Sample::Count(count) => return count.to_string(),
        Sample::Number(value) => value,
    };
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_empty_families_left_out() {
        let mut exposition = Exposition::default();
        exposition.family(
            "a_total",
            Kind::Counter,
            "two\nlines \\",
            [(vec![("x", "q\"b\\n\n"), ("y", "")], 3.0)],
        );
        exposition.family("b", Kind::Gauge, "none", Vec::<(Vec<(&str, &str)>, f64)>::new());
        exposition.family("c", Kind::Gauge, "bare", [(vec![], f64::INFINITY), (vec![], 0.1)]);
        insta::assert_snapshot!(exposition.finish(), @r##"
        # HELP a_total two\nlines \\
        # TYPE a_total counter
        a_total{x="q\"b\\n\n",y=""} 3
        # HELP c bare
        # TYPE c gauge
        c +Inf
        c 0.1
        "##);
    }
}
