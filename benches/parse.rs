//! Parsing what a client presents: one hash where it looks like a token, and next to nothing where it does not.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;
use std::sync::Mutex;

use criterion::Criterion;
use keygate::{
    Issuer, KeyKind, Token,
    verify::{ParseTokenError, UnverifiedToken},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    accept(&mut criterion);
    reject(&mut criterion);
    criterion.final_summary();
}

fn token(issuer: &str) -> (Issuer, Token) {
    let issuer = issuer.parse().unwrap();
    (issuer, Token::generate(issuer, KeyKind::Team, &Mutex::new(ChaCha20Rng::from_seed([1; 32]))).unwrap())
}

/// Up to three characters of issuer, the hash is one compression; beyond, two.
fn accept(criterion: &mut Criterion) {
    for name in ["kg", "bsn", "acme", "longissuer"] {
        let (issuer, token) = token(name);
        criterion.bench_function(&format!("keygate/parse/accept/{name}"), |bencher| {
            bencher.iter(|| {
                let presented = UnverifiedToken::parse(issuer, black_box(token.expose_secret())).unwrap();
                assert_eq!(presented.id(), token.id());
                presented
            });
        });
    }
}

fn reject(criterion: &mut Criterion) {
    use ParseTokenError::{ChecksumMismatch, ForeignIssuer, Malformed, UnsupportedVersion};
    let (issuer, token) = token("kg");
    let good = token.expose_secret();
    let cases = [
        ("empty", String::new(), ForeignIssuer),
        ("jwt", "eyJhbGciOiJIUzI1NiJ9.".repeat(50), ForeignIssuer),
        ("version", good.replacen("kgt1", "kgt2", 1), UnsupportedVersion),
        ("long", good.repeat(100), Malformed),
        ("symbol", good.replacen(token.id().as_str(), "wk59pfKL0jFi2YY-", 1), Malformed),
        ("checksum", good.replacen(token.id().as_str(), "wk59pfKL0jFi2YYv", 1), ChecksumMismatch),
    ];
    for (name, text, expected) in cases {
        criterion.bench_function(&format!("keygate/parse/reject/{name}"), |bencher| {
            bencher.iter(|| {
                let error = UnverifiedToken::parse(issuer, black_box(&text)).unwrap_err();
                assert_eq!(error, expected);
            });
        });
    }
}
