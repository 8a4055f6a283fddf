//! One table for each grammar: what is accepted and what is refused, with the words that say so. `FromStr`, `Display`
//! and serde are one grammar, and no refusal quotes what was refused.
#![cfg(feature = "serde")]
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed; tokens are ASCII"
)]

mod common;

use core::{error::Error, fmt, str::FromStr};

use common::{KG, text};
use keygate::{
    Creator, Cursor, DigestAlgorithm, EnvironmentName, Grant, InvalidDigest, Issuer, KeyId, KeyKind, KeyName, ModelId,
    Owner, ParseTokenError, PermissionLevel, SecretDigest, Status, SystemReason, TeamId, TextRule, UnixTime,
    UnverifiedToken, UserId,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Checks that each of `accept` is one spelling of one value, and that each of `reject` is refused in these words.
#[track_caller]
fn grammar<T>(accept: &[&str], reject: &[(&str, &str)])
where
    T: FromStr<Err: Error> + fmt::Debug + fmt::Display + PartialEq,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    for input in accept {
        let value: T = input.parse().unwrap_or_else(|error| panic!("{input:?} is refused: {error}"));
        assert_eq!(value.to_string(), *input);
        assert_eq!(serde_json::to_value(&value).unwrap(), json!(input));
        assert!(serde_json::from_value::<T>(json!(input)).unwrap() == value, "{input:?} by serde");
    }
    for (input, words) in reject {
        let Err(error) = input.parse::<T>() else { panic!("{input:?} is accepted") };
        assert_eq!(error.to_string(), *words, "{input:?}");
        let Err(error) = serde_json::from_value::<T>(json!(input)) else { panic!("{input:?} is accepted by serde") };
        assert_eq!(error.to_string(), *words, "{input:?} by serde");
    }
    // Only a text is one: nothing is converted.
    for other in [json!(null), json!(true), json!(1), json!([]), json!(["a"]), json!({}), json!({"a": 1})] {
        assert!(serde_json::from_value::<T>(other.clone()).is_err(), "{other}");
    }
    canary::<T>();
}

/// Refuses inputs that hold a canary, and looks for it in all that is said about them.
#[track_caller]
fn canary<T: FromStr<Err: Error> + serde::de::DeserializeOwned>() {
    let long = "zqcanary".repeat(50);
    for input in ["zqcanary\0", "zqcanary\n", "zqcanary\u{e9}", "\u{7f}zqcanary", long.as_str()] {
        let Err(error) = input.parse::<T>() else { panic!("{input:?} is accepted") };
        let Err(by_serde) = serde_json::from_value::<T>(json!(input)) else { panic!("{input:?} is accepted by serde") };
        for said in [format!("{error} {error:?} {error:#?}"), format!("{by_serde} {by_serde:?}")] {
            assert!(!said.contains("zq") && !said.contains("canary"), "{said}");
        }
        assert!(error.source().is_none());
    }
}

/// Texts of a few lengths, to stand at the bounds.
fn a(length: usize) -> String {
    "a".repeat(length)
}

/// The list of the token format, copied: the one in the library is held against it.
const RESERVED: &str = "sk pk rk gh ghp gho ghu ghs ghr github glpat npm hf hvs hvb xoxb xoxp akia asia sntrys dop gsk \
                        xai pplx r8 tskey pypi shpat whsec api key token secret bearer";

#[test]
fn issuer() {
    const LENGTH: &str = "an issuer has 2 to 10 symbols";
    const SYMBOL: &str = "an issuer has only lower-case letters and digits";
    const EDGE: &str = "an issuer starts with a letter";
    grammar::<Issuer>(
        &[
            // The bounds.
            "kg",
            "a1",
            "z9",
            "abcdefghij",
            "a123456789",
            // Near misses of what is reserved.
            "ss",
            "skk",
            "sks",
            "ask",
            "sk1",
            "ghx",
            "git",
            "githu",
            "github1",
            "xox",
            "xoxa",
            "r9",
            "r80",
            "keys",
            "tokens",
            "bearers",
            "beare",
            "apis",
            "secrets",
            "acme",
        ],
        &[
            ("", LENGTH),
            ("k", LENGTH),
            (&a(11), LENGTH),
            // Two bytes, one symbol.
            ("\u{e9}", SYMBOL),
            ("kG", SYMBOL),
            ("KG", SYMBOL),
            ("k_g", SYMBOL),
            ("k-g", SYMBOL),
            ("k g", SYMBOL),
            (" kg", SYMBOL),
            ("kg ", SYMBOL),
            ("kg\n", SYMBOL),
            ("kg\0", SYMBOL),
            ("k\u{ff47}", SYMBOL),
            ("1k", EDGE),
            ("99", EDGE),
            // Upper case is not reserved: it is not even in the alphabet.
            ("SK", SYMBOL),
        ],
    );
}

#[test]
fn issuer_reserved() {
    let reserved: Vec<_> = RESERVED.split_whitespace().collect();
    assert_eq!(Issuer::RESERVED, reserved);
    assert_eq!(reserved.len(), 34);
    let words = "an issuer must not be one that others use";
    grammar::<Issuer>(&[], &reserved.iter().map(|issuer| (*issuer, words)).collect::<Vec<_>>());
    for one in &reserved {
        // One symbol more, at either end, is somebody else's.
        for near in [format!("{one}q"), format!("{one}0"), format!("q{one}")] {
            assert_eq!(near.parse::<Issuer>().unwrap().as_str(), near);
        }
        assert_eq!(one.parse::<Issuer>().unwrap_err().rule(), TextRule::Reserved);
    }
}

#[test]
fn key_id() {
    const LENGTH: &str = "a key id has 16 symbols";
    const SYMBOL: &str = "a key id has only letters and digits";
    grammar::<KeyId>(
        // One repeated symbol comes from no working generator; the parser accepts it.
        &["wk59pfKL0jFi2YYv", "0000000000000000", "aaaaaaaaaaaaaaaa", "ZZZZZZZZZZZZZZZZ", "azAZ09azAZ09azAZ"],
        &[
            ("", LENGTH),
            (&a(15), LENGTH),
            (&a(17), LENGTH),
            ("wk59pfKL0jFi2YY_", SYMBOL),
            ("wk59pfKL0jFi2YY-", SYMBOL),
            ("wk59pfKL0jFi2YY ", SYMBOL),
            (" k59pfKL0jFi2YYv", SYMBOL),
            ("wk59pfKL0jFi2YY\0", SYMBOL),
            ("wk59pfKL0jFi2Y\u{e9}", SYMBOL),
            // Sixteen symbols that are more bytes.
            ("wk59pfKL0jFi2YY\u{e9}", LENGTH),
            ("kgt1_wk59pfKL0jFi2YYv", LENGTH),
        ],
    );
    // Bytes are compared, not letters.
    assert_ne!(text::<KeyId>("aaaaaaaaaaaaaaaa"), text("aaaaaaaaaaaaaaaA"));
}

#[test]
fn key_name() {
    const LENGTH: &str = "a key name has 1 to 64 symbols";
    const SYMBOL: &str = "a key name has only lower-case letters, digits and hyphens";
    grammar::<KeyName>(
        // Hyphens may stand anywhere.
        &["a", "0", "-", "--", "-a", "a-", "nightly-batch", "a-0-z-9", &a(63), &a(64)],
        &[
            ("", LENGTH),
            (&a(65), LENGTH),
            (&a(100_000), LENGTH),
            ("A", SYMBOL),
            ("nightly_batch", SYMBOL),
            ("nightly batch", SYMBOL),
            (" a", SYMBOL),
            ("a ", SYMBOL),
            ("a\t", SYMBOL),
            ("a\n", SYMBOL),
            ("a\0", SYMBOL),
            ("\u{e9}", SYMBOL),
            // A soft hyphen, a dash, and a letter of another alphabet that looks like an a.
            ("a\u{ad}a", SYMBOL),
            ("a\u{2010}a", SYMBOL),
            ("\u{430}", SYMBOL),
        ],
    );
}

#[test]
fn environment_name() {
    const LENGTH: &str = "an environment name has 1 to 40 symbols";
    const SYMBOL: &str = "an environment name has only lower-case letters, digits and hyphens";
    const EDGE: &str = "an environment name starts and ends with a letter or digit";
    grammar::<EnvironmentName>(
        &["a", "0", "a-b", "a--b", "production", "staging-2", "development", &a(39), &a(40)],
        &[
            ("", LENGTH),
            (&a(41), LENGTH),
            ("-", EDGE),
            ("--", EDGE),
            ("-a", EDGE),
            ("a-", EDGE),
            ("A", SYMBOL),
            ("Production", SYMBOL),
            ("a_b", SYMBOL),
            ("a.b", SYMBOL),
            ("a b", SYMBOL),
            (" a", SYMBOL),
            ("a\0", SYMBOL),
            ("\u{e9}", SYMBOL),
            // `all` is a word of scopes, and an environment may still be called so: no list is a text.
            ("*", SYMBOL),
        ],
    );
    for (name, is_development) in [("development", true), ("development-2", false), ("dev", false)] {
        assert_eq!(text::<EnvironmentName>(name).is_development(), is_development, "{name}");
    }
}

/// The ids of the embedding service have one grammar and three names.
#[track_caller]
fn opaque<T>(length: &str, symbol: &str)
where
    T: FromStr<Err: Error> + fmt::Debug + fmt::Display + PartialEq,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let visible: String = ('!'..='~').collect();
    assert_eq!(visible.len(), 94);
    grammar::<T>(
        &["a", "A", "!", "~", "m1aaaaaa", "org/core", "*", "all", "../..", "\"", "\\", &visible, &a(127), &a(128)],
        &[
            ("", length),
            (&a(129), length),
            (" ", symbol),
            ("a b", symbol),
            (" a", symbol),
            ("a ", symbol),
            ("a\t", symbol),
            ("a\n", symbol),
            ("\0", symbol),
            ("a\0b", symbol),
            ("\u{1f}", symbol),
            ("\u{7f}", symbol),
            ("\u{80}", symbol),
            ("\u{e9}", symbol),
            ("\u{200b}", symbol),
            // 128 symbols of two bytes each.
            (&"\u{e9}".repeat(128), length),
        ],
    );
    assert!("a".parse::<T>().unwrap() != "A".parse::<T>().unwrap(), "compared byte by byte");
}

#[test]
fn ids_of_the_service() {
    opaque::<ModelId>("a model id has 1 to 128 symbols", "a model id has only visible ASCII symbols");
    opaque::<TeamId>("a team id has 1 to 128 symbols", "a team id has only visible ASCII symbols");
    opaque::<UserId>("a user id has 1 to 128 symbols", "a user id has only visible ASCII symbols");
}

#[test]
fn operator_reason() {
    const LENGTH: &str = "the system's reason has 1 to 200 symbols";
    const SYMBOL: &str = "the system's reason has only printable ASCII symbols";
    grammar::<SystemReason>(
        &["a", " ", "first key", "Ticket #1: ada has left", "~", &a(199), &a(200)],
        &[
            ("", LENGTH),
            (&a(201), LENGTH),
            ("a\n", SYMBOL),
            ("a\tb", SYMBOL),
            ("\0", SYMBOL),
            ("\u{7f}", SYMBOL),
            ("\u{1b}[31m", SYMBOL),
            ("\u{e9}", SYMBOL),
        ],
    );
}

#[test]
fn level() {
    const WORDS: &str = "a level is `full`, `inference_only` or `metrics_only`";
    let reject =
        ["", "Full", "FULL", "full ", " full", "fullx", "ful", "inference", "inference-only", "all", "admin", "full\0"];
    grammar::<PermissionLevel>(&["full", "inference_only", "metrics_only"], &reject.map(|input| (input, WORDS)));
    assert_eq!(PermissionLevel::ALL.len(), 3);
}

#[test]
fn kind() {
    const WORDS: &str = "a key kind is `personal` or `team`";
    let reject = ["", "Team", "TEAM", "t", "p", "team ", " team", "personal\0", "organization"];
    grammar::<KeyKind>(&["personal", "team"], &reject.map(|input| (input, WORDS)));
    assert_eq!([KeyKind::Personal.symbol(), KeyKind::Team.symbol()], ["p", "t"]);
}

#[test]
fn stored_digest() {
    const TAG: &str = "a digest starts with the tag of a known algorithm, as `v1$` is";
    const DIGITS: &str = "a digest has 56 lower-case hexadecimal digits";
    const DIGEST: &str = "v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504";
    let tail = DIGEST.strip_prefix("v1$").unwrap();
    grammar::<SecretDigest>(
        &[
            DIGEST,
            &format!("v1${}", "0".repeat(56)),
            &format!("v1${}", "f".repeat(56)),
            "v1$0123456789abcdef0123456789abcdef0123456789abcdef01234567",
            &format!("legacy-v1${tail}"),
            &format!("sha256-v1${tail}"),
            &format!("sha512-v1${tail}"),
            &format!("custom-v1${tail}"),
        ],
        &[
            ("", TAG),
            (&format!("sha512${tail}"), TAG),
            (&format!("sha512-v2${tail}"), TAG),
            (&format!("SHA512-v1${tail}"), TAG),
            (&format!("sha512$${tail}"), TAG),
            (&format!("${tail}"), TAG),
            (&format!("sha512-v1{tail}"), TAG),
            (&format!("sha512-v1${tail}{tail}"), DIGITS),
            ("v1", TAG),
            ("v1$", DIGITS),
            (tail, TAG),
            (&format!("v2${tail}"), TAG),
            (&format!("V1${tail}"), TAG),
            (&format!(" {DIGEST}"), TAG),
            (&format!("v1$${tail}"), DIGITS),
            (&format!("{DIGEST} "), DIGITS),
            (&format!("{DIGEST}\0"), DIGITS),
            (&format!("{DIGEST}0"), DIGITS),
            (&format!("{DIGEST}00"), DIGITS),
            (&DIGEST[..58], DIGITS),
            (&DIGEST[..57], DIGITS),
            (&format!("v1${}", tail.to_uppercase()), DIGITS),
            (&format!("v1${}g", &tail[..55]), DIGITS),
            (&format!("v1${}/", &tail[..55]), DIGITS),
            (&format!("v1${}:", &tail[..55]), DIGITS),
            (&format!("v1${}`", &tail[..55]), DIGITS),
            (&format!("v1${}\u{e9}", &tail[..54]), DIGITS),
            (&format!("v1${}", "\u{e9}".repeat(28)), DIGITS),
            (&format!("v1$0x{}", &tail[..54]), DIGITS),
        ],
    );
}

/// In bytes, the algorithm is the first: it cannot be left behind.
#[test]
fn stored_digest_in_bytes() {
    let hash = "b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504";
    for (algorithm, code) in DigestAlgorithm::ALL.iter().zip(1..) {
        let digest: SecretDigest = text(&format!("{algorithm}${hash}"));
        assert_eq!(digest.algorithm(), *algorithm);
        assert_eq!(algorithm.is_foreign(), code != 1, "the first is of tokens");
        let bytes = digest.to_bytes();
        assert_eq!((bytes.len(), bytes[0], bytes[1]), (SecretDigest::LENGTH, code, 0xb0));
        assert_eq!(SecretDigest::from_bytes(bytes), Ok(digest));
        for other in DigestAlgorithm::ALL.iter().filter(|other| *other != algorithm) {
            assert_ne!(digest, text(&format!("{other}${hash}")));
        }
    }
    for code in [0, 6, 0xb0, 0xff] {
        assert_eq!(SecretDigest::from_bytes([code; SecretDigest::LENGTH]), Err(InvalidDigest::Tag), "{code}");
    }
}

/// Serialized, a time is a number; as text, its decimal digits.
#[test]
fn time() {
    for seconds in [i64::MIN, -1, 0, 1, 10, i64::MAX] {
        let time = UnixTime::from_secs(seconds);
        assert_eq!(time.as_secs(), seconds);
        assert_eq!(time.to_string(), seconds.to_string());
        assert_eq!(seconds.to_string().parse(), Ok(time));
        assert_eq!(serde_json::to_value(time).unwrap(), json!(seconds));
        assert_eq!(serde_json::from_value::<UnixTime>(json!(seconds)).unwrap(), time);
    }
    for other in [json!("1"), json!(1.0), json!(1.5), json!(null), json!(u64::MAX), json!([1]), json!({})] {
        assert!(serde_json::from_value::<UnixTime>(other.clone()).is_err(), "{other}");
    }
    let reject = [
        "",
        "-",
        "+1",
        "01",
        "00",
        "-0",
        "-01",
        "1.0",
        "1e3",
        "0x1",
        " 1",
        "1 ",
        "1\0",
        "1_000",
        "9223372036854775808",
        "-9223372036854775809",
        "\u{661}",
        "--1",
        "zqcanary",
    ];
    for input in reject {
        let error = input.parse::<UnixTime>().unwrap_err();
        assert_eq!(error.to_string(), "a time is a decimal number of seconds, without leading zeros or a plus sign");
    }
}

#[test]
fn owner() {
    const WORDS: &str = "an owner is `personal:` and a user id, or `team:` and a team id";
    let longest = format!("team:{}", a(128));
    let too_long = format!("{longest}a");
    let reject = [
        "",
        ":",
        "team",
        "team:",
        "personal:",
        "ada",
        ":ada",
        "Team:core",
        "user:ada",
        "t:core",
        " team:core",
        "team: core",
        "team :core",
        "team:core ",
        "team:core\0",
        "team:\u{e9}",
        "personal\u{ff1a}ada",
        &too_long,
    ];
    // An id may have a colon: the first one ends the kind.
    let accept = ["personal:ada", "team:core", "team:a:b", "team::", "team:personal:ada", &longest];
    grammar::<Owner>(&accept, &reject.map(|input| (input, WORDS)));
    assert_ne!(text::<Owner>("team:ada"), text("personal:ada"));
}

#[test]
fn creator() {
    const WORDS: &str = "a creator is `system`, or `user:` and a user id";
    let reject = [
        "",
        "user",
        "user:",
        "ada",
        "system:",
        "system:ada",
        "System",
        "system ",
        "user:a b",
        "User:ada",
        "key:ada",
        "personal:ada",
        "user:\0",
        "user:\u{e9}",
    ];
    grammar::<Creator>(&["system", "user:ada", "user:system", "user::"], &reject.map(|input| (input, WORDS)));
}

#[test]
fn status() {
    const WORDS: &str = "a status is `active`, `disabled`, or `revoked:` and a time";
    let accept = ["active", "disabled", "revoked:0", "revoked:-1", "revoked:9223372036854775807"];
    let reject = [
        "",
        "Active",
        "ACTIVE",
        "active ",
        " active",
        "active:",
        "active:1",
        "disabled:1",
        "enabled",
        "expired",
        "revoked",
        "revoked:",
        "revoked:now",
        "revoked:1.5",
        "revoked:+1",
        "revoked:01",
        "revoked:-0",
        "revoked: 1",
        "revoked:1 ",
        "revoked:1:2",
        "revoked:9223372036854775808",
        "Revoked:1",
        "revoked:1\0",
    ];
    grammar::<Status>(&accept, &reject.map(|input| (input, WORDS)));
}

#[test]
fn cursor() {
    const WORDS: &str = "a cursor is a time, `:` and a key id";
    let accept = ["100:wk59pfKL0jFi2YYv", "-1:0000000000000000", "9223372036854775807:wk59pfKL0jFi2YYv"];
    let reject = [
        "",
        ":",
        "100",
        "100:",
        ":wk59pfKL0jFi2YYv",
        "wk59pfKL0jFi2YYv:100",
        "100:wk59pfKL0jFi2YY",
        "100:wk59pfKL0jFi2YYvv",
        "0100:wk59pfKL0jFi2YYv",
        "+1:wk59pfKL0jFi2YYv",
        "1:2:wk59pfKL0jFi2YYv",
        "100:wk59pfKL0jFi2YY-",
        "100: wk59pfKL0jFi2YYv",
        "100:wk59pfKL0jFi2YYv\n",
    ];
    grammar::<Cursor>(&accept, &reject.map(|input| (input, WORDS)));
}

/// Writes the right checksum behind anything.
fn sealed(body: &str) -> String {
    let checksum: String = Sha256::digest(body).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{body}_{checksum}")
}

/// The hash is padded by the library: one block or two, by the length of the issuer.
#[test]
fn token_of_each_length_of_issuer() {
    for issuer in (2..=10).map(a) {
        let body = format!("{issuer}t1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1");
        let presented = UnverifiedToken::parse(text(&issuer), &sealed(&body)).unwrap();
        assert_eq!(presented.digest().to_bytes()[1..], Sha256::digest(&body)[4..], "{issuer}");
    }
}

/// Symbols are looked at many at a time: each at each place must count.
#[test]
fn token_with_each_symbol_at_each_place() {
    let good = sealed("kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1");
    for place in 5..good.len() {
        for symbol in (0..128).map(char::from).chain(['\u{80}', '\u{7ff}']) {
            let mut other = good.clone();
            other.replace_range(place..=place, symbol.encode_utf8(&mut [0; 4]));
            let fits = match place {
                21 | 54 => symbol == '_',
                55.. => matches!(symbol, '0'..='9' | 'a'..='f'),
                _ => symbol.is_ascii_alphanumeric(),
            };
            let expected = if fits { ParseTokenError::ChecksumMismatch } else { ParseTokenError::Malformed };
            let error = UnverifiedToken::parse(KG, &other).err();
            assert_eq!(error, (other != good).then_some(expected), "{symbol:?} at {place}");
        }
    }
}

/// The order of the refusals is part of the format: each text but the last few breaks more than one rule.
#[test]
fn token() {
    use ParseTokenError::{ChecksumMismatch, ForeignIssuer, Malformed, UnsupportedVersion};
    const ID: &str = "wk59pfKL0jFi2YYv";
    const SECRET: &str = "LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1";
    let good = sealed(&format!("kgt1_{ID}_{SECRET}"));
    assert_eq!(good.len(), 2 + keygate::Token::LENGTH_AFTER_ISSUER);

    // The parser accepts whatever fits, even what no generator gives.
    for accepted in [
        good.clone(),
        sealed(&format!("kgp1_{ID}_{SECRET}")),
        sealed(&format!("kgt1_{}_{}", a(16), a(32))),
        sealed(&format!("kgp1_{}_{}", "0".repeat(16), "Z".repeat(32))),
    ] {
        let token = UnverifiedToken::parse(KG, &accepted).unwrap();
        assert_eq!(token.public().to_string(), accepted[..21]);
        assert_eq!(token.kind().symbol(), &accepted[2..3]);
        assert_eq!(token.id().as_str(), &accepted[5..21]);
    }

    let table = [
        // 1. The start.
        ("", ForeignIssuer),
        ("k", ForeignIssuer),
        ("kg", ForeignIssuer),
        ("kgt", ForeignIssuer),
        ("kgt1", ForeignIssuer),
        ("kgx1_", ForeignIssuer),
        ("kgT1_", ForeignIssuer),
        ("KGt1_", ForeignIssuer),
        ("kgtA_", ForeignIssuer),
        ("kgt-_", ForeignIssuer),
        ("kgt1-", ForeignIssuer),
        ("kgt12_", ForeignIssuer),
        ("kgt\u{e9}_", ForeignIssuer),
        ("\u{e9}kgt1_", ForeignIssuer),
        ("\0kgt1_", ForeignIssuer),
        (" kgt1_", ForeignIssuer),
        ("eyJhbGciOiJIUzI1NiJ9.e30.", ForeignIssuer),
        ("Bearer kgt1_", ForeignIssuer),
        // Another issuer that starts as ours does.
        (&sealed(&format!("kgtt1_{ID}_{SECRET}")), ForeignIssuer),
        // 2. The version, before the length.
        ("kgt2_", UnsupportedVersion),
        ("kgp0_", UnsupportedVersion),
        ("kgt9_\u{e9}", UnsupportedVersion),
        ("kgtz_", UnsupportedVersion),
        (&sealed(&format!("kgt2_{ID}_{SECRET}")), UnsupportedVersion),
        // 3. The length and each symbol, before the checksum.
        ("kgt1_", Malformed),
        ("kgt1_\0", Malformed),
        (&good[..62], Malformed),
        (&format!("{good}0"), Malformed),
        (&format!("{good}\n"), Malformed),
        (&format!("{good} "), Malformed),
        (&good.replace('_', "-").replacen("kgt1-", "kgt1_", 1), Malformed),
        (&sealed(&format!("kgt1_{ID}a_{}", &SECRET[..31])), Malformed),
        (&sealed(&format!("kgt1_{}_{SECRET}a", &ID[..15])), Malformed),
        (&sealed(&format!("kgt1_{}-_{SECRET}", &ID[..15])), Malformed),
        (&sealed(&format!("kgt1_{}__{SECRET}", &ID[..15])), Malformed),
        (&sealed(&format!("kgt1_{ID}_{}+", &SECRET[..31])), Malformed),
        (&sealed(&format!("kgt1_{ID}_{}\0", &SECRET[..31])), Malformed),
        (&sealed(&format!("kgt1_{ID}_{}\u{e9}", &SECRET[..30])), Malformed),
        (&sealed(&format!("kgt1_{ID}_{}\u{e9}", &SECRET[..31])), Malformed),
        // One wrong symbol does not make up for another.
        (&sealed(&format!("kgt1_{}--_{SECRET}", &ID[..14])), Malformed),
        (&sealed(&format!("kgt1_{ID}_{}--", &SECRET[..30])), Malformed),
        (&format!("{}gg", &good[..61]), Malformed),
        // The checksum has one spelling too.
        (&format!("{}{}", &good[..55], good[55..].to_uppercase()), Malformed),
        (&format!("{}g", &good[..62]), Malformed),
        // 4. The checksum.
        (&format!("kgt1_{ID}_{SECRET}_00000000"), ChecksumMismatch),
        (&good.replacen("kgt", "kgp", 1), ChecksumMismatch),
        (&good.replacen("wk59", "kw59", 1), ChecksumMismatch),
        (&good.replacen("wk59", "Wk59", 1), ChecksumMismatch),
        (&good.replacen("LBp", "BLp", 1), ChecksumMismatch),
    ];
    for (input, expected) in table {
        let Err(error) = UnverifiedToken::parse(KG, input) else { panic!("{input:?} is accepted") };
        assert_eq!(error, expected, "{input:?}");
    }

    // What the errors say, and that it holds nothing of the token.
    for (error, words) in [
        (ChecksumMismatch, "the checksum of the token does not match: is it copied in full and without change?"),
        (ForeignIssuer, "not a token of this issuer"),
        (Malformed, "the length or a symbol of the token does not fit the format"),
        (UnsupportedVersion, "the version of the token is not supported"),
    ] {
        assert_eq!(error.to_string(), words);
        // Only what has no fields is a number.
        assert!((error as u64) < 4, "there is no room for a symbol");
    }
}

/// The rule is told apart from the words, for callers that have words of their own.
#[test]
fn broken_rules() {
    let rule = |error: keygate::InvalidText| error.rule();
    assert_eq!("".parse::<KeyName>().map_err(rule), Err(TextRule::Length));
    assert_eq!("A".parse::<KeyName>().map_err(rule), Err(TextRule::Symbol));
    assert_eq!("-".parse::<EnvironmentName>().map_err(rule), Err(TextRule::Edge));
    assert_eq!("sk".parse::<Issuer>().map_err(rule), Err(TextRule::Reserved));
    // `TryFrom` is the same door.
    assert_eq!(KeyName::try_from("A").map_err(rule), Err(TextRule::Symbol));
    assert_eq!(KeyName::try_from(String::from("a")).map(String::from), Ok("a".to_owned()));
}

/// `{:>5}` and the like pad the text; `Debug` names the type and shows the text, which is public.
#[test]
fn texts_are_shown() {
    assert_eq!(format!("{:>5}|{:<5}|", text::<KeyName>("a"), text::<Issuer>("kg")), "    a|kg   |");
    assert_eq!(format!("{:?}", text::<KeyName>("a")), "KeyName(a)");
    assert_eq!(format!("{:?}", PermissionLevel::Full), "PermissionLevel(full)");
    assert_eq!(serde_json::to_value(text::<Issuer>("kg")).unwrap(), Value::String("kg".into()));
}

/// A personal grant has a user, a team grant a team and a permission, and neither anything else.
#[test]
fn serialized_grants() {
    let metrics = json!({"level": "metrics_only", "models": ["m1"]});
    let personal = Grant::Personal { user: text("ada") };
    let team = common::team("core", common::metrics("m1"));
    for (grant, expected) in [
        (personal, json!({"kind": "personal", "user": "ada"})),
        (team, json!({"kind": "team", "team": "core", "permission": metrics})),
    ] {
        assert_eq!(serde_json::to_value(&grant).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Grant>(expected).unwrap(), grant);
    }
    for refused in [
        json!({"kind": "personal"}),
        json!({"kind": "personal", "team": "core"}),
        json!({"kind": "personal", "user": "ada", "team": "core"}),
        json!({"kind": "personal", "user": "ada", "permission": metrics}),
        json!({"kind": "team", "team": "core"}),
        json!({"kind": "team", "permission": metrics}),
        json!({"kind": "team", "user": "ada", "permission": metrics}),
        json!({"kind": "team", "user": "ada", "team": "core", "permission": metrics}),
    ] {
        assert!(serde_json::from_value::<Grant>(refused.clone()).is_err(), "{refused}");
    }
}

/// A record as a store writes it; the table below changes one piece of it at a time.
const RECORD: &str = r#"{"id":"wk59pfKL0jFi2YYv","name":"nightly",
    "grant":{"kind":"team","team":"core","permission":{"level":"inference_only","environments":["prod"],"models":"all"}},
    "created_at":100,"created_by":"user:ada","not_before":null,"expires_at":200,"last_used_at":null,
    "status":"revoked:150","current":"v1$b018ade7a2fa939801e20bec39cc70ba95764602c5f1d787713d7504",
    "previous":{"digest":"v1$0673ba89234c55e09d35cc5bb388348a27197da0dec61362fd8c824d","ends_at":200}}"#;

#[test]
fn serialized_record() {
    let read = |json: &str| serde_json::from_str::<keygate::KeyRecord>(json);
    let original = read(RECORD).unwrap();
    let with = |old: &str, new: &str| {
        assert!(RECORD.contains(old), "{old} is not in the record");
        read(&RECORD.replacen(old, new, 1))
    };

    let accept = [
        (r#""revoked:150""#, r#""active""#),
        (r#""revoked:150""#, r#""disabled""#),
        (r#""user:ada""#, r#""system""#),
        (r#""prod""#, r#""prod","test""#),
        (r#"["prod"]"#, r#""all""#),
        (r#""models":"all""#, r#""models":["m1"]"#),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"full","environments":"all""#,
        ),
        (
            r#""level":"inference_only","environments":["prod"],"models":"all""#,
            r#""level":"metrics_only","models":"all""#,
        ),
        (r#""kind":"team","team":"core","permission":"#, r#""team":"core","kind":"team","permission":"#),
        (r#""ends_at":200"#, r#""ends_at":-5"#),
        (r#""expires_at":200"#, r#""expires_at":null"#),
    ];
    for (old, new) in accept {
        let record = with(old, new).unwrap_or_else(|error| panic!("{new}: {error}"));
        // What is read is written in the same words.
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(&RECORD.replacen(old, new, 1)).unwrap(), "{new}");
    }
    // A set has no order and no repeats.
    assert_eq!(with(r#"["prod"]"#, r#"["prod","prod"]"#).unwrap(), original);

    let reject = [
        // An empty list is not everything, and nothing but `all` is.
        (r#"["prod"]"#, "[]"),
        (r#"["prod"]"#, "null"),
        (r#"["prod"]"#, r#""*""#),
        (r#"["prod"]"#, r#""All""#),
        (r#"["prod"]"#, r#""prod""#),
        (r#"["prod"]"#, "{}"),
        (r#"["prod"]"#, r#"["development"]"#),
        (r#"["prod"]"#, r#"["prod","development"]"#),
        (r#"["prod"]"#, r#"["Prod"]"#),
        (r#"["prod"]"#, "[null]"),
        (r#""models":"all""#, r#""models":[]"#),
        (r#","models":"all""#, ""),
        (r#""environments":["prod"],"#, ""),
        // Levels with restrictions that they do not take, and levels that do not exist.
        (r#""level":"inference_only""#, r#""level":"full""#),
        (r#""level":"inference_only""#, r#""level":"metrics_only""#),
        (r#""level":"inference_only""#, r#""level":"Full""#),
        (r#""level":"inference_only""#, r#""level":"admin""#),
        (r#""level":"inference_only","#, ""),
        // The number of a variant is not its name.
        (r#""level":"inference_only","environments":["prod"],"models":"all""#, r#""level":0,"environments":"all""#),
        (r#""level":"inference_only""#, r#""level":1"#),
        (r#""kind":"team""#, r#""kind":1"#),
        (r#""environments":["prod"]"#, r#""environments":["prod"],"user":null"#),
        // Kinds, owners and creators.
        (r#""kind":"team""#, r#""kind":"personal""#),
        (r#""kind":"team""#, r#""kind":"system""#),
        (r#""kind":"team","#, ""),
        (r#""team":"core","#, ""),
        (r#""team":"core""#, r#""user":"core""#),
        (r#""user:ada""#, r#""system:ada""#),
        (r#""user:ada""#, r#""user""#),
        (r#""user:ada""#, r#""user:""#),
        (r#""user:ada""#, r#""key:wk59pfKL0jFi2YYv""#),
        // Statuses.
        (r#""revoked:150""#, r#""revoked""#),
        (r#""revoked:150""#, r#""revoked:""#),
        (r#""revoked:150""#, r#""revoked:+150""#),
        (r#""revoked:150""#, r#""revoked:0150""#),
        (r#""revoked:150""#, r#""revoked:-0""#),
        (r#""revoked:150""#, r#""revoked:150 ""#),
        (r#""revoked:150""#, r#"{"revoked":{"at":150}}"#),
        (r#""revoked:150""#, r#"{"active":null}"#),
        (r#""revoked:150""#, r#""Active""#),
        (r#""revoked:150""#, r#""enabled""#),
        (r#""revoked:150""#, "null"),
        // Fields that nobody knows, at each level.
        (r#""id""#, r#""admin":true,"id""#),
        (r#""kind":"team""#, r#""kind":"team","admin":true"#),
        (r#""level":"inference_only""#, r#""level":"inference_only","admin":true"#),
        (r#""ends_at":200"#, r#""ends_at":200,"admin":true"#),
        // The same field twice, at each level.
        (r#""id""#, r#""name":"other","id""#),
        (r#""team":"core""#, r#""team":"core","team":"core""#),
        (r#""kind":"team""#, r#""kind":"team","kind":"team""#),
        (r#""level":"inference_only""#, r#""level":"inference_only","level":"inference_only""#),
        (r#""models":"all""#, r#""models":"all","models":"all""#),
        (r#""ends_at":200"#, r#""ends_at":200,"ends_at":200"#),
        // Times that do not fit together, and what is no time.
        (r#""not_before":null"#, r#""not_before":200"#),
        (r#""not_before":null"#, r#""not_before":"100""#),
        (r#""ends_at":200"#, r#""ends_at":201"#),
        (r#""ends_at":200"#, r#""ends_at":null"#),
        (r#""created_at":100"#, r#""created_at":100.0"#),
        // Nulls and lists where named fields belong.
        (
            r#"{"level":"inference_only","environments":["prod"],"models":"all"}"#,
            r#"["inference_only",["prod"],"all"]"#,
        ),
        (r#"{"level":"inference_only","environments":["prod"],"models":"all"}"#, "null"),
    ];
    for (old, new) in reject {
        assert!(with(old, new).is_err(), "{new} instead of {old} is accepted");
    }
}

/// What is wrong is told by the rule, and what was written instead is not told.
#[test]
fn serialized_record_errors_quote_nothing() {
    for (old, new) in [
        (r#""id""#, r#""canary":true,"id""#),
        (r#""level":"inference_only""#, r#""level":"canary""#),
        (r#""kind":"team""#, r#""kind":"canary""#),
        (r#""kind":"team""#, r#""kind":"team","canary":1"#),
        (r#""expires_at":200"#, r#""expires_at":"canary""#),
        (r#""ends_at":200"#, r#""ends_at":"canary""#),
        (r#""environments":["prod"]"#, r#""environments":["Canary"]"#),
        (r#""environments":["prod"]"#, r#""environments":"canary""#),
        (r#""status":"revoked:150""#, r#""status":"canary""#),
        (r#""name":"nightly""#, r#""name":"CANARY""#),
        (r#""level":"inference_only""#, r#""level":["canary"]"#),
        (r#""status":"revoked:150""#, r#""status":{"canary":"canary"}"#),
        (r#""environments":["prod"]"#, r#""environments":{"canary":1}"#),
        (r#""created_by":"user:ada""#, r#""created_by":"canary:ada""#),
    ] {
        assert!(RECORD.contains(old), "{old} is not in the record");
        let error = serde_json::from_str::<keygate::KeyRecord>(&RECORD.replacen(old, new, 1)).unwrap_err();
        assert!(!error.to_string().to_lowercase().contains("canary"), "{error}");
    }
    // The same for values that stand alone, of whatever type.
    for json in
        [r#""Canary!""#, "4242.5", "42424242424242424242", "true", "null", r#"["Canary!"]"#, r#"{"canary":"canary"}"#]
    {
        let errors = [
            serde_json::from_str::<keygate::KeyRecord>(json).map(drop),
            serde_json::from_str::<keygate::RecordParts>(json).map(drop),
            serde_json::from_str::<keygate::PreviousSecret>(json).map(drop),
            serde_json::from_str::<Grant>(json).map(drop),
            serde_json::from_str::<keygate::Permission>(json).map(drop),
            serde_json::from_str::<keygate::EnvironmentScope>(json).map(drop),
            serde_json::from_str::<UnixTime>(json).map(drop),
            serde_json::from_str::<KeyName>(json).map(drop),
            serde_json::from_str::<PermissionLevel>(json).map(drop),
            serde_json::from_str::<Status>(json).map(drop),
        ];
        for error in errors.into_iter().map(Result::unwrap_err) {
            let error = error.to_string().to_lowercase();
            assert!(!["canary", "42", "true", "null"].iter().any(|quoted| error.contains(quoted)), "{json}: {error}");
        }
    }
    let missing = RECORD.replacen(r#""expires_at":200,"#, "", 1);
    let error = serde_json::from_str::<keygate::KeyRecord>(&missing).unwrap_err();
    assert!(error.to_string().starts_with("missing field `expires_at`"), "{error}");
}

/// Named fields have one spelling: a list of their values, in the order of the fields, is none.
#[test]
fn serialized_record_takes_no_lists_for_fields() {
    let record: Value = serde_json::from_str(RECORD).unwrap();
    let values = |path: &str, fields: &[&str]| -> Value {
        fields.iter().map(|field| record.pointer(path).unwrap()[field].clone()).collect()
    };
    let whole = [
        "id",
        "name",
        "grant",
        "created_at",
        "created_by",
        "not_before",
        "expires_at",
        "last_used_at",
        "status",
        "current",
        "previous",
    ];
    let lists: [(&str, &[&str]); 4] = [
        ("", &whole),
        ("/grant", &["kind", "team", "permission"]),
        ("/grant/permission", &["level", "environments", "models"]),
        ("/previous", &["digest", "ends_at"]),
    ];
    for (path, fields) in lists {
        let mut other = record.clone();
        *other.pointer_mut(path).unwrap() = values(path, fields);
        let text = other.to_string();
        assert!(serde_json::from_value::<keygate::KeyRecord>(other.clone()).is_err(), "a list at `{path}`");
        assert!(serde_json::from_str::<keygate::KeyRecord>(&text).is_err(), "a list at `{path}`, as text");
        assert!(serde_json::from_value::<keygate::RecordParts>(other).is_err(), "a list at `{path}` of parts");
    }
    // On their own they are no laxer.
    assert!(serde_json::from_value::<Grant>(values("/grant", lists[1].1)).is_err());
    assert!(serde_json::from_value::<keygate::Permission>(values("/grant/permission", lists[2].1)).is_err());
    assert!(serde_json::from_value::<keygate::PreviousSecret>(values("/previous", lists[3].1)).is_err());
}
