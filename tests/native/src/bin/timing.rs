//! Does the time tell? A statistical test (Reparaz, Balasch and Verbauwhede, dudect, 2017): two classes of inputs, and
//! Welch's t of their times; beyond 4.5 they differ.

use core::{hint::black_box, iter};
use std::sync::Arc;

use dudect_bencher::{BenchRng, Class, CtRunner, ctbench_main, rand::Rng};
use keygate::{
    KeyRecord,
    store::SecretDigest,
    verify::{UnverifiedToken, verify},
};
use keygate_native::{KG, NOW, issued, record};
use subtle::ConstantTimeEq;

const SAMPLES: usize = 100_000;

/// A digest that is the right one but for one byte, or for none.
fn digest(changed: Option<usize>) -> SecretDigest {
    let mut bytes = issued(1).token.digest().to_bytes();
    if let Some(place) = changed {
        bytes[place] ^= 0x55;
    }
    SecretDigest::from_bytes(bytes).expect("a known algorithm")
}

const EQUAL: Option<usize> = None;
/// Behind the algorithm, which is no secret.
const FIRST: Option<usize> = Some(1);
const LAST: Option<usize> = Some(SecretDigest::LENGTH - 1);

/// Times a function on inputs of two classes in random order; they are made before, at places of their own.
fn compare<T>(runner: &mut CtRunner, rng: &mut BenchRng, make: [&dyn Fn() -> T; 2], run: impl Fn(&T) -> bool) {
    let inputs: Vec<_> = (0..SAMPLES)
        .map(|_| if rng.next_u32().is_multiple_of(2) { (Class::Left, make[0]()) } else { (Class::Right, make[1]()) })
        .collect();
    for (class, input) in &inputs {
        runner.run_one(*class, || black_box(run(black_box(input))));
    }
}

fn digests(runner: &mut CtRunner, rng: &mut BenchRng, left: Option<usize>, right: Option<usize>) {
    let presented = issued(1).token.digest();
    let make = |changed| move || digest(changed);
    let (left, right) = (make(left), make(right));
    compare(runner, rng, [&left, &right], |stored| bool::from(presented.ct_eq(stored)));
}

fn compare_equal_first(runner: &mut CtRunner, rng: &mut BenchRng) {
    digests(runner, rng, EQUAL, FIRST);
}

fn compare_equal_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    digests(runner, rng, EQUAL, LAST);
}

fn compare_first_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    digests(runner, rng, FIRST, LAST);
}

fn verifications(runner: &mut CtRunner, rng: &mut BenchRng, make: [&dyn Fn() -> Option<Arc<KeyRecord>>; 2]) {
    let issued = issued(1);
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).expect("a token");
    // What is looked up is kept alive: its last owner would free it within the time that is taken.
    compare(runner, rng, make, |found| verify(&presented, found.clone(), NOW).is_ok());
}

fn verify_first_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    let issued = issued(1);
    let make = |changed| {
        let record = record(&issued, digest(changed), None);
        move || Some(Arc::clone(&record))
    };
    let (first, last) = (make(FIRST), make(LAST));
    verifications(runner, rng, [&first, &last]);
}

/// Not a secret, and so not judged: finding a record costs the count of its users, whatever is presented.
fn information_verify_wrong_unknown(runner: &mut CtRunner, rng: &mut BenchRng) {
    let issued = issued(1);
    let wrong = record(&issued, digest(FIRST), None);
    verifications(runner, rng, [&|| Some(Arc::clone(&wrong)), &|| None]);
}

/// The control: texts of the length of a token, as slices, which are compared up to the first difference.
fn planted_slices_first_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    let presented = issued(1).token.expose_secret().as_bytes().to_vec();
    let make = |place: usize| {
        let mut other = presented.clone();
        move || {
            other[place] ^= 0x55;
            other
        }
    };
    let (first, last) = (make(0), make(62));
    compare(runner, rng, [&|| first.clone()(), &|| last.clone()()], |stored: &Vec<u8>| {
        black_box(&presented[..]) == black_box(&stored[..])
    });
}

/// The control on the very inputs of the comparison: byte by byte, up to the first difference.
fn planted_loop_first_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    digest_bytes(runner, rng, |left, right| iter::zip(left, right).all(|(left, right)| black_box(left == right)));
}

/// Whether slices of a digest's length are told apart, which is up to the machine: their comparison takes few steps.
fn information_slices_first_last(runner: &mut CtRunner, rng: &mut BenchRng) {
    digest_bytes(runner, rng, |left, right| black_box(left) == black_box(right));
}

fn digest_bytes(runner: &mut CtRunner, rng: &mut BenchRng, equal: impl Fn(&[u8], &[u8]) -> bool) {
    let presented = issued(1).token.digest().to_bytes();
    let make = |changed| move || digest(changed).to_bytes();
    let (first, last) = (make(FIRST), make(LAST));
    compare(runner, rng, [&first, &last], |stored| equal(&presented[..], &stored[..]));
}

ctbench_main!(
    compare_equal_first,
    compare_equal_last,
    compare_first_last,
    verify_first_last,
    information_verify_wrong_unknown,
    information_slices_first_last,
    planted_loop_first_last,
    planted_slices_first_last
);
