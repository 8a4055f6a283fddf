//! Clients of others, unmodified: Baseten's own for managing keys, and schemathesis with the document that is served.
//!
//! A tool that is not there is skipped by name; where `CI` is set, that is a failure.
#![expect(clippy::unwrap_used, reason = "these are tests")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod common;

mod baseten;
mod document;

use std::{env, process::Command};

/// The Python that has the packages; `KEYGATE_TEST_PYTHON` names another one than `python3`.
fn python() -> Command {
    Command::new(env::var_os("KEYGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into()))
}

/// Returns `true` if the package is there; says that it is skipped otherwise.
fn has(package: &str) -> bool {
    let is_there = python().args(["-c", &format!("import {package}")]).output();
    let is_there = is_there.is_ok_and(|output| output.status.success());
    if !is_there {
        let how = format!("pip install {package}, and set KEYGATE_TEST_PYTHON to the Python that has it");
        common::skipped(package, &how);
    }
    is_there
}
