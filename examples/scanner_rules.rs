//! Writes rules by which secret scanners find the tokens of a service: for gitleaks, TruffleHog, GitHub, Kingfisher
//! and detect-secrets, all from the one grammar in the crate.
//!
//! ```text
//! $ cargo run --example scanner_rules -- --issuer acme
//! scanner-rules/gitleaks.toml
//! scanner-rules/trufflehog.yaml
//! scanner-rules/github.md
//! scanner-rules/kingfisher.yaml
//! scanner-rules/detect_secrets_acme.py
//! ```
//!
//! `--out FOLDER` writes them elsewhere. How each is used stands in its first lines.

#[path = "scanner_rules/rules.rs"]
mod rules;

use core::error::Error;
use std::{env, fs, path::PathBuf};

use keygate::Issuer;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut issuer, mut folder) = (None, PathBuf::from("scanner-rules"));
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match &*argument {
            "--issuer" => issuer = Some(value.parse::<Issuer>()?),
            "--out" => folder = value.into(),
            _ => return Err(USAGE.into()),
        }
    }
    fs::create_dir_all(&folder)?;
    for rules::File { name, text } in rules::all(issuer.ok_or(USAGE)?)? {
        let path = folder.join(name);
        fs::write(&path, text)?;
        #[expect(clippy::print_stdout, reason = "what was written is what is asked for")]
        {
            println!("{}", path.display());
        }
    }
    Ok(())
}

const USAGE: &str = "usage: scanner_rules --issuer ISSUER [--out FOLDER]";
