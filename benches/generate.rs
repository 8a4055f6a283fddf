//! Making a token: random bytes, drawn until they are letters and digits only, and one hash.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;

use criterion::Criterion;
use keygate::{KeyKind, Randomness, SystemRandomness, Token};
use sha2::{Digest as _, Sha256};

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "no key is made here, only its token")]
mod support;

use support::{KG, generator};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let fast = generator(1);
    criterion.bench_function("keygate/generate/system", |bencher| {
        bencher.iter(|| {
            assert_eq!(Token::generate(KG, KeyKind::Team, &SystemRandomness).unwrap().expose_secret().len(), 63);
        });
    });
    criterion.bench_function("keygate/generate/chacha20", |bencher| {
        bencher.iter(|| assert_eq!(Token::generate(KG, KeyKind::Team, &fast).unwrap().expose_secret().len(), 63));
    });
    // What no way to make a token can do without: the bytes of an id and of a secret, and the hash.
    criterion.bench_function("keygate/generate/floor/system", |bencher| {
        bencher.iter(|| floor(&SystemRandomness));
    });
    criterion.bench_function("keygate/generate/floor/chacha20", |bencher| {
        bencher.iter(|| floor(&fast));
    });
    criterion.final_summary();
}

fn floor(randomness: &dyn Randomness) {
    let (mut id, mut body) = ([0; 12], [0; 55]);
    randomness.fill(&mut id).unwrap();
    randomness.fill(body.split_at_mut(24).0).unwrap();
    black_box(id);
    assert_ne!(<[u8; 32]>::from(Sha256::digest(black_box(body))), [0; 32]);
}
