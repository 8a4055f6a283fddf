//! `keygate`: finds the API keys of a service in files and streams, redacts them, writes rules for secret scanners, and
//! explains a token.
//!
//! No command shows a secret of the given issuers, neither in its output nor in its error messages; in the name of a
//! file, nor that of any other issuer. None takes a token as an argument: the arguments of a program are seen by other
//! users of the machine, and stay in the history of the shell.

mod arguments;
mod inspect;
mod redact;
mod rules;
mod scan;
mod search;
mod shown;

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use self::arguments::Command;

fn main() -> ExitCode {
    let outcome = match arguments::parse() {
        Ok(Command::Scan(arguments)) => scan::scan(&arguments),
        Ok(Command::Redact(arguments)) => redact::redact(&arguments),
        Ok(Command::Rules(arguments)) => rules::print(&arguments),
        Ok(Command::Inspect(arguments)) => inspect::inspect(&arguments),
        Err(code) => return code,
    };
    match outcome {
        Ok(code) => code,
        // The reader has seen enough: `keygate scan . | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

/// Reports an error. If standard error is gone, nobody is left to read it.
fn complain(error: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "keygate: {error}");
    FAILED.into()
}

/// A token was found, or the inspected text is not a token.
const FOUND: u8 = 1;
/// Something could not be read, written or understood.
const FAILED: u8 = 2;
