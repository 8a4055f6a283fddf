//! What the built program answers, prints and complains about, and that no secret is in it.
#![expect(clippy::string_slice, clippy::unwrap_used, reason = "these are tests; tokens are ASCII")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use common::{Ran, keygate, token};
use keygate::KeyKind;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const T: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const P: &str = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
/// The canary.
const SECRET: &str = "LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1";

/// A folder with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// Runs it with an argument after the other, as they are written with spaces between them.
#[track_caller]
fn run(folder: &Path, arguments: &str, input: &str) -> Ran {
    let ran = keygate(folder, arguments.split_whitespace(), input.as_bytes());
    for text in [&ran.output, &ran.errors] {
        for part in SECRET.as_bytes().windows(8) {
            assert!(!text.contains(core::str::from_utf8(part).unwrap()), "{text}");
        }
    }
    ran
}

/// The lines of a scan in their order, which the threads do not keep.
fn sorted(output: &str) -> Vec<&str> {
    let mut lines: Vec<_> = output.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn scan_says_where_each_token_is() {
    let folder = tree(&[
        ("src/a.rs", &format!("// nothing\nconst A: &str = \"\\n{T}\";\n")),
        ("b.env", &format!("A=1\r\nB={P}\r\n")),
        ("twice.txt", &format!("{T}{P}")),
        ("binary", &format!("\0\u{1}\n\0{T}\0")),
        ("mistyped.txt", &T.replace("LBpE", "LBpF")),
        ("other.txt", token("acme", KeyKind::Team, 1).expose_secret()),
        ("empty", ""),
    ]);
    let ran = run(folder.path(), "scan --issuer kg .", "");
    let expected = [
        "b.env:2:3: personal key kgp1_wk59pfKL0jFi2YYv",
        "binary:2:2: team key kgt1_wk59pfKL0jFi2YYv",
        "src/a.rs:2:20: team key kgt1_wk59pfKL0jFi2YYv",
        "twice.txt:1:1: team key kgt1_wk59pfKL0jFi2YYv",
        "twice.txt:1:64: personal key kgp1_wk59pfKL0jFi2YYv",
    ];
    assert_eq!((ran.code, sorted(&ran.output), &*ran.errors), (1, expected.into(), ""));

    let both = run(folder.path(), "scan --issuer kg --issuer acme .", "");
    let other = format!("other.txt:1:1: team key {}", token("acme", KeyKind::Team, 1).public());
    assert!(both.output.contains(&other) && both.output.lines().count() == 6, "{}", both.output);

    // Nothing is piped in, and no path is named.
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
    let output =
        program.args(["scan", "--issuer", "kg"]).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    assert_eq!(sorted(&String::from_utf8(output.stdout).unwrap()), expected);

    let none = run(folder.path(), "scan --issuer kg empty mistyped.txt other.txt", "");
    assert_eq!(none, Ran { code: 0, output: String::new(), errors: String::new() });
}

#[test]
fn scan_prints_objects() {
    let folder = tree(&[("a \"b\".txt", &format!("x\n y{P}"))]);
    let ran = run(folder.path(), "scan --issuer kg --json .", "");
    assert_eq!(ran.code, 1);
    let found: Value = serde_json::from_str(ran.output.strip_suffix('\n').unwrap()).unwrap();
    let expected = json!({
        "file": "a \"b\".txt", "line": 2, "column": 3, "kind": "personal", "key_id": "wk59pfKL0jFi2YYv",
        "display": "kgp1_wk59pfKL0jFi2YYv",
    });
    assert_eq!(found, expected);
}

#[test]
fn scan_reads_standard_input() {
    let folder = tree(&[("a.txt", P)]);
    let found = "-:2:3: team key kgt1_wk59pfKL0jFi2YYv\n";
    assert_eq!(run(folder.path(), "scan --issuer kg", "nothing\n").code, 0);
    let input = format!("first\nab{T}\n");
    for arguments in ["scan --issuer kg", "scan --issuer kg -"] {
        let ran = run(folder.path(), arguments, &input);
        assert_eq!((ran.code, &*ran.output), (1, found), "{arguments}");
    }
    let ran = run(folder.path(), "scan --issuer kg a.txt -", &input);
    assert_eq!(sorted(&ran.output), [found.trim_end(), "a.txt:1:1: personal key kgp1_wk59pfKL0jFi2YYv"]);
    // A path is named, so nothing is read from elsewhere.
    assert_eq!(run(folder.path(), "scan --issuer kg a.txt", &input).output.lines().count(), 1);
}

#[test]
fn scan_leaves_out_what_is_ignored_and_not_what_is_hidden() {
    let folder = tree(&[
        (".gitignore", "*.log\n"),
        (".ignore", "vendor/\n"),
        ("a.log", T),
        ("vendor/a.txt", T),
        (".env", T),
        (".git/config", T),
        ("a.txt", T),
    ]);
    let files = |arguments: &str| {
        let output = run(folder.path(), &format!("scan --issuer kg {arguments}"), "").output;
        sorted(&output).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(files("."), [".env", "a.txt"]);
    assert_eq!(files("--no-ignore ."), [".env", ".git/config", "a.log", "a.txt", "vendor/a.txt"]);
    assert_eq!(files(".git"), [".git/config"]);
    assert_eq!(files("a.log .env"), [".env", "a.log"]);
}

/// What cannot be read is named, and the rest is searched.
#[test]
fn scan_goes_on_where_it_cannot_read() {
    let folder = tree(&[("a.txt", T), ("empty.txt", "")]);
    let found = run(folder.path(), "scan --issuer kg missing.txt a.txt", "");
    assert_eq!((found.code, found.output.lines().count()), (1, 1));
    let ran = run(folder.path(), "scan --issuer kg empty.txt missing.txt", "");
    assert_eq!((ran.code, &*ran.output), (2, ""));
    for errors in [found.errors, ran.errors] {
        assert!(errors.starts_with("keygate: ") && errors.contains("missing.txt"), "{errors}");
        assert_eq!(errors.lines().count(), 1);
    }
    // A missing one whose name is a token.
    let ran = run(folder.path(), &format!("scan --issuer kg {T}"), "");
    assert_eq!(ran.code, 2);
    assert!(ran.errors.contains("kgt1_wk59pfKL0jFi2YYv_[redacted]"), "{}", ran.errors);
}

#[cfg(target_os = "linux")]
#[test]
fn scan_survives_what_is_no_file() {
    use std::os::unix::fs::symlink;

    let folder = tree(&[("a.txt", T), ("sub/b.txt", "")]);
    symlink("a.txt", folder.path().join("link")).unwrap();
    symlink("..", folder.path().join("sub/loop")).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    // Links are not followed, and nothing waits for a pipe.
    assert_eq!(run(folder.path(), "scan --issuer kg .", "").output.lines().count(), 1);
    // What is named is read.
    let ran = run(folder.path(), "scan --issuer kg link", "");
    assert_eq!((ran.code, &*ran.output), (1, "link:1:1: team key kgt1_wk59pfKL0jFi2YYv\n"));
    symlink("sub", folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("sub/b.txt"), P).unwrap();
    let ran = run(folder.path(), "scan --issuer kg folder", "");
    assert_eq!((&*ran.output, &*ran.errors), ("folder/b.txt:1:1: personal key kgp1_wk59pfKL0jFi2YYv\n", ""));
    // A read that fails.
    let ran = run(folder.path(), "scan --issuer kg /proc/self/mem", "");
    assert_eq!((ran.code, &*ran.output), (2, ""));
    assert!(ran.errors.contains("/proc/self/mem"), "{}", ran.errors);
}

/// A name can hold a token, and what moves the cursor.
#[cfg(unix)]
#[test]
fn scan_shows_names_as_they_are_safe() {
    let folder = tree(&[(&format!("{P}.txt"), T), ("a\n\u{1b}[2J.txt", T)]);
    let ran = run(folder.path(), "scan --issuer kg .", "");
    let expected = [
        "a\\n\\u{1b}[2J.txt:1:1: team key kgt1_wk59pfKL0jFi2YYv",
        "kgp1_wk59pfKL0jFi2YYv_[redacted].txt:1:1: team key kgt1_wk59pfKL0jFi2YYv",
    ];
    assert_eq!(sorted(&ran.output), expected);
    assert_eq!(run(folder.path(), "scan --issuer kg --json .", "").output.lines().count(), 2);
}

/// Signs that reorder what is beside them would show another name than the file has.
#[cfg(unix)]
#[test]
fn scan_escapes_what_is_not_seen() {
    let folder = tree(&[("a\u{202e}txt.exe\u{200b}\u{2028}\u{e0041}é e\u{301}'\\", T)]);
    let ran = run(folder.path(), "scan --issuer kg .", "");
    let shown = "a\\u{202e}txt.exe\\u{200b}\\u{2028}\\u{e0041}é e\u{301}'\\:1:1: team key kgt1_wk59pfKL0jFi2YYv\n";
    assert_eq!(ran.output, shown);
    let ran = run(folder.path(), "scan --issuer kg --json .", "");
    assert!(ran.output.is_ascii(), "{}", ran.output);
    let found: Value = serde_json::from_str(&ran.output).unwrap();
    assert_eq!(found["file"], "a\u{202e}txt.exe\u{200b}\u{2028}\u{e0041}é e\u{301}'\\");
}

/// A name that is not UTF-8 can be told from others, and opened.
#[cfg(target_os = "linux")]
#[test]
fn scan_names_files_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt as _;

    let folder = tree(&[]);
    let path = |byte| Path::new(std::ffi::OsStr::from_bytes(&[b'a', byte, b'z'])).to_owned();
    for byte in [0xff, 0xfe] {
        fs::write(folder.path().join(path(byte)), T).unwrap();
    }
    let ran = run(folder.path(), "scan --issuer kg .", "");
    let of = |name| format!("{name}:1:1: team key kgt1_wk59pfKL0jFi2YYv");
    assert_eq!(sorted(&ran.output), [of("a\\xfez"), of("a\\xffz")]);
    let ran = run(folder.path(), "scan --issuer kg --json .", "");
    let bytes = sorted(&ran.output).into_iter().map(|line| {
        let found: Value = serde_json::from_str(line).unwrap();
        assert_eq!(found["file"], "a\u{fffd}z");
        found["file_bytes"].clone()
    });
    assert_eq!(bytes.collect::<Vec<_>>(), [json!([97, 0xfe, 122]), json!([97, 0xff, 122])]);
    // What cannot be opened is named likewise.
    let ran = keygate(folder.path(), ["scan".as_ref(), "--issuer=kg".as_ref(), path(0xfd).as_os_str()], b"");
    assert!(ran.errors.starts_with("keygate: a\\xfdz: "), "{}", ran.errors);
}

/// Also one of an issuer that was not named: nothing is searched for it, but its secret is not shown.
#[test]
fn scan_shows_no_secret_in_a_name() {
    let other = token("acme", KeyKind::Team, 1);
    let secret = other.expose_secret();
    let (public, _) = secret.split_at("acmet1_".len() + 16);
    let name = format!("t_p_{secret}.txt");
    let folder = tree(&[(&name, T)]);
    let ran = run(folder.path(), "scan --issuer kg .", "");
    assert_eq!(ran.output, format!("t_p_{public}_[redacted].txt:1:1: team key kgt1_wk59pfKL0jFi2YYv\n"));
    let ran = run(folder.path(), "scan --issuer kg --json .", "");
    assert!(ran.output.contains(&format!("t_p_{public}_[redacted].txt")), "{}", ran.output);
    let ran = run(folder.path(), &format!("scan --issuer kg not-there-{secret}"), "");
    assert!(ran.errors.contains(&format!("{public}_[redacted]: ")), "{}", ran.errors);
}

/// A report that could not be written is no report, whatever was found.
#[cfg(target_os = "linux")]
#[test]
fn scan_fails_where_it_cannot_report() {
    let folder = tree(&[("a.txt", T)]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
    program.args(["scan", "--issuer", "kg", "a.txt"]).current_dir(folder.path());
    let full = fs::File::create("/dev/full").unwrap();
    let output = program.stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"keygate: No space left"), "{:?}", output.stderr);
    assert!(run(folder.path(), "scan --help", "").output.contains("cannot be written"));
}

/// Around each place where a read may end, and over many of them.
#[test]
fn scan_finds_what_two_reads_share() {
    let folder = tree(&[]);
    for shift in 0..=T.len() + 1 {
        let mut text = "ordinary line, 32 bytes with end\n".repeat(9_000).into_bytes();
        for place in [1 << 16, 1 << 17, 1 << 18] {
            text[place - shift..][..T.len()].copy_from_slice(T.as_bytes());
        }
        let path = folder.path().join("a.txt");
        fs::write(&path, &text).unwrap();
        let expected: String = [1 << 16, 1 << 17, 1 << 18]
            .map(|place| {
                let before = &text[..place - shift];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                let column = before.len() - before.iter().rposition(|byte| *byte == b'\n').unwrap();
                format!("a.txt:{line}:{column}: team key kgt1_wk59pfKL0jFi2YYv\n")
            })
            .concat();
        assert_eq!(run(folder.path(), "scan --issuer kg a.txt", "").output, expected, "{shift}");
    }
}

/// A reader who goes away ends it, without a complaint.
#[test]
fn scan_ends_with_its_reader() {
    let folder = tree(&[("a.txt", &format!("{T}\n").repeat(50_000))]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
    program.args(["scan", "--issuer", "kg", "a.txt"]).current_dir(folder.path());
    let mut program = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = program.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(1), &b""[..]));
}

#[test]
fn redact_lets_everything_through_but_secrets() {
    let folder = tree(&[]);
    let input = format!("a\0 {T} \\n{P}{T}\r\nkgt1_wk59pfKL0jFi2YYv_LBpEGbpRuH...\nno end");
    let shown = "kgt1_wk59pfKL0jFi2YYv_[redacted]";
    let expected = format!("a\0 {shown} \\n{}{shown}\r\n{shown}...\nno end", shown.replace("kgt", "kgp"));
    let ran = run(folder.path(), "redact --issuer kg", &input);
    assert_eq!(ran, Ran { code: 0, output: expected, errors: String::new() });
    let long = format!("{T} ").repeat(20_000);
    assert_eq!(run(folder.path(), "redact --issuer kg", &long).output, format!("{shown} ").repeat(20_000));
    // What is not UTF-8 comes through as it is.
    let program = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["redact", "--issuer", "kg"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.as_ref().unwrap().write_all(b"\xff\xfe\n").unwrap();
    assert_eq!(program.wait_with_output().unwrap().stdout, b"\xff\xfe\n");
}

/// What came is seen before more comes, and a token may come in pieces.
#[test]
fn redact_follows_a_stream() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["redact", "--issuer", "kg"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
    for (piece, seen) in [
        ("Password: ", "Password: "),
        ("kgt1_wk59", "kgt1_wk59"),
        ("pfKL0jFi2YYv_LBpEGb", "pfKL0jFi2YYv_[redacted]"),
        ("pRuHrzDSVdqUC8DwRDe03wkPM1_de913c61\n", "\n"),
        ("next\n", "next\n"),
    ] {
        input.write_all(piece.as_bytes()).unwrap();
        let mut read = vec![0; seen.len()];
        output.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), seen);
    }
    drop(input);
    assert_eq!(output.read(&mut [0]).unwrap(), 0);
    assert!(program.wait().unwrap().success());
}

#[test]
fn inspect_explains_a_token() {
    let folder = tree(&[]);
    let expected =
        "issuer    kg\nkind      team\nversion   1\nkey id    wk59pfKL0jFi2YYv\nshown as  kgt1_wk59pfKL0jFi2YYv\n";
    for (arguments, input) in [("", T), ("", &*format!(" {T}\r\n")), ("--issuer kg", T)] {
        let ran = run(folder.path(), &format!("inspect {arguments}"), input);
        assert_eq!((ran.code, &*ran.errors), (0, ""));
        assert!(ran.output.starts_with(&format!("{expected}checksum  holds\n")), "{}", ran.output);
    }
    let personal = run(folder.path(), "inspect", P);
    assert!(personal.output.contains("kind      personal\n"), "{}", personal.output);
    let mistyped = run(folder.path(), "inspect", &T.replace("de913c61", "de913c62"));
    assert_eq!((mistyped.code, &*mistyped.errors), (1, ""));
    assert!(mistyped.output.starts_with(&format!("{expected}checksum  does not hold")), "{}", mistyped.output);
}

#[test]
fn inspect_says_what_is_no_token() {
    let folder = tree(&[]);
    for (arguments, input, why) in [
        ("", "hello".to_owned(), "does not begin with an issuer"),
        ("", format!("x_{SECRET}"), "does not begin with an issuer"),
        ("", "skt1_".to_owned(), "does not begin with an issuer"),
        ("", T.replace("kgt1", "kgx1"), "not a token of this issuer"),
        ("--issuer acme", T.to_owned(), "not a token of this issuer"),
        ("", T.replace("kgt1", "kgt2"), "version"),
        ("", format!("{T}0"), "length"),
        ("", T[..60].to_owned(), "length"),
        ("", T.replace("wk59", "wk5\u{e9}"), "length or a symbol"),
    ] {
        let ran = run(folder.path(), &format!("inspect {arguments}"), &input);
        assert_eq!((ran.code, &*ran.errors), (1, ""), "{why}");
        assert!(ran.output.starts_with("This is no token: ") && ran.output.contains(why), "{}", ran.output);
    }
    // Cut off, what is behind would be taken for nothing.
    let long = format!("{T}{}{T}", " ".repeat(5_000));
    for input in ["", " \n", &format!("{T}\n{T}\n"), &format!("Bearer {T}"), &long] {
        let ran = run(folder.path(), "inspect", input);
        assert_eq!((ran.code, &*ran.output), (2, ""));
        assert!(ran.errors.contains("was read"), "{}", ran.errors);
    }
}

/// Other users see the arguments of a program, and the shell keeps them.
#[test]
fn inspect_refuses_a_token_that_is_an_argument() {
    let folder = tree(&[]);
    for arguments in
        [T.to_owned(), format!("--issuer kg {T}"), format!("--token={T}"), format!("-t {T}"), format!("-- {T}")]
    {
        let ran = run(folder.path(), &format!("inspect {arguments}"), "");
        assert_eq!((ran.code, &*ran.output), (2, ""));
        assert!(ran.errors.contains("never an argument") && ran.errors.contains("other users"), "{}", ran.errors);
        assert!(!ran.errors.contains("wk59"), "{}", ran.errors);
    }
}

/// Nothing that is not understood is repeated.
#[test]
fn arguments_are_not_echoed() {
    let folder = tree(&[]);
    for arguments in [
        T.to_owned(),
        format!("help {T}"),
        format!("--{T}"),
        format!("scan {T}"),
        format!("scan --issuer {T}"),
        format!("scan --issuer kg --{T}"),
        format!("scan --issuer kg --json={T}"),
        format!("redact --issuer kg {T}"),
        format!("redact --issuer kg --issue={T}"),
        format!("rules --issuer kg {T}"),
        format!("rules --issuer kg regex {T}"),
        format!("inspect --issuer {T}"),
    ] {
        let ran = run(folder.path(), &arguments, "");
        assert_eq!((ran.code, &*ran.output), (2, ""), "{arguments}");
        assert!(ran.errors.starts_with("keygate: ") && !ran.errors.contains("wk59"), "{}", ran.errors);
    }
    for arguments in ["", "scan .", "redact", "rules", "scan --issuer sk .", "scan --issuer K ."] {
        let ran = run(folder.path(), arguments, "");
        assert_eq!((ran.code, &*ran.output), (2, ""), "{arguments}");
        assert!(ran.errors.contains("--issuer") || ran.errors.contains("Usage"), "{}", ran.errors);
    }
    for arguments in ["--help", "scan --help", "redact --help", "rules --help", "inspect --help", "--version"] {
        let ran = run(folder.path(), arguments, "");
        assert_eq!((ran.code, &*ran.errors), (0, ""), "{arguments}");
    }
}

/// Where nobody looks, no progress is shown, however long it takes.
#[test]
fn progress_is_for_terminals() {
    let folder = tree(&[]);
    let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["scan", "--issuer", "kg", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    for _ in 0..3 {
        input.write_all(b"more\n").unwrap();
        std::thread::sleep(core::time::Duration::from_millis(600));
    }
    drop(input);
    let output = program.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}
