//! The example prints what its header says, and no secret.

use std::process::Command;

#[test]
fn it_prints_what_its_header_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_keygate-example-tracing")).output().unwrap();
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let header = include_str!("../src/main.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let expected: Vec<_> = header
        .skip_while(|line| !line.starts_with(" $ cargo run"))
        .skip(1)
        .take_while(|line| *line != " ```")
        .map(|line| line.strip_prefix(' ').unwrap())
        .collect();
    assert_eq!(expected.len(), 4);
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert!(!printed.contains("LBpE"));
}
