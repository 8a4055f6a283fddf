//! `keygate rules`: the rules of each scanner, in the form that it reads.
//!
//! None asks for a boundary: the text beside a token means nothing, be it the letter of an escape or another token.
//! detect-secrets and Kingfisher compare the checksum, so they drop chance hits. For GitHub, the text beside a token is
//! a field of its own, and an empty field means a boundary; so it is filled with a pattern that always fits.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::Mutex,
};

use keygate::{Issuer, KeyKind, Token, scan::Pattern, verify::GenerateError};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};

use crate::arguments::{For, Rules};

pub(crate) fn print(arguments: &Rules) -> io::Result<ExitCode> {
    let rule = rule(arguments.scanner, &arguments.issuers.each()).map_err(io::Error::other)?;
    let mut output = io::stdout().lock();
    output.write_all(rule.as_bytes())?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

type Rule = Result<String, GenerateError>;

fn rule(scanner: For, issuers: &[Issuer]) -> Rule {
    let (head, of_one): (_, fn(Issuer) -> Rule) = match scanner {
        For::Regex => ("", regex),
        For::Gitleaks => (GITLEAKS, gitleaks),
        For::Trufflehog => (TRUFFLEHOG, trufflehog),
        For::Github => (GITHUB, github),
        For::Kingfisher => (KINGFISHER, kingfisher),
        For::DetectSecrets => (DETECT_SECRETS, detect_secrets),
    };
    let rules: Result<Vec<_>, _> = issuers.iter().copied().map(of_one).collect();
    Ok(head.to_owned() + &rules?.concat())
}

fn regex(issuer: Issuer) -> Rule {
    Ok(format!("{}\n", Pattern::new(issuer)))
}

/// Returns a token that opens nothing, the same in each run, for scanners that ask for one to try the rule with.
fn sample(issuer: Issuer) -> Result<Token, GenerateError> {
    Token::generate(issuer, KeyKind::Team, &Mutex::new(ChaCha20Rng::from_seed([0; 32])))
}

/// The text that must be present before an expression is tried.
fn keywords(issuer: Issuer) -> [String; 2] {
    [KeyKind::Personal, KeyKind::Team].map(|kind| format!("{issuer}{}1_", kind.symbol()))
}

const GITLEAKS: &str = "# gitleaks git --config gitleaks.toml

[extend]
useDefault = true
";

fn gitleaks(issuer: Issuer) -> Rule {
    let ([personal, team], pattern) = (keywords(issuer), Pattern::new(issuer));
    Ok(format!(
        r#"
[[rules]]
id = "{issuer}-api-key"
description = "An API key of {issuer}"
regex = '''{pattern}'''
keywords = ["{personal}", "{team}"]
"#
    ))
}

const TRUFFLEHOG: &str = "# trufflehog git file://. --config=trufflehog.yaml
#
# With `verify:` and an endpoint of yours, it asks whether a key that it found is live.
detectors:
";

fn trufflehog(issuer: Issuer) -> Rule {
    let ([personal, team], pattern) = (keywords(issuer), Pattern::new(issuer));
    Ok(format!(
        r"  - name: {issuer}-api-key
    description: An API key of {issuer}
    keywords:
      - {personal}
      - {team}
    regex:
      token: '({pattern})'
"
    ))
}

const GITHUB: &str = r"# Custom patterns for GitHub's secret scanning

Settings, Advanced Security, Custom patterns, New pattern. The last three fields are under More options. In a table, `\|` is a
`|`.
";

fn github(issuer: Issuer) -> Rule {
    let sample = sample(issuer)?;
    let (pattern, sample) = (Pattern::new(issuer), sample.expose_secret());
    Ok(format!(
        r"
| field | value |
|---|---|
| Pattern name | `{issuer} API key` |
| Secret format | `{pattern}` |
| Before secret | `\A\|[\s\S]` |
| After secret | `\z\|[\s\S]` |
| Test string | `{sample}` |
"
    ))
}

const KINGFISHER: &str = "# kingfisher scan . --rules-path kingfisher.yaml
rules:
";

fn kingfisher(issuer: Issuer) -> Rule {
    let sample = sample(issuer)?;
    let pattern = Pattern::new(issuer);
    let (body, checksum, sample) = (pattern.body(), pattern.checksum(), sample.expose_secret());
    Ok(format!(
        r#"  - name: {issuer} API key
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
    ))
}

const DETECT_SECRETS: &str = r#""""Finds API keys of keygate: detect-secrets scan -p keygate.py"""
import hashlib
import re

from detect_secrets.plugins.base import RegexBasedDetector


class Detector(RegexBasedDetector):
    def analyze_string(self, string):
        for token in super().analyze_string(string):
            body, _, checksum = token.rpartition("_")
            # A mistyped or invented token is no find.
            if hashlib.sha256(body.encode()).hexdigest().startswith(checksum):
                yield token
"#;

fn detect_secrets(issuer: Issuer) -> Rule {
    let pattern = Pattern::new(issuer);
    Ok(format!(
        r#"

class Detector_{issuer}(Detector):
    secret_type = "{issuer} API key"

    # Looks ahead, so that what only looks like a key hides none that begins in it.
    denylist = [re.compile(r"(?=({pattern}))")]
"#
    ))
}
