//! Runs the program, and makes tokens.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
};

use keygate::{Issuer, KeyKind, Token};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

/// What a run left behind.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs the program in a folder, with what is piped in.
pub(crate) fn keygate<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Ran {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
    program.args(arguments).current_dir(folder);
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = program.spawn().unwrap();
    let mut pipe = program.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // It may answer before it has read everything.
        let _ = pipe.write_all(&input);
    });
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran {
        code: output.status.code().expect("it ended by itself"),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A token, the same in each run.
pub(crate) fn token(issuer: &str, kind: KeyKind, seed: u8) -> Token {
    let issuer: Issuer = issuer.parse().unwrap();
    Token::generate(issuer, kind, &Mutex::new(ChaCha20Rng::from_seed([seed; 32]))).unwrap()
}
