//! Making a token: random bytes, drawn until they are letters and digits only, and one hash.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up is not run")]

use core::hint::black_box;

use criterion::Criterion;
use keygate::{Issuer, KeyKind, SysRng, Token};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _, TryRng as _},
};
use sha2::{Digest as _, Sha256};

const KG: Issuer = Issuer::from_static("kg");

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut fast = ChaCha20Rng::from_seed([1; 32]);
    criterion.bench_function("keygate/generate/system", |bencher| {
        bencher.iter(|| assert_eq!(Token::generate(KG, KeyKind::Team, &mut SysRng).unwrap().expose_secret().len(), 63));
    });
    criterion.bench_function("keygate/generate/chacha20", |bencher| {
        bencher.iter(|| assert_eq!(Token::generate(KG, KeyKind::Team, &mut fast).unwrap().expose_secret().len(), 63));
    });
    // What no way to make a token can do without: the bytes of an id and of a secret, and the hash.
    criterion.bench_function("keygate/generate/floor/system", |bencher| {
        bencher.iter(|| floor(|bytes| SysRng.try_fill_bytes(bytes).unwrap()));
    });
    criterion.bench_function("keygate/generate/floor/chacha20", |bencher| {
        bencher.iter(|| floor(|bytes| fast.fill_bytes(bytes)));
    });
    criterion.final_summary();
}

fn floor(mut fill: impl FnMut(&mut [u8])) {
    let (mut id, mut body) = ([0; 12], [0; 55]);
    fill(&mut id);
    fill(body.split_at_mut(24).0);
    black_box(id);
    assert_ne!(<[u8; 32]>::from(Sha256::digest(black_box(body))), [0; 32]);
}
