//! Does anything branch on secret bytes, or index by them? To be run by valgrind, see `constant_time.sh`.
//!
//! A secret is marked as undefined, so memcheck reports each branch and each address that depends on it (Langley's
//! ctgrind, 2010). What must depend on it is reported as well: whether a text is a token, and whether it opens the key.

use core::{arch::asm, hint::black_box};
use std::env;

use keygate::{
    Action, Request, UnixTime,
    legacy::{LegacyFormat, LegacyHash},
    policy::decide,
    store::SecretDigest,
    verify::{UnverifiedToken, verify, verify_legacy},
};
use keygate_native::{KG, NOW, issued, record, record_of};
use subtle::ConstantTimeEq;

/// `VG_USERREQ_TOOL_BASE('M', 'C')`, and the number of the request.
const MAKE_UNDEFINED: usize = 0x4d43_0001;
const MAKE_DEFINED: usize = 0x4d43_0002;

/// A client request of valgrind's: a sequence of instructions that does nothing elsewhere (`valgrind.h`, amd64).
fn request(code: usize, bytes: &mut [u8]) {
    let arguments: [usize; 6] = [code, bytes.as_mut_ptr() as usize, bytes.len(), 0, 0, 0];
    // SAFETY: the rotations add up to 128 bits, and the exchange is with itself; valgrind reads `arguments`, which
    // live.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(), inout("rdx") 0_usize => _, inout("rdi") 0_usize => _,
        );
    }
}

fn secret(bytes: &mut [u8]) {
    request(MAKE_UNDEFINED, bytes);
}

fn public<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    request(MAKE_DEFINED, &mut bytes);
    bytes
}

fn digest(bytes: [u8; SecretDigest::LENGTH]) -> SecretDigest {
    SecretDigest::from_bytes(bytes).expect("a known algorithm")
}

/// As djangorestframework-api-key makes and stores them.
const OLD: LegacyFormat = LegacyFormat::prefix_secret(LegacyHash::Sha512);
const OLD_KEY: &str = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
const OLD_HASH: &str = "sha512$$e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
    6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d";

fn main() {
    let issued = issued(1);
    // Behind the algorithm, which is no secret.
    let mut stored = issued.token.digest().to_bytes();
    let mut other = stored;
    other[1..].fill(7);
    match env::args().nth(1).as_deref() {
        // The comparison by itself: nothing may be reported.
        Some("compare") => {
            secret(&mut stored[1..]);
            for mut other in [other, issued.token.digest().to_bytes()] {
                secret(&mut other[1..]);
                let left = black_box(digest(stored));
                let equal = left.ct_eq(black_box(&digest(other)));
                println!("equal: {:?}", public([equal.unwrap_u8()]));
            }
        }
        // From the text to the verdict: the symbols of the secret, and what is stored of it.
        Some("verify") => {
            secret(&mut stored[1..]);
            let mut text = issued.token.expose_secret().as_bytes().to_vec();
            let start = text.len() - 32 - 1 - 8;
            secret(&mut text[start..start + 32]);
            // SAFETY: it was a text, and marking it changes no byte; checking it would be a branch of this file's own.
            let text = unsafe { core::str::from_utf8_unchecked(&text) };
            let presented = UnverifiedToken::parse(KG, black_box(text)).expect("a token");
            let digests = [(stored, None), (other, Some(stored)), (other, None), (other, Some(other))];
            for (current, previous) in digests {
                let record = record(&issued, digest(current), previous.map(digest));
                if let Ok(key) = black_box(verify(&presented, Some(record), NOW)) {
                    // Deciding looks at no secret any more.
                    let request = Request::new("core".parse().expect("a team"), Action::Deploy);
                    println!("allowed: {}", decide(&key, None, &request, NOW).is_allowed());
                }
            }
            println!("unknown id: {:?}", verify(&presented, None, UnixTime::MIN).is_ok());
        }
        // A key that was imported: the symbols behind its prefix, and what is stored of it, imported or upgraded.
        Some("legacy") => {
            let imported = OLD.stored(Some("Xj6zVG9w"), OLD_HASH.parse().expect("a hash")).expect("a legacy_key");
            let upgraded = OLD.parse(OLD_KEY).expect("a key").legacy_key();
            let mut text = OLD_KEY.as_bytes().to_vec();
            secret(&mut text[9..]);
            // SAFETY: it was a text, and marking it changes no byte.
            let text = unsafe { core::str::from_utf8_unchecked(&text) };
            let presented = OLD.parse(black_box(text)).expect("a key");
            let [imported, upgraded, other] = [imported.digest(), upgraded.digest(), digest(other)].map(|one| {
                let mut bytes = one.to_bytes();
                secret(&mut bytes[1..]);
                digest(bytes)
            });
            let stored =
                [(imported, None), (upgraded, None), (other, Some(imported)), (other, Some(upgraded)), (other, None)];
            for (current, previous) in stored {
                let record = record_of(presented.id(), &issued, current, previous);
                if let Ok(key) = black_box(verify_legacy(&presented, KG, Some(record), NOW)) {
                    println!("opens: {}", key.id());
                }
            }
        }
        // The control: the slices are compared by a function that leaves at the first difference.
        Some("planted") => {
            secret(&mut stored[1..]);
            let other = black_box(other.to_vec());
            println!("equal: {}", black_box(&stored[..]) == &other[..]);
        }
        _ => panic!("compare, verify, legacy or planted"),
    }
}
