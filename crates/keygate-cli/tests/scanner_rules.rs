//! The rules that are written for secret scanners: held against the grammar, and run by the scanners themselves.
//!
//! A scanner that is not there is skipped by name; where `CI` is set, one that `.ci/run` installs has to be there.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "these are tests, and what is skipped is told"
)]

mod common;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{keygate, token};
use keygate::{KeyKind, scan::Scanner};
use regex::Regex;
use serde_json::Value;

/// The name of a file, and what stands in it, `{}` for the token.
const CONTEXTS: [(&str, &str); 28] = [
    ("alone.txt", "{}"),
    ("line.txt", "before\n{}\nafter\n"),
    ("double_quoted.py", "api_key = \"{}\"\n"),
    ("single_quoted.rb", "api_key = '{}'\n"),
    ("object.json", "{\"service\":\"x\",\"credential\":\"{}\"}\n"),
    ("nested.json", "{\"body\":\"{\\\"credential\\\":\\\"{}\\\"}\"}\n"),
    ("list.yaml", "keys:\n  - {}\n"),
    ("map.yaml", "credential: {}\n"),
    ("production.env", "ACME_CREDENTIAL={}\n"),
    ("settings.toml", "credential=\"{}\" # the batch job\n"),
    ("query.txt", "GET https://models.example/predict?key={}&stream=1\n"),
    ("userinfo.txt", "git clone https://x:{}@git.example/core.git\n"),
    ("header.txt", "Authorization: Bearer {}\r\nHost: models.example\r\n"),
    ("call.sh", "curl -H 'Authorization: Api-Key {}' https://models.example/\n"),
    ("service.log", "2026-05-04T11:22:33Z WARN call{key={}}: retried=3\n"),
    ("notes.md", "Use `{}` until Friday.\n"),
    ("page.html", "<code>{}</code>\n"),
    ("table.csv", "1,{},nightly\n"),
    ("end.txt", "the key is {}"),
    // What touches the token is a letter or a digit: of an escape, of a colour, or of a word.
    ("analysis.ipynb", "{\"cells\":[{\"cell_type\":\"code\",\"source\":[\"import x\\n{}\\n\"]}]}\n"),
    ("indented.ipynb", "{\"cells\":[{\"cell_type\":\"code\",\"source\":[\"if x:\\r\\n\",\"\\t{}\"]}]}\n"),
    ("json_in_json.json", "{\"body\":\"{\\\"log\\\":\\\"sent\\\\n{}\\\\nagain\\\"}\"}\n"),
    ("windows.env", "A=1\r\nACME_CREDENTIAL={}\r\nB=2\r\n"),
    ("coloured.log", "\u{1b}[2m2026-05-04\u{1b}[0m \u{1b}[32m{}\u{1b}[0m\n"),
    ("encoded_query.log", "GET /predict?next=%2F%3Fkey%3D{}%26n%3D3\n"),
    ("mail.eml", "Subject: the key\r\n\r\nkey=3D{}=20\r\n"),
    ("bundle.min.js", "!function(){var e=1,t=\"k\\x3d{}\";fetch(\"/\"+e+t)}();"),
    ("glued.txt", "KEY_{}_x\n"),
];

/// A minified script is one line, and no short one.
fn in_context(name: &str, around: &str, token: &str) -> String {
    let text = around.replace("{}", token);
    if name.ends_with(".min.js") { "var a=function(b){return b+1};".repeat(5_000) + &text } else { text }
}

/// The scanners, with the name of the file that each reads.
const FILES: [(&str, &str); 5] = [
    ("gitleaks", "gitleaks.toml"),
    ("trufflehog", "trufflehog.yaml"),
    ("github", "github.md"),
    ("kingfisher", "kingfisher.yaml"),
    ("detect-secrets", "keygate.py"),
];

/// What the program prints for a scanner.
fn rule(scanner: &str, issuers: &[&str]) -> String {
    let issuers = issuers.iter().flat_map(|issuer| ["--issuer", issuer]);
    let ran = keygate(Path::new("."), ["rules", scanner].into_iter().chain(issuers), b"");
    assert_eq!((ran.code, &*ran.errors), (0, ""));
    ran.output
}

/// The expressions in the rules.
fn expressions(issuer: &str) -> Vec<(&'static str, Regex)> {
    let of = |scanner: &str, before: &str, after: &str| {
        let text = rule(scanner, &[issuer]);
        let (_, rest) = text.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.to_owned()
    };
    let github = |field: &str| of("github", &format!("| {field} | `"), "` |").replace("\\|", "|");
    let github = format!("(?:{})({})(?:{})", github("Before secret"), github("Secret format"), github("After secret"));
    [
        ("regex", of("regex", "", "\n")),
        ("gitleaks", of("gitleaks", "regex = '''", "'''")),
        ("trufflehog", of("trufflehog", "token: '", "'")),
        ("github", github),
        ("kingfisher", of("kingfisher", "pattern: |", "min_entropy").trim().to_owned()),
        // The engine here has no look-around: what is looked ahead for is the same.
        ("detect-secrets", of("detect-secrets", "(?=(", "))")),
    ]
    .map(|(name, expression)| (name, Regex::new(&expression).unwrap()))
    .into()
}

#[test]
fn every_rule_finds_a_token_in_every_context() {
    for issuer in ["kg", "acme", "a234567890"] {
        let scanner = Scanner::new(issuer.parse().unwrap());
        let expressions = expressions(issuer);
        for (seed, (context, around)) in (0..).zip(CONTEXTS) {
            let token = token(issuer, KeyKind::Personal, seed);
            let token = token.expose_secret();
            let text = in_context(context, around, token);
            for (scanner, expression) in &expressions {
                assert_eq!(expression.find_iter(&text).count(), 1, "{scanner}: {context}");
                for other in [token.to_uppercase(), token[1..].to_owned(), token[..token.len() - 1].to_owned()] {
                    let text = in_context(context, around, &format!("{other}-"));
                    assert!(!expression.is_match(&text), "{scanner}: {context}: {other}");
                }
            }
            assert!(scanner.find(&text).map(|found| found.expose_secret()).eq([token]), "{context}");
            let corrupted = in_context(context, around, &corrupted(token));
            assert_eq!(scanner.find(&corrupted).count(), 0, "{context}");
        }
    }
}

/// One symbol of the secret is another.
fn corrupted(token: &str) -> String {
    let place = token.len().checked_sub(20).unwrap();
    let other = if token.as_bytes()[place] == b'x' { "y" } else { "x" };
    [&token[..place], other, &token[place..][1..]].concat()
}

/// What a scanner said: the files in which it found something, and how often.
type Finds = BTreeMap<String, usize>;

/// A folder with the rules, one with a token in each context, and one with a corrupted token in each.
fn folders(scanner: &str) -> [PathBuf; 3] {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scanner_rules").join(scanner);
    let folders = ["rules", "leaks", "corrupted"].map(|name| base.join(name));
    for folder in &folders {
        fs::create_dir_all(folder).unwrap();
    }
    for (scanner, name) in FILES {
        fs::write(folders[0].join(name), rule(scanner, &["other", "acme"])).unwrap();
    }
    for (seed, (name, around)) in (0..).zip(CONTEXTS) {
        let token = token("acme", KeyKind::Team, seed);
        fs::write(folders[1].join(name), in_context(name, around, token.expose_secret())).unwrap();
        fs::write(folders[2].join(name), in_context(name, around, &corrupted(token.expose_secret()))).unwrap();
    }
    folders
}

fn everywhere() -> Finds {
    CONTEXTS.iter().map(|(name, _)| ((*name).to_owned(), 1)).collect()
}

/// Counts finds by the name of the file.
fn counted<'a>(paths: impl Iterator<Item = &'a str>) -> Finds {
    let mut finds = Finds::new();
    for path in paths {
        let count = finds.entry(Path::new(path).file_name().unwrap().to_str().unwrap().to_owned()).or_default();
        *count = count.checked_add(1).unwrap();
    }
    finds
}

/// Runs a scanner, and returns what it printed. A find is an exit with another status than 0 for some.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    String::from_utf8(output.stdout).unwrap_or_else(|_| panic!("{errors}"))
}

/// Returns `true` if a scanner runs; says what is skipped otherwise.
fn is_there(scanner: &str, command: &mut Command, how: &str, is_installed_by_ci: bool) -> bool {
    let is_there = command.output().is_ok_and(|output| output.status.success());
    if !is_there {
        assert!(!is_installed_by_ci || env::var_os("CI").is_none(), "{scanner} is missing: {how}");
        println!("skipped: {scanner}: {how}");
    }
    is_there
}

/// The Python that has the scanners; `KEYGATE_TEST_PYTHON` names another one than `python3`.
fn python(module: &str) -> Command {
    let mut command = Command::new(env::var_os("KEYGATE_TEST_PYTHON").unwrap_or_else(|| "python3".into()));
    command.args(["-m", module]);
    command
}

const IN_PYTHON: &str =
    "pip install detect-secrets kingfisher-bin, and set KEYGATE_TEST_PYTHON to the Python that has them";

#[test]
fn detect_secrets_finds_what_it_should() {
    if !is_there("detect-secrets", python("detect_secrets").arg("--version"), IN_PYTHON, true) {
        return;
    }
    let [rules, leaks, corrupted] = folders("detect_secrets");
    let scan = |folder: &Path| {
        let plugin = rules.join("keygate.py");
        let mut command = python("detect_secrets");
        // It looks at nothing outside of where it is run.
        let printed = run(command.args(["scan", "--all-files", "-p"]).arg(&plugin).arg(".").current_dir(folder));
        let report: Value = serde_json::from_str(&printed).unwrap();
        let files = report["results"].as_object().unwrap();
        let ours = files.iter().flat_map(|(file, finds)| {
            let is_ours = |find: &&Value| find["type"] == "acme API key";
            finds.as_array().unwrap().iter().filter(is_ours).map(|_| &**file)
        });
        counted(ours)
    };
    assert_eq!(scan(&leaks), everywhere());
    assert_eq!(scan(&corrupted), Finds::new());
}

#[test]
fn kingfisher_finds_what_it_should() {
    if !is_there("kingfisher", python("kingfisher").args(["--no-update-check", "--version"]), IN_PYTHON, true) {
        return;
    }
    let [rules, leaks, corrupted] = folders("kingfisher");
    let rules = rules.join("kingfisher.yaml");
    let scan = |folder: &Path| {
        let mut command = python("kingfisher");
        command.args(["scan", "--no-update-check", "--quiet", "--no-validate", "--no-dedup", "--no-rule-cache"]);
        command.args(["--load-builtins", "false", "--format", "jsonl", "--rules-path"]).args([&rules, folder]);
        let printed = run(&mut command);
        let lines: Vec<Value> = printed.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        counted(lines.iter().filter_map(|line| line["finding"]["path"].as_str()))
    };
    assert_eq!(scan(&leaks), everywhere());
    assert_eq!(scan(&corrupted), Finds::new());
    // It reads the whole file, and tries the rule on its own example.
    let mut check = python("kingfisher");
    check.args(["rules", "check", "--no-update-check", "--warnings-as-errors", "--rule", "keygate.acme.1"]);
    assert!(check.arg("--rules-path").arg(&rules).output().unwrap().status.success());
}

/// No registry has it as its makers publish it, so it is run where somebody installed it.
#[test]
fn gitleaks_finds_what_it_should() {
    let gitleaks = || Command::new(env::var_os("KEYGATE_TEST_GITLEAKS").unwrap_or_else(|| "gitleaks".into()));
    let how = "install gitleaks, or set KEYGATE_TEST_GITLEAKS to where it is";
    if !is_there("gitleaks", gitleaks().arg("version"), how, false) {
        return;
    }
    let [rules, leaks, corrupted] = folders("gitleaks");
    let scan = |folder: &Path| {
        let mut command = gitleaks();
        command.args(["dir", "--no-banner", "--report-format", "json", "--report-path", "-", "--config"]);
        let printed = run(command.args([&rules.join("gitleaks.toml"), folder]));
        let finds: Vec<Value> = serde_json::from_str(&printed).unwrap();
        let ours = finds.iter().filter(|find| find["RuleID"] == "acme-api-key");
        counted(ours.map(|find| find["File"].as_str().unwrap()))
    };
    assert_eq!(scan(&leaks), everywhere());
    // Its rules know no checksum: what was mistyped is found too, and `Scanner::find` tells it apart.
    assert_eq!(scan(&corrupted), everywhere());
}

/// One rule for each issuer, and no more of a scanner's own than once.
#[test]
fn rules_are_for_several_issuers() {
    assert_eq!(
        rule("regex", &["kg", "acme"]),
        "kg[pt]1_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}_[0-9a-f]{8}\nacme[pt]1_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}_[0-9a-f]{8}\n"
    );
    for (scanner, _) in FILES {
        let (kg, acme, both) = (rule(scanner, &["kg"]), rule(scanner, &["acme"]), rule(scanner, &["kg", "acme"]));
        assert!(both.starts_with(&kg), "{scanner}");
        assert!(acme.ends_with(both.strip_prefix(&kg).unwrap()), "{scanner}");
        assert_eq!(both, rule(scanner, &["kg", "acme"]), "the same in each run");
        assert_eq!(both, rule(scanner, &["kg", "acme", "kg"]), "an issuer that is named twice");
    }
}
