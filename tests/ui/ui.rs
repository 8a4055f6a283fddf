//! Misuses that must not compile: each file in `cases` is one, and the `.stderr` beside it says what the compiler says.
//!
//! Texts of the compiler change from release to release, so they are compared on one release only. To write them again:
//! `TRYBUILD=overwrite cargo test -p keygate-ui`.

use std::{
    env,
    io::{Write as _, stderr},
    process::Command,
};

/// The release whose texts the `.stderr` files hold.
const RELEASE: &str = "rustc 1.95.";

#[test]
fn misuses_do_not_compile() {
    let version = version();
    if !version.starts_with(RELEASE) || version.contains('-') {
        assert!(
            env::var_os("CI").is_none(),
            "the texts are of {RELEASE}x stable, and this is {version}: write them again"
        );
        // Not `eprintln!`, whose text the test harness hides when the test passes.
        writeln!(stderr(), "skipped misuses_do_not_compile: its texts are of {RELEASE}x stable, this is {version}")
            .expect("standard error is open");
        return;
    }
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}

/// Asks the compiler that trybuild will use.
fn version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-V").output().expect("rustc tells its version");
    let text = String::from_utf8(output.stdout).expect("a version is text");
    // Without the commit and the date in parentheses, which have hyphens of their own.
    text.split(" (").next().unwrap_or_default().trim().to_owned()
}
