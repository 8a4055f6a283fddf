//! Files that a person can read, and a test compares.

use std::{env, fs, path::Path};

/// Compares with `tests/golden/<name>`; with `UPDATE_GOLDEN=1` in the environment, writes it.
#[track_caller]
pub(crate) fn assert_golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(&path, actual).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (number, (golden, actual)) in (1..).zip(golden.lines().zip(actual.lines())) {
        assert_eq!(golden, actual, "{name} differs first in line {number}");
    }
    assert_eq!(golden, actual, "{name} has lines that the other has not");
}
