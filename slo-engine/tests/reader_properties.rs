//! Whatever bytes a file holds, reading it ends in definitions or in diagnostics.

use std::path::Path;

use proptest::prelude::*;
use slo_engine::definitions::{self, expand};

const WHOLE: &str = "apiVersion: openslo/v1
kind: SLO
metadata: {name: a, annotations: {slowburn/tiers: 'page 1h+5m 2%'}}
spec:
  service: a
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99, op: lte, value: 0.25}]
  indicator: {spec: {thresholdMetric: {metricSource: {type: slowburn, spec: {clock: turnaround}}}}}
---
apiVersion: slowburn/v1
kind: Service
metadata: {name: a, labels: {a: [b, c]}}
spec:
  match: &m {port: [80], cgroup: x/*, executable: y}
  routes: [GET /]
  timeout: 2s
  window: 7d
  objectives: {availability: 99.9%, latency: {below: 250ms, target: 99%}}
  alerts: {tiers: [{severity: page, long: 1h, short: 5m, budget: 2%}]}
---
apiVersion: openslo/v1alpha
kind: SLO
metadata: {name: b, displayName: B}
spec:
  service: a
  budgetingMethod: Occurrences
  timeWindows: [{unit: Day, count: 30, isRolling: true}]
  objectives:
    - displayName: c
      target: 0.99
      ratioMetrics:
        good: {source: slowburn, queryType: slowburn, query: 'status: [1xx, 2xx]'}
        total: {source: slowburn, queryType: slowburn, query: '{}'}
    - {displayName: d, target: 0.9, ratioMetrics: {good: {source: slowburn, queryType: slowburn, query: {below: 1s}}, total: {source: slowburn, queryType: slowburn, query: {}}}}
";

/// Reading must not panic; what is read must survive being expanded and read again.
fn check(bytes: &[u8]) {
    match definitions::read_text(Path::new("a.yaml"), bytes) {
        Ok(read) => {
            let again = definitions::read_text(Path::new("b.yaml"), expand(&read).as_bytes());
            let again = again.unwrap_or_else(|found| panic!("{found}\n{}", expand(&read)));
            assert_eq!(again.objectives, read.objectives);
            assert_eq!(again.services, read.services);
        }
        Err(found) => {
            assert!(found.has_errors());
            for diagnostic in &found {
                assert!(!diagnostic.message.is_empty());
                assert!(!diagnostic.message.contains('\n'), "{}", diagnostic.message);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes);
    }

    #[test]
    fn arbitrary_yaml_characters_never_panic(text in "[-a-c0-9:{}\\[\\],&*!|>'\"%@`#?~. \t\n\r]{0,200}") {
        check(text.as_bytes());
    }

    #[test]
    fn a_damaged_definition_never_panics(
        at in 0..WHOLE.len(), cut in 0_usize..30, insert in "[-a-z0-9:{}\\[\\],&*!|>'\"%.\\PC \n]{0,12}",
    ) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, insert.bytes());
        check(&bytes);
    }

    #[test]
    fn any_scalar_in_any_place_never_panics(place in 0_usize..90, value in "[-+0-9a-zA-Z.%µ:e]{0,40}|[0-9]{1,40}|0\\.[0-9]{1,40}|[0-9]{1,30}(ms|s|d|%)") {
        let colons: Vec<usize> = WHOLE.match_indices(": ").map(|(at, _)| at + 2).collect();
        let start = colons[place % colons.len()];
        let end = WHOLE[start..].find([',', '}', '\n', ']']).map_or(WHOLE.len(), |len| start + len);
        check(format!("{}{value}{}", &WHOLE[..start], &WHOLE[end..]).as_bytes());
    }
}

#[test]
fn the_undamaged_definition_is_read() {
    assert_eq!(
        definitions::read_text(Path::new("a.yaml"), WHOLE.as_bytes())
            .unwrap()
            .objectives
            .len(),
        5
    );
}
