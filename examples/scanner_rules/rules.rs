//! The rules of each scanner, in the form that it reads.
//!
//! None asks for a boundary: what is beside a token says nothing, be it the letter of an escape or another token.
//! detect-secrets and Kingfisher compare the checksum, so that a chance hit is none. What stands beside a token is a field
//! of its own for GitHub, and left empty it means a boundary; so it is filled with what is always there.

use std::sync::Mutex;

use keygate::{Issuer, KeyKind, Randomness, RandomnessError, Token, scan::Pattern, verify::GenerateError};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A generator that gives the same in each run.
struct Repeating(Mutex<ChaCha20Rng>);

impl Randomness for Repeating {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        self.0.lock().map_err(|_| RandomnessError::new())?.fill_bytes(bytes);
        Ok(())
    }
}

/// A file to write.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Returns the rules of all scanners.
pub(crate) fn all(issuer: Issuer) -> Result<[File; 5], GenerateError> {
    // A token that opens nothing, the same in each run, for scanners that ask for one to try the rule with.
    let sample = Token::generate(issuer, KeyKind::Team, &Repeating(Mutex::new(ChaCha20Rng::from_seed([0; 32]))))?;
    let file = |name: &str, text: String| File { name: name.to_owned(), text };
    Ok([
        file("gitleaks.toml", gitleaks(issuer)),
        file("trufflehog.yaml", trufflehog(issuer)),
        file("github.md", github(issuer, &sample)),
        file("kingfisher.yaml", kingfisher(issuer, &sample)),
        file(&format!("detect_secrets_{issuer}.py"), detect_secrets(issuer)),
    ])
}

/// What a text has to hold before an expression is tried on it.
fn keywords(issuer: Issuer) -> [String; 2] {
    [KeyKind::Personal, KeyKind::Team].map(|kind| format!("{issuer}{}1_", kind.symbol()))
}

fn gitleaks(issuer: Issuer) -> String {
    let [personal, team] = keywords(issuer);
    let pattern = Pattern::new(issuer);
    format!(
        r#"# gitleaks git --config gitleaks.toml
title = "{issuer} API keys"

[extend]
useDefault = true

[[rules]]
id = "{issuer}-api-key"
description = "An API key of {issuer}"
regex = '''{pattern}'''
keywords = ["{personal}", "{team}"]
"#
    )
}

fn trufflehog(issuer: Issuer) -> String {
    let [personal, team] = keywords(issuer);
    let pattern = Pattern::new(issuer);
    format!(
        r"# trufflehog git file://. --config=trufflehog.yaml
#
# With `verify:` and an endpoint of yours, it asks whether a key that it found is live.
detectors:
  - name: {issuer}-api-key
    description: An API key of {issuer}
    keywords:
      - {personal}
      - {team}
    regex:
      token: '({pattern})'
"
    )
}

fn github(issuer: Issuer, sample: &Token) -> String {
    let (pattern, sample) = (Pattern::new(issuer), sample.expose_secret());
    format!(
        r"# A custom pattern for GitHub's secret scanning

Settings, Advanced Security, Custom patterns, New pattern. The last three are under More options.

| field | value |
|---|---|
| Pattern name | `{issuer} API key` |
| Secret format | `{pattern}` |
| Before secret | `\A\|[\s\S]` |
| After secret | `\z\|[\s\S]` |
| Test string | `{sample}` |

In the table, `\|` is a `|`.
"
    )
}

fn kingfisher(issuer: Issuer, sample: &Token) -> String {
    let pattern = Pattern::new(issuer);
    let (body, checksum, sample) = (pattern.body(), pattern.checksum(), sample.expose_secret());
    format!(
        r#"# kingfisher scan . --rules-path kingfisher.yaml
rules:
  - name: {issuer} API key
    id: keygate.{issuer}.1
    pattern: |
      (?x)
      (
        (?P<body> {body} )
        _
        (?P<checksum> {checksum} )
      )
    min_entropy: 3.0
    confidence: high
    # The first digits of SHA-256 of everything before them: a mistyped or invented token is no find.
    pattern_requirements:
      checksum:
        actual:
          template: "{{{{ CHECKSUM }}}}"
          requires_capture: checksum
        expected: "{{{{ BODY | sha256 | prefix: 8 }}}}"
    # It opens nothing.
    examples:
      - {sample}
"#
    )
}

fn detect_secrets(issuer: Issuer) -> String {
    let pattern = Pattern::new(issuer);
    format!(
        r#""""Finds API keys of {issuer}: detect-secrets scan -p detect_secrets_{issuer}.py"""
import hashlib
import re

from detect_secrets.plugins.base import RegexBasedDetector


class KeygateDetector(RegexBasedDetector):
    secret_type = "{issuer} API key"

    # Looks ahead, so that what only looks like a key hides none that begins in it.
    denylist = [re.compile(r"(?=({pattern}))")]

    def analyze_string(self, string):
        for token in super().analyze_string(string):
            body, _, checksum = token.rpartition("_")
            # A mistyped or invented token is no find.
            if hashlib.sha256(body.encode()).hexdigest().startswith(checksum):
                yield token
"#
    )
}
