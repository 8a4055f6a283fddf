//! `keygate scan` on a tree of 1 GiB of logs and sources, beside ripgrep with the published expression, in the same
//! run.
//!
//! ```text
//! cargo bench -p keygate-cli --bench tree
//! ```
//!
//! The tree is made in a temporary folder, and removed at the end. Both programs search it in turn, several times, so
//! that what else the machine does falls on both; the least time of each counts. Then files that are made to be slow:
//! the time for four times as much. ripgrep is run if it is installed (Debian's package `ripgrep`).
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up is not run"
)]

use core::{fmt::Write as _, time::Duration};
use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::Mutex,
    time::Instant,
};

use keygate::{Issuer, KeyKind, Token, scan::Pattern};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use tempfile::tempdir;

const ACME: Issuer = Issuer::from_static("acme");

fn main() {
    // `cargo bench -- --test` asks whether it runs, and not how fast.
    let is_test = env::args().any(|argument| argument == "--test");
    let (size, rounds) = if is_test { (1 << 24, 1) } else { (1 << 30, 7) };
    let folder = tempdir().unwrap();
    let tree = folder.path().join("tree");
    let (files, tokens) = plant(&tree, size);
    println!("{} MiB in {files} files, {tokens} tokens", size >> 20);

    let keygate = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
        program.args(["scan", "--issuer", ACME.as_str()]).arg(&tree);
        program
    };
    let ripgrep = || {
        let mut program = Command::new("rg");
        program.args(["--no-config", "--line-number", "--column", "--only-matching"]);
        program.arg(Pattern::new(ACME).to_string()).arg(&tree);
        program
    };
    let has_ripgrep = Command::new("rg").arg("--version").output().is_ok();
    let [mut of_keygate, mut of_ripgrep] = [Duration::MAX; 2];
    for _ in 0..rounds {
        of_keygate = of_keygate.min(timed(keygate(), tokens));
        if has_ripgrep {
            of_ripgrep = of_ripgrep.min(timed(ripgrep(), tokens));
        }
    }
    println!("keygate scan  {:6.3} s", of_keygate.as_secs_f64());
    if has_ripgrep {
        println!("ripgrep       {:6.3} s", of_ripgrep.as_secs_f64());
        println!("ratio         {:6.2}", of_keygate.as_secs_f64() / of_ripgrep.as_secs_f64());
    } else {
        println!("skipped: ripgrep is not installed");
    }
    fs::remove_dir_all(&tree).unwrap();

    println!("made to be slow: the time for four times as much, by the time for once as much");
    for (name, unit) in [
        ("heads", "acmet1_"),
        ("issuers", "acme"),
        ("kinds and separators", "tt__"),
        ("ids without secrets", "acmet1_aaaaaaaaaaaaaaaa_ "),
        ("bodies that begin in another's", "acmet1_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ("lines", "\n"),
    ] {
        let path = folder.path().join("slow.txt");
        let mut least = [Duration::MAX; 2];
        for _ in 0..rounds {
            for (times, least) in [1, 4].into_iter().zip(&mut least) {
                fs::write(&path, unit.repeat(times * (size >> 6) / unit.len())).unwrap();
                let mut program = Command::new(env!("CARGO_BIN_EXE_keygate"));
                program.args(["scan", "--issuer", ACME.as_str()]).arg(&path);
                *least = (*least).min(timed(program, 0));
            }
        }
        let [once, four] = least.map(|least| least.as_secs_f64());
        println!("  {:5.2}  {name:<32} {:6.3} s for {} MiB", four / once, four, size >> 24);
    }
}

/// Runs a program, and checks that it finds as many lines.
fn timed(mut program: Command, tokens: usize) -> Duration {
    let start = Instant::now();
    let output = program.stdin(Stdio::null()).output().unwrap();
    let time = start.elapsed();
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, tokens, "{}", String::from_utf8_lossy(&output.stderr));
    time
}

/// Half of it in logs of 8 MiB, half in sources of 16 KiB, and a token in each log and in each hundredth source.
fn plant(tree: &Path, size: usize) -> (usize, usize) {
    let rng = Mutex::new(ChaCha20Rng::from_seed([7; 32]));
    let (mut files, mut tokens) = (0, 0);
    for (kind, length, every) in [("log", 8 << 20, 1), ("rs", 16 << 10, 100)] {
        for number in 0..size / 2 / length {
            let mut text = String::with_capacity(length + 256);
            if number % every == 0 {
                let token = Token::generate(ACME, KeyKind::Team, &rng).unwrap();
                writeln!(text, "authorization: Bearer {}", token.expose_secret()).unwrap();
                tokens += 1;
            }
            while text.len() < length {
                let random = rng.lock().unwrap().next_u64();
                if kind == "log" { log_line(&mut text, random) } else { source_line(&mut text, random) }
            }
            text.truncate(length);
            let folder = tree.join(kind).join((number % 97).to_string());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{number}.{kind}")), text).unwrap();
            files += 1;
        }
    }
    (files, tokens)
}

fn log_line(text: &mut String, random: u64) {
    let path = ["/v1/models", "/health", "/models/acme_t1_base/predict", "/metrics"][random as usize % 4];
    let (second, micros, id) = (random % 60, random % 1_000_000, random >> 20);
    writeln!(
        text,
        "2026-05-04T11:22:{second:02}.{micros:06}Z  INFO http_request{{method=GET path={path} request_id={id:016x}}}: \
         served status=200 latency_ms={} user_agent=\"curl/8.5.0\" tenant=acme bytes_sent={}",
        random % 977,
        random % 65_537,
    )
    .unwrap();
}

fn source_line(text: &mut String, random: u64) {
    let (name, number) = (random >> 40, random % 4096);
    match random % 5 {
        0 => writeln!(text, "    /// Returns the part of `item_{name:x}` that is needed for `acme`."),
        1 => writeln!(text, "    pub fn value_of_{name:x}(&self, at_index: usize) -> Option<&Item_t1> {{"),
        2 => writeln!(text, "        self.items.get(at_index.checked_add({number})?).filter(|item| item.is_set())"),
        3 => writeln!(text, "    }}\n"),
        _ => writeln!(text, "    const KEY_{name:X}: &str = \"{random:016x}_{random:032x}\";"),
    }
    .unwrap();
}
