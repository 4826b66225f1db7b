//! Definition files as people write them: what they mean, and what is said about mistakes.

#![expect(clippy::unwrap_used, reason = "tests panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slo_engine::definitions::{self, Definitions, Diagnostics, expand};
use slo_engine::measurement::{Clock, Route};
use slo_engine::service::{EndpointMatch, LongPoll};

fn testdata(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/testdata")
        .join(kind)
        .join("definitions");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn read_file(path: &Path) -> Result<Definitions, Diagnostics> {
    let name = path.file_name().unwrap();
    definitions::read_text(Path::new(name), &fs::read(path).unwrap())
}

fn good(name: &str) -> Definitions {
    let path = testdata("good")
        .into_iter()
        .find(|path| path.ends_with(name))
        .unwrap();
    read_file(&path).unwrap_or_else(|found| panic!("{found}"))
}

fn read(text: &str) -> Definitions {
    definitions::read_text(Path::new("a.yaml"), text.as_bytes()).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn every_bad_file_is_refused_with_a_place_and_a_way_out() {
    let files = testdata("bad");
    assert!(files.len() >= 106, "a file is gone: {}", files.len());
    assert!(files.len() + testdata("good").len() >= 60);
    for path in files {
        let found = read_file(&path).expect_err(&path.display().to_string());
        assert!(found.has_errors());
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(path.file_stem().unwrap().to_str().unwrap(), found.to_string());
        });
    }
}

#[test]
fn a_fast_page_is_there_unless_tiers_are_stated_or_it_is_turned_off() {
    let pages: Vec<_> = good("fast_pages.yaml")
        .objectives
        .iter()
        .map(|objective| {
            let page = objective
                .fast_page
                .as_ref()
                .map(|page| format!("{} {} {}", page.burn_rate, page.false_pages_a_year, page.rate_min));
            (objective.service.to_string(), page)
        })
        .collect();
    let is = |service: &str, page: Option<&str>| (service.to_owned(), page.map(str::to_owned));
    let mut expected = vec![
        is("default", Some("14.4 1 1")),
        is("calm", None),
        is("tuned", Some("100 0.1 5")),
        is("both", Some("14.4 1 1")),
        is("tiers-only", None),
        is("loose", None),
    ];
    let mut found = pages;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn evidence_is_as_by_default_unless_it_is_stated_or_turned_off() {
    let found: Vec<_> = good("evidence.yaml")
        .objectives
        .iter()
        .map(|objective| {
            let gate = objective.evidence.map(|gate| gate.to_string());
            (objective.name.to_string(), gate)
        })
        .collect();
    let is = |name: &str, gate: Option<&str>| (name.to_owned(), gate.map(str::to_owned));
    assert_eq!(
        found,
        [
            is("default-availability", None),
            is("workbook-availability", Some("off")),
            is("strict-availability", Some("page 1%, ticket 1%")),
            is("annotated", Some("page 0.1%, ticket 10%")),
            is("annotated-off", Some("off")),
        ]
    );
}

#[test]
fn an_objective_says_whose_it_is_or_its_service_or_its_slo_does() {
    let found: Vec<String> = good("ownership.yaml")
        .objectives
        .iter()
        .map(|objective| {
            let own = &objective.ownership;
            let owner = own.owner.as_ref().map_or("-", |owner| owner.as_str());
            let url = own.runbook_url.as_ref().map_or("-", |url| url.as_str());
            format!("{}: {owner} {url}", objective.name)
        })
        .collect();
    assert_eq!(
        found,
        [
            "checkout-availability: Payments, on call https://wiki.example.com/slo/checkout?view=full#first",
            "checkout-latency: web http://[2001:db8::1]:8080/slow",
            "nobodys-availability: - https://wiki.example.com/nobodys",
            "both-answers: Éva https://wiki.example.com/both",
            "both-fast: Éva https://wiki.example.com/both",
            "both: Éva https://wiki.example.com/both",
        ]
    );
}

#[test]
fn every_good_file_is_read_and_survives_being_expanded() {
    for path in testdata("good") {
        let read = read_file(&path).unwrap_or_else(|found| panic!("{}", found));
        let text = expand(&read);
        let again = definitions::read_text(Path::new("expanded.yaml"), text.as_bytes())
            .unwrap_or_else(|found| panic!("{}\n{found}\n{text}", path.display()));
        assert_eq!(again.services, read.services, "{}", path.display());
        assert_eq!(again.dependencies, read.dependencies, "{}", path.display());
        assert_eq!(again.about, read.about, "{}", path.display());
        for (again, read) in again.objectives.iter().zip(&read.objectives) {
            assert_eq!(again, read, "{text}");
        }
        assert_eq!(again.objectives.len(), read.objectives.len());
    }
}

#[test]
fn a_short_form_becomes_a_service_and_its_objectives() {
    let read = good("short_form.yaml");
    insta::assert_debug_snapshot!((&read.services, &read.objectives));
}

#[test]
fn an_openslo_file_and_a_short_form_of_the_same_meaning_are_the_same_objectives() {
    let short = read(
        "{apiVersion: slowburn/v1, kind: Service, metadata: {name: web}, spec: {match: {port: 80}, window: 28d,
          objectives: {availability: 99.9%, latency: {below: 250ms, target: 99%, route: GET /api/}}}}",
    );
    let long = read(
        "apiVersion: openslo/v1
kind: Service
metadata: {name: web, annotations: {slowburn/match: port:80}}
spec: {}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: web-availability, displayName: web availability}
spec:
  service: web
  budgetingMethod: Occurrences
  timeWindow: [{duration: 4w, isRolling: true}]
  objectives: [{targetPercent: 99.9}]
  indicator:
    metadata: {name: web-answers}
    spec:
      ratioMetric:
        bad: {metricSource: {type: slowburn, spec: {status: [5xx, unanswered]}}}
        total: {metricSource: {type: slowburn, spec: {service: web}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: web-latency, displayName: web latency below 250ms of GET /api/}
spec:
  service: web
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.99, op: lte, value: 0.25}]
  indicator:
    spec: {thresholdMetric: {metricSource: {type: slowburn, spec: {route: GET /api/}}}}
",
    );
    assert_eq!(short.services, long.services);
    assert_eq!(short.objectives, long.objectives);
}

#[test]
fn several_objectives_of_one_slo_are_named_by_what_they_are_called() {
    let read = good("openslo_several_objectives.yaml");
    let found: Vec<_> = read
        .objectives
        .iter()
        .map(|o| format!("{} | {} | {} | {}", o.name, o.display_name, o.target, o.sli))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
    insta::assert_snapshot!(read.warnings);
}

#[test]
fn a_short_form_may_follow_a_calendar_and_count_slices() {
    insta::assert_snapshot!(expand(&good("short_form_slices.yaml")));
}

#[test]
fn what_v1alpha_says_is_said_in_v1() {
    insta::assert_snapshot!(expand(&good("openslo_v1alpha.yaml")));
}

#[test]
fn a_raw_ratio_is_the_share_of_what_is_counted_at_all() {
    let slis: Vec<String> = good("openslo_raw_ratio.yaml")
        .objectives
        .iter()
        .map(|o| o.sli.to_string())
        .collect();
    assert_eq!(
        slis,
        [
            "server ratio:1xx,2xx,3xx,4xx/1xx,2xx,3xx,4xx,5xx,unanswered route:GET /api/",
            "client ratio:1xx,2xx,3xx,4xx,grpc:no_server_error,answered/1xx,2xx,3xx,4xx,5xx,grpc,unanswered,answered route:*",
            "server latency:first_byte:250ms route:*"
        ]
    );
}

#[test]
fn thresholds_and_routes_are_collected_from_every_objective_of_a_service() {
    let read = good("several_objectives.yaml");
    let [web] = read.services.as_slice() else {
        panic!("{:?}", read.services)
    };
    let millis = Duration::from_millis;
    assert_eq!(
        web.thresholds,
        [(Clock::Turnaround, millis(100)), (Clock::FirstByte, millis(1000))]
    );
    assert_eq!(
        web.routes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["POST /orders", "GET *"]
    );
    assert_eq!(
        web.matches,
        [
            EndpointMatch::Port(9000),
            EndpointMatch::Cgroup("kubepods.slice/*/web*".to_owned())
        ]
    );
    let names: Vec<&str> = read.objectives.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "web-availability",
            "orders-availability",
            "web-calls-availability",
            "web-latency",
            "web-slowest"
        ]
    );
}

#[test]
fn requests_that_are_meant_to_wait_are_routes_or_a_whole_service() {
    let read = good("long_poll.yaml");
    let [news, queue] = read.services.as_slice() else {
        panic!("{:?}", read.services)
    };
    let waiting: Vec<Route> = ["GET /events", "GET /poll"]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    assert_eq!(news.routes, waiting);
    assert_eq!(news.long_poll, LongPoll::Routes(waiting));
    assert_eq!(
        news.thresholds,
        [
            (Clock::Turnaround, Duration::from_millis(250)),
            (Clock::LastByte, Duration::from_secs(2))
        ]
    );
    assert_eq!(queue.long_poll, LongPoll::All);
}

#[test]
fn what_is_accepted_with_a_warning_says_so() {
    insta::assert_snapshot!(good("warnings.yaml").warnings);
}

#[test]
fn kinds_of_other_crates_are_handed_over_with_their_positions() {
    let read = good("other_kinds.yaml");
    let found: Vec<_> = read
        .other
        .iter()
        .map(|d| {
            (
                d.kind.as_str(),
                d.name.as_str(),
                d.node.at.line,
                d.file.to_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("AlertNotificationTarget", "on-call", 1, "other_kinds.yaml"),
            ("Runbook", "limit-and-page", 6, "other_kinds.yaml"),
            ("NotificationTarget", "on-call", 11, "other_kinds.yaml")
        ]
    );
}

#[test]
fn diagnostics_are_readable_by_programs() {
    let text = "{apiVersion: slowburn/v1, kind: Service, metadata: {name: a}, spec: {mathc: 1}}";
    let found = definitions::read_text(Path::new("a.yaml"), text.as_bytes()).unwrap_err();
    insta::assert_json_snapshot!(found.to_json(), @r#"
    [
      {
        "column": 70,
        "file": "a.yaml",
        "hint": "did you mean `match`?",
        "line": 1,
        "message": "spec of Service `a` has the unknown key `mathc`",
        "severity": "error"
      }
    ]
    "#);
}

#[test]
fn a_directory_is_read_whole_and_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let service = |name: &str| {
        format!(
            r#"{{"apiVersion": "slowburn/v1", "kind": "Service", "metadata": {{"name": "{name}"}}, "spec": {{}}}}"#
        )
    };
    for (path, name) in [
        ("b.yml", "b"),
        ("nested/deep/c.json", "c"),
        ("a.yaml", "a"),
        (".hidden/d.yaml", "d"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, service(name)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("nested/loop")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a.yaml"), folder.path().join("z.yaml")).unwrap();
    let read = definitions::read(&[folder.path().to_owned(), folder.path().join("b.yml")]).unwrap();
    let names: Vec<&str> = read.services.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn references_and_duplicates_are_found_across_files() {
    let folder = tempfile::tempdir().unwrap();
    let service = "{apiVersion: slowburn/v1, kind: Service, metadata: {name: a}, spec: {}}";
    fs::write(folder.path().join("one.yaml"), service).unwrap();
    fs::write(folder.path().join("two.yaml"), service).unwrap();
    let found = definitions::read(&[folder.path().to_owned()])
        .unwrap_err()
        .to_string();
    let folder = folder.path().display().to_string();
    assert_eq!(
        found.replace(&folder, ""),
        "/two.yaml:1:59: Service `a` is defined twice, first in /one.yaml:1:59\nhint: rename one, or remove it"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("huge.yaml"), vec![b'#'; definitions::FILE_BYTES_MAX + 1]).unwrap();
    fs::create_dir(path("empty")).unwrap();
    std::os::unix::fs::symlink("/nowhere", path("broken.yaml")).unwrap();
    std::os::unix::net::UnixListener::bind(path("socket.yaml")).unwrap();
    let paths = [path("empty"), path("absent.yaml"), folder.path().to_owned()];
    let found = definitions::read(&paths).unwrap_err().to_string();
    insta::assert_snapshot!(found.replace(&folder.path().display().to_string(), ""), @r"
    /absent.yaml: could not be read: No such file or directory (os error 2)
    /broken.yaml: could not be read: No such file or directory (os error 2)
    /empty: warning: holds no `*.yaml`, `*.yml` or `*.json` file
    /huge.yaml: is larger than 10485760 bytes (10 MiB)
    hint: split the file; a directory is read whole
    /socket.yaml: is not a regular file
    ");
}

#[test]
fn a_file_of_the_largest_size_is_read() {
    let mut text = b"{apiVersion: slowburn/v1, kind: Service, metadata: {name: a}, spec: {}}\n".to_vec();
    text.resize(definitions::FILE_BYTES_MAX, b'#');
    assert_eq!(
        definitions::read_text(Path::new("a.yaml"), &text)
            .unwrap()
            .services
            .len(),
        1
    );
}

#[test]
fn a_flood_of_mistakes_is_cut_short() {
    let mut text = "{apiVersion: slowburn/v1, kind: Service, metadata: {name: a}, spec: {\n".to_owned();
    (0..40_000).for_each(|n| text.push_str(&format!("unknown{n}: 1,\n")));
    text.push_str("}}");
    let found = definitions::read_text(Path::new("a.yaml"), text.as_bytes()).unwrap_err();
    assert_eq!(found.0.len(), 201);
    assert_eq!(
        found.0[0].message,
        "has more than 200 mistakes, the others are not shown"
    );
}

fn config() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

#[test]
fn the_example_configuration_has_no_mistakes_and_no_warnings() {
    let read = definitions::read(&[config()]).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(read.warnings.to_string(), "");
    let names: Vec<&str> = read.services.iter().map(|s| s.name.as_str()).collect();
    for name in ["checkout", "payments"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[test]
fn the_two_example_forms_mean_the_same() {
    let short = definitions::read(&[config().join("checkout.yaml")]).unwrap();
    let long = definitions::read(&[config().join("payments.openslo.yaml")]).unwrap();
    let plain = |read: &Definitions| {
        format!("{:#?}", (&read.services, &read.objectives))
            .replace("Payments", "Checkout")
            .replace("payments", "checkout")
            .replace("9080", "8080")
            .replace("9443", "8443")
    };
    assert_eq!(plain(&short), plain(&long));
    assert_eq!(short.objectives[0].tiers.len(), 4);
}

#[test]
fn the_examples_of_the_reference_are_read() {
    let text = fs::read_to_string(config().join("README.md")).unwrap();
    let examples: Vec<&str> = text
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!examples.is_empty());
    for example in examples {
        read(example);
    }
}

#[test]
fn a_composite_is_an_objective_that_others_spend() {
    let read = good("openslo_composite.yaml");
    let found: Vec<_> = read
        .objectives
        .iter()
        .map(|o| {
            let tiers = o.tiers.len();
            format!(
                "{} | {} | {} | {tiers} tiers | {}",
                o.name, o.display_name, o.target, o.sli
            )
        })
        .collect();
    insta::assert_snapshot!(found.join("\n"));
    insta::assert_snapshot!(read.warnings);
    insta::assert_snapshot!(expand(&read));
}
