//! Finding and redacting, beside the search for the issuer alone and beside a regular expression.
//!
//! ```text
//! cargo bench --bench scan
//! ```
//!
//! 64 MiB that look like a log, with a token in each 10 KiB. All are measured in turn, several times, so that what else
//! the machine does falls on all alike; the least time of each counts, and what is printed is its ratio to the search.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark that cannot be set up is not run"
)]

use core::{fmt::Write as _, hint::black_box, time::Duration};
use std::{
    env,
    io::{self, Write as _},
    sync::Mutex,
    time::Instant,
};

use keygate::{
    Issuer, KeyKind, Token,
    scan::{Pattern, Scanner},
};
use memchr::memmem;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng},
};
use regex::{NoExpand, Regex, bytes};

const ACME: Issuer = Issuer::from_static("acme");

fn main() {
    // `cargo bench -- --test` asks whether it runs, and not how fast.
    let (size, rounds) = if env::args().any(|argument| argument == "--test") { (1 << 20, 1) } else { (64 << 20, 11) };
    let (log, tokens) = log(size, 10 << 10);
    let quiet = log.replace("acme", "emca");

    println!("{} MiB like a log, {tokens} tokens: throughput, the search for the issuer being 1", size >> 20);
    compare(&log, tokens, rounds);
    println!("the same without tokens");
    compare(&quiet, 0, rounds);
    println!("made to be slow: the time for four times as much in one, once as much four times being 1");
    for (name, unit) in [
        ("heads", "acmet1_"),
        ("kinds and separators", "tt__"),
        ("ids without secrets", "acmet1_aaaaaaaaaaaaaaaa_ "),
        ("ids one in another", "acmet1_acmet1_acmet1_aa_"),
        ("secrets cut off", "acmet1_aaaaaaaaaaaaaaaa_a"),
        ("one word", "a"),
        ("bodies with a wrong checksum", WRONG),
        ("bodies that begin in another's", "acmet1_aaaaaaaaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ] {
        linear(name, &unit.repeat(size / 16 / unit.len()), &unit.repeat(size / 4 / unit.len()), rounds);
    }
}

fn compare(text: &str, tokens: usize, rounds: u32) {
    let scanner = Scanner::new(ACME);
    let many = (b'a'..b'q').fold(scanner.clone(), |many, letter| {
        many.with_issuer(format!("other{}", char::from(letter)).parse().unwrap())
    });
    let search = memmem::Finder::new(ACME.as_str());
    let pattern = Pattern::new(ACME).to_string();
    let (expression, of_bytes) = (Regex::new(&pattern).unwrap(), bytes::Regex::new(&pattern).unwrap());
    let chunks = || text.as_bytes().chunks(8 << 10);

    let contestants: &[(&str, &dyn Fn() -> usize)] = &[
        ("memmem: the issuer alone", &|| search.find_iter(text.as_bytes()).count()),
        ("find", &|| scanner.find(text).count()),
        ("find, 17 issuers", &|| many.find(text).count()),
        ("regex: find", &|| expression.find_iter(text).count()),
        ("redact, by line", &|| text.lines().map(|line| scanner.redact(line).len()).sum()),
        ("regex: replace, by line", &|| {
            text.lines().map(|line| expression.replace_all(line, NoExpand("[redacted]")).len()).sum()
        }),
        ("redact, by 8 KiB", &|| chunks().map(|chunk| scanner.redact_bytes(chunk).len()).sum()),
        ("regex: replace, by 8 KiB", &|| {
            chunks().map(|chunk| of_bytes.replace_all(chunk, bytes::NoExpand(b"[redacted]")).len()).sum()
        }),
        ("a copy of the whole", &|| black_box(text.to_owned()).len()),
        ("redact, whole", &|| scanner.redact(text).len()),
        ("regex: replace, whole", &|| expression.replace_all(text, NoExpand("[redacted]")).len()),
        ("writer, by 8 KiB", &|| {
            let mut writer = scanner.writer(io::sink());
            chunks().for_each(|chunk| writer.write_all(chunk).unwrap());
            text.len()
        }),
    ];
    assert_eq!(scanner.find(text).count(), tokens);
    assert_eq!(expression.find_iter(text).count(), tokens);
    assert_eq!(scanner.redact(text).matches("[redacted]").count(), tokens);

    let mut least = vec![Duration::MAX; contestants.len()];
    for _ in 0..rounds {
        for ((_, run), least) in contestants.iter().zip(&mut least) {
            let start = Instant::now();
            black_box(run());
            *least = (*least).min(start.elapsed());
        }
    }
    let whole = least.first().unwrap().as_secs_f64();
    for ((name, _), least) in contestants.iter().zip(&least) {
        let ratio = whole / least.as_secs_f64();
        println!("  {ratio:5.2}  {name:<26} {:5.1} GB/s", text.len() as f64 / least.as_secs_f64() / 1e9);
    }
}

/// Compares one long text with a short one four times over: as much work, as long, so that what else runs falls on
/// both.
fn linear(name: &str, short: &str, long: &str, rounds: u32) {
    let scanner = Scanner::new(ACME);
    let [mut of_short, mut of_long] = [Duration::MAX; 2];
    for _ in 0..rounds {
        for (text, times, least) in [(short, 4, &mut of_short), (long, 1, &mut of_long)] {
            let start = Instant::now();
            for _ in 0..times {
                black_box(scanner.find(text).count());
                scanner.writer(io::sink()).write_all(text.as_bytes()).unwrap();
            }
            *least = (*least).min(start.elapsed());
        }
    }
    let ratio = of_long.as_secs_f64() / of_short.as_secs_f64();
    println!("  {ratio:5.2}  {name:<30} {:5.1} GB/s", long.len() as f64 / of_long.as_secs_f64() / 1e9);
}

/// A token of which only the checksum is wrong: it is hashed.
const WRONG: &str = "acmet1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_00000000 ";

/// Lines of requests, and a token in each `every` bytes, in one of the ways that tokens get into logs.
fn log(size: usize, every: usize) -> (String, usize) {
    let rng = Mutex::new(ChaCha20Rng::from_seed([7; 32]));
    let (mut log, mut tokens) = (String::with_capacity(size + 1024), 0);
    while log.len() < size {
        let number = rng.lock().unwrap().next_u64();
        let (id, path) =
            (number >> 20, ["/v1/models", "/health", "/models/abcd1234/predict", "/metrics"][number as usize % 4]);
        let (second, micros, status) =
            (number % 60, number % 1_000_000, [200, 200, 200, 404, 503][number as usize % 5]);
        write!(
            log,
            "2026-05-04T11:22:{second:02}.{micros:06}Z  INFO http_request{{method=GET path={path} request_id={id:016x}}}: \
             served status={status} latency_ms={} user_agent=\"curl/8.5.0\" bytes_sent={}",
            number % 977,
            number % 65_537,
        )
        .unwrap();
        if log.len() / every >= tokens {
            let token = Token::generate(ACME, KeyKind::Team, &rng).unwrap();
            write!(log, " authorization=\"Bearer {}\"", token.expose_secret()).unwrap();
            tokens += 1;
        }
        log.push('\n');
    }
    (log, tokens)
}
