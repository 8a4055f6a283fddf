//! Tests that run as processes of their own, and what they say to the one that started them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses some of it")]

use std::{
    env,
    io::{self, Write},
    process::{Command, Stdio},
};

/// Names an ignored test of this program, to be started as a process.
pub(crate) fn test(name: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--ignored", "--nocapture"]).stdout(Stdio::piped());
    command
}

/// Writes a line at once, and past the harness, which would keep it.
pub(crate) fn say(line: core::fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    output.write_all(format!("{SAYS}{line}\n").as_bytes()).unwrap();
    output.flush().unwrap();
}

/// Returns what was said; a line without an end was cut off, and the harness says things too.
pub(crate) fn said(line: &str) -> Option<&str> {
    line.strip_suffix('\n').and_then(|line| line.strip_prefix(SAYS))
}

/// The first line of the harness is on a line of ours.
const SAYS: &str = "@ ";
