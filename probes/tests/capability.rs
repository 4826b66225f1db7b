//! What `slowburn doctor` is told.

use probes::capability;

#[test]
fn a_machine_on_which_the_tests_run_has_everything() {
    assert!(capability::privileged().is_ok());
    let checks = capability::check();
    assert!(checks.len() >= 10);
    for check in checks {
        assert!(check.ok, "{check:?}");
        assert_eq!(check.remedy, None);
    }
}
