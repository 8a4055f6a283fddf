//! One table for each grammar: what is accepted and what is refused, with the words that say so. `FromStr`, `Display`
//! and serde are one grammar, and no refusal quotes what was refused.

use core::{error::Error, fmt, str::FromStr};
use std::panic;

use keygate::{
    ActionName, EnvironmentName, Incarnation, InvalidLabels, Issuer, KeyId, KeyKind, KeyName, LabelName, LabelValue,
    Labels, ModelId, Owner, PermissionLevel, ResourceId, RevocationCause, Status, TeamId, TextRule, UnixTime, UserId,
    audit::{EventId, OperationKind, RefusalReason, SystemReason},
    store::{Creator, Cursor, DigestAlgorithm, InvalidDigest, SecretDigest, SecretSlot},
    verify::{ParseTokenError, UnverifiedToken},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{KG, text};

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
        // One symbol more, at either end, is another issuer.
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
    // The slot that some platforms have is a name as any other.
    let scope = keygate::EnvironmentScope::only([text("development")]).unwrap();
    assert!(scope.contains(&text("development")));
}

/// The ids of the embedding service have one grammar and four names.
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
    opaque::<ResourceId>("a resource id has 1 to 128 symbols", "a resource id has only visible ASCII symbols");
    opaque::<UserId>("a user id has 1 to 128 symbols", "a user id has only visible ASCII symbols");
}

#[test]
fn system_reason() {
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

/// Built-in actions by their names, and own actions by two or more parts.
#[test]
fn action_name() {
    const LENGTH: &str = "an action name has 1 to 64 symbols";
    const SYMBOL: &str = "an action name has only lower-case letters, digits, `_`, `-` and `:`";
    const EDGE: &str = "an action name is a built-in action, or two or more parts joined by `:`, the first of which begins \
                        with a letter";
    grammar::<ActionName>(
        &[
            "call",
            "deploy",
            "manage",
            "export_metrics",
            "projects:read",
            "a:b",
            "a:0",
            "a:_",
            "a:-",
            "a_b-c0:d:e:f",
            // The parts may be the names of built-in actions.
            "call:call",
            "manage:keys",
            &format!("a:{}", a(61)),
            &format!("a:{}", a(62)),
            &"a:".repeat(31).chars().chain(['a', 'a']).collect::<String>(),
        ],
        &[
            ("", LENGTH),
            (&format!("a:{}", a(63)), LENGTH),
            (&a(100_000), LENGTH),
            // One part is a built-in action or nothing.
            ("a", EDGE),
            ("projects", EDGE),
            ("calls", EDGE),
            ("export-metrics", EDGE),
            // The kind of all own actions is not the name of one.
            ("custom", EDGE),
            (":", EDGE),
            ("a:", EDGE),
            (":a", EDGE),
            ("a::b", EDGE),
            ("a:b:", EDGE),
            ("0a:b", EDGE),
            ("_a:b", EDGE),
            ("-a:b", EDGE),
            // No wildcard, no other case, no other separator.
            ("a:*", SYMBOL),
            ("*:*", SYMBOL),
            ("Projects:read", SYMBOL),
            ("CALL", SYMBOL),
            ("projects.read", SYMBOL),
            ("projects/read", SYMBOL),
            ("projects: read", SYMBOL),
            (" call", SYMBOL),
            ("call ", SYMBOL),
            ("a:b\0", SYMBOL),
            ("a:\u{e9}", SYMBOL),
        ],
    );
    let is_built_in = |name| text::<ActionName>(name).is_built_in();
    assert!(["call", "deploy", "manage", "export_metrics"].into_iter().all(is_built_in));
    assert!(!["call:call", "manage:keys"].into_iter().any(is_built_in));
}

#[test]
fn label_name() {
    const LENGTH: &str = "a label name has 1 to 32 symbols";
    const SYMBOL: &str = "a label name has only lower-case letters, digits, `_` and `-`";
    const EDGE: &str = "a label name begins with a letter";
    grammar::<LabelName>(
        &["a", "cost-center", "cost_center", "a0", "a-", "a_", &a(31), &a(32)],
        &[
            ("", LENGTH),
            (&a(33), LENGTH),
            ("0", EDGE),
            ("-a", EDGE),
            ("_a", EDGE),
            ("A", SYMBOL),
            ("a b", SYMBOL),
            ("a.b", SYMBOL),
            ("a:b", SYMBOL),
            ("a\n", SYMBOL),
            ("\u{e9}", SYMBOL),
        ],
    );
}

#[test]
fn label_value() {
    const LENGTH: &str = "a label value has 0 to 128 symbols";
    const SYMBOL: &str = "a label value has only printable ASCII symbols";
    let printable: String = (' '..='~').collect();
    grammar::<LabelValue>(
        &["", " ", "R&D", "a b", "none", "null", "\"", &printable, &a(127), &a(128)],
        &[
            (&a(129), LENGTH),
            ("a\n", SYMBOL),
            ("a\tb", SYMBOL),
            ("\0", SYMBOL),
            ("\u{7f}", SYMBOL),
            ("\u{1b}[31m", SYMBOL),
            ("\u{e9}", SYMBOL),
        ],
    );
}

/// At most 16, each name once, and serialized as a map from name to value.
#[test]
fn labels() {
    let some = |count: usize| (0..count).map(|number| (text(&format!("l{number}")), text("v"))).collect::<Vec<_>>();
    assert_eq!(Labels::new([]), Ok(Labels::NONE));
    assert_eq!(Labels::default(), Labels::NONE);
    let most = Labels::new(some(16)).unwrap();
    assert_eq!((most.len(), most.is_empty(), most.get("l15")), (16, false, Some(&text("v"))));
    assert_eq!((most.get("l16"), most.get("no name")), (None, None));
    assert_eq!(Labels::new(some(17)), Err(InvalidLabels::TooMany));
    let twice = [(text("a"), text("1")), (text("a"), text("1"))];
    assert_eq!(Labels::new(twice), Err(InvalidLabels::Repeated));
    assert_eq!(InvalidLabels::Repeated.to_string(), "a label name is there twice");
    assert_eq!(InvalidLabels::TooMany.to_string(), "a key has at most 16 labels");

    let labels = Labels::new([(text("team"), text("R&D")), (text("empty"), text(""))]).unwrap();
    // In the order of the names, whatever the order in which they came.
    assert_eq!(labels.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["empty", "team"]);
    assert_eq!((labels.len(), labels.is_empty()), (2, false));
    assert_eq!((Labels::NONE.len(), Labels::NONE.is_empty()), (0, true));
    let written = json!({"empty": "", "team": "R&D"});
    assert_eq!(serde_json::to_value(&labels).unwrap(), written);
    assert_eq!(serde_json::from_value::<Labels>(written).unwrap(), labels);
    assert_eq!(serde_json::from_value::<Labels>(json!({})).unwrap(), Labels::NONE);
    assert_eq!(serde_json::from_value::<Labels>(serde_json::to_value(&most).unwrap()).unwrap(), most);
    let many: serde_json::Map<_, _> = (0..17).map(|number| (format!("l{number}"), json!("v"))).collect();
    let mut refused =
        vec![json!({"A": "v"}), json!({"a": 1}), json!({"a": null}), json!({"a": "\n"}), json!({"": "v"})];
    refused.extend([json!(null), json!([]), json!([["a", "v"]]), json!("none"), json!(1), json!(many)]);
    for refused in refused {
        assert!(serde_json::from_value::<Labels>(refused.clone()).is_err(), "{refused}");
    }
    assert!(serde_json::from_str::<Labels>(r#"{"a":"1","a":"1"}"#).is_err());
    for quoting in [r#"{"Canary":"v"}"#, r#"{"a":"canary\u0000"}"#, r#"{"a":["canary"]}"#, r#"["canary"]"#] {
        let error = serde_json::from_str::<Labels>(quoting).unwrap_err().to_string().to_lowercase();
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn incarnation() {
    for number in [i64::MIN, -1, 0, 7, i64::MAX] {
        let incarnation = Incarnation::new(number);
        assert_eq!(incarnation.get(), number);
        assert_eq!(serde_json::to_value(incarnation).unwrap(), json!(number));
        assert_eq!(serde_json::from_value::<Incarnation>(json!(number)).unwrap(), incarnation);
    }
    for other in [json!("1"), json!(1.0), json!(null), json!(u64::MAX), json!([1]), json!({})] {
        assert!(serde_json::from_value::<Incarnation>(other.clone()).is_err(), "{other}");
    }
}

#[test]
fn event_id() {
    const WORDS: &str =
        "an event id has 32 lower-case hexadecimal digits, and for all but the first part `-` and a number";
    const ID: &str = "00112233445566778899aabbccddeeff";
    let zeros = "0".repeat(32);
    let accept = [ID.to_owned(), format!("{ID}-1"), format!("{ID}-65535"), zeros.clone(), format!("{zeros}-10")];
    let reject = [
        String::new(),
        ID[..31].to_owned(),
        format!("{ID}0"),
        ID.to_uppercase(),
        format!("{ID}-"),
        format!("{ID}-0"),
        format!("{ID}-01"),
        format!("{ID}-+1"),
        format!("{ID}--1"),
        format!("{ID}-65536"),
        format!("{ID}-1 "),
        format!("{ID}-1-2"),
        format!(" {ID}"),
        format!("{ID}\0"),
        format!("0x{}", &ID[2..]),
        format!("{}g", &ID[..31]),
        format!("{}\u{e9}", &ID[..30]),
    ];
    let accept: Vec<_> = accept.iter().map(String::as_str).collect();
    grammar::<EventId>(&accept, &reject.iter().map(|input| (&**input, WORDS)).collect::<Vec<_>>());
    // In the order of the parts, not of their digits.
    assert!(text::<EventId>(&format!("{ID}-9")) < text(&format!("{ID}-10")));
}

/// Names that are no serialized form of their own: one spelling, and no refusal quotes what was refused.
#[test]
fn closed_lists_of_names() {
    #[track_caller]
    fn names<T: FromStr<Err: Error> + fmt::Debug + fmt::Display + PartialEq>(accept: &[&str], words: &str) {
        for name in accept {
            assert_eq!(name.parse::<T>().unwrap().to_string(), *name);
            for near in [format!("{name} "), format!(" {name}"), format!("{name}x"), name.to_uppercase()] {
                assert!(near.parse::<T>().is_err(), "{near}");
            }
        }
        for other in ["", "zqcanary", "\0", "\u{e9}"] {
            assert_eq!(other.parse::<T>().unwrap_err().to_string(), words, "{other:?}");
        }
    }
    let causes: Vec<_> = RevocationCause::ALL.iter().map(|cause| cause.as_str()).collect();
    assert_eq!(causes, ["leaked", "owner_deprovisioned", "replaced", "requested", "unused"]);
    let words = "a cause is `leaked`, `owner_deprovisioned`, `replaced`, `requested` or `unused`";
    names::<RevocationCause>(&causes, words);
    names::<SecretSlot>(&["current", "previous"], "a slot is `current` or `previous`");
    let operations: Vec<_> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let expected = ["create", "disable", "enable", "end_overlap", "import", "list", "rename", "revoke", "rotate"];
    assert_eq!(operations, [expected.as_slice(), &["set_labels"]].concat());
    names::<OperationKind>(&operations, "not the name of an operation on keys");
    let refusals: Vec<_> = RefusalReason::ALL.iter().map(|reason| reason.as_str()).collect();
    names::<RefusalReason>(&refusals, "not the name of a reason why something is refused");
}

#[test]
fn level() {
    const WORDS: &str = "a level is `full`, `inference_only`, `metrics_only` or `custom`";
    let reject =
        ["", "Full", "FULL", "full ", " full", "fullx", "ful", "inference", "inference-only", "all", "admin", "full\0"];
    let accept = ["custom", "full", "inference_only", "metrics_only"];
    grammar::<PermissionLevel>(&accept, &reject.map(|input| (input, WORDS)));
    assert_eq!(PermissionLevel::ALL.iter().map(|level| level.as_str()).collect::<Vec<_>>(), accept);
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
        assert_eq!(algorithm.is_legacy(), code != 1, "the first is of tokens");
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
    const WORDS: &str = "a status is `active`, `disabled`, or `revoked:`, a time, `:` and a cause";
    let accept = [
        "active",
        "disabled",
        "revoked:0:leaked",
        "revoked:-1:requested",
        "revoked:9223372036854775807:owner_deprovisioned",
        "revoked:1:replaced",
        "revoked:1:unused",
    ];
    let reject = [
        "",
        "Active",
        "ACTIVE",
        "active ",
        " active",
        "active:",
        "active:1",
        "active:1:leaked",
        "disabled:1",
        "disabled:1:leaked",
        "enabled",
        "expired",
        "revoked",
        "revoked:",
        "revoked::",
        "revoked:1",
        "revoked:1:",
        "revoked::leaked",
        "revoked:leaked:1",
        "revoked:now:leaked",
        "revoked:1.5:leaked",
        "revoked:+1:leaked",
        "revoked:01:leaked",
        "revoked:-0:leaked",
        "revoked: 1:leaked",
        "revoked:1 :leaked",
        "revoked:1:leaked ",
        "revoked:1:leaked:",
        "revoked:1:2:leaked",
        "revoked:1:Leaked",
        "revoked:1:stolen",
        "revoked:9223372036854775808:leaked",
        "Revoked:1:leaked",
        "revoked:1:leaked\0",
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

/// A literal that is no issuer does not compile, and the compiler says the rule.
#[test]
fn a_literal_that_is_no_issuer_names_the_rule() {
    for text in ["1a", "a", "abcdefghijk", "sk", "a_b"] {
        let said = panic::catch_unwind(|| Issuer::from_static(text)).unwrap_err();
        let error = text.parse::<Issuer>().unwrap_err().to_string();
        assert_eq!(said.downcast_ref::<&str>(), Some(&error.as_str()));
    }
}
