//! The example of a migration prints what its header says, every time.

use std::{env, process::Command};

#[test]
fn the_example_prints_what_its_header_says() {
    let source = include_str!("../../examples/migrate.rs");
    let header =
        source.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(line));
    let mut blocks =
        header.skip_while(|line| !line.starts_with("It prints")).skip_while(|line| *line != "```text").skip(1);
    let expected: Vec<_> = blocks.by_ref().take_while(|line| *line != "```").collect();
    assert!(expected.len() > 20, "the header was found");

    // Built where this test was: `cargo test --test it` alone builds no examples.
    let test = env::current_exe().unwrap();
    // Where a target is named, cargo builds in a directory of its name.
    let named = env::var_os("CARGO_BUILD_TARGET").is_some();
    let target = test.ancestors().nth(if named { 4 } else { 3 }).unwrap();
    let run = ["run", "--quiet", "--example", "migrate", "--all-features", "--target-dir"];
    let output = Command::new(env!("CARGO")).args(run).arg(target).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
}
