//! The way of a request allocates nothing: parse, verify and decide, and every refusal.
//!
//! `allocation-counter` counts in the thread that measures, so that tests beside this one do not matter.
#![expect(clippy::string_slice, clippy::unwrap_used, reason = "a test that panics has failed; tokens are ASCII")]

mod common;

use std::{borrow::Cow, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use common::{KG, at, call, changed, export, full, issue, metrics, personal, request, team, text};
use keygate::{
    Action, Gate, Grant, Issuer, Membership, ModelId, ModelScope, Permission, Request, Scanner, Status,
    UnverifiedToken, Validity, decide,
    legacy::{LegacyFormat, LegacyHash, Symbols},
    verify,
};

#[track_caller]
fn assert_allocates_nothing(what: &str, run: impl FnOnce()) {
    let AllocationInfo { count_total, bytes_total, count_current, .. } = measure(run);
    assert_eq!((count_total, bytes_total, count_current), (0, 0, 0), "{what}");
}

#[test]
fn the_counter_counts() {
    let kept = core::hint::black_box(measure(|| drop(core::hint::black_box(vec![0_u8; 100]))));
    assert_eq!((kept.count_total, kept.bytes_total, kept.count_current), (1, 100, 0));
}

/// A hundred thousand models: what is looked up in them is not copied out of them.
fn many_models() -> ModelScope {
    let model = |number: u32| text::<ModelId>(&format!("model-{number:06}"));
    ModelScope::only((0..100_000).map(model)).unwrap()
}

#[test]
fn from_text_to_decision() {
    let many = Permission::InferenceOnly { environments: common::environments("prod test"), models: many_models() };
    let cases: [(&str, Grant, Option<Membership>, Request, bool); 8] = [
        ("a personal key", personal("ada"), Some(Membership::Member), request("core", call("m1", None)), true),
        ("of an outsider", personal("ada"), Some(Membership::Outsider), request("core", call("m1", None)), false),
        ("of nobody known", personal("ada"), None, request("core", Action::Deploy), false),
        ("a team key", team("core", full("all")), None, request("core", Action::Manage), true),
        ("of another team", team("core", full("all")), None, request("other", Action::Manage), false),
        ("of little level", team("core", metrics("m1")), None, request("core", export(None)), false),
        ("of many models", team("core", many.clone()), None, request("core", call("model-077777", Some("test"))), true),
        ("and not that", team("core", many), None, request("core", call("model-777777", Some("test"))), false),
    ];
    for (what, grant, membership, request, is_allowed) in cases {
        let issued = issue(grant, Validity::between(at(0), at(100)).unwrap(), 1);
        for (status, now) in [(Status::Active, 50), (Status::Active, 100), (Status::Disabled, 50)] {
            let record = changed(issued.key.record(), |parts| parts.status = status);
            let is_usable = status == Status::Active && now < 100;
            assert_allocates_nothing(what, || {
                let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
                let key = verify(&presented, Some(record.clone()), at(now)).unwrap();
                let decision = decide(&key, membership, &request, at(now));
                assert_eq!(decision.is_allowed(), is_allowed && is_usable);
                // What is handed to a handler is shared, not copied.
                if let Ok(allow) = decision.into_result() {
                    let authorization = allow.to_authorization();
                    assert_eq!(authorization.request(), &request);
                }
            });
        }
    }
}

#[test]
fn a_key_that_is_not_there_or_has_another_secret() {
    let [issued, other] = [1, 2].map(|seed| issue(personal("ada"), Validity::NEVER_EXPIRES, seed));
    let record = changed(other.key.record(), |parts| parts.id = issued.token.id());
    assert_allocates_nothing("verify", || {
        let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
        assert!(verify(&presented, None, at(0)).is_err());
        assert!(verify(&presented, Some(record.clone()), at(0)).is_err());
    });
}

#[test]
fn text_that_is_no_token() {
    let token = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token;
    let good = token.expose_secret();
    let other = Issuer::from_static("acme");
    let long = "kgp1_".to_owned() + &"a".repeat(100_000);
    let refused = [
        ("", KG),
        ("eyJhbGciOiJIUzI1NiJ9", KG),
        (good, other),
        ("kgp2_", KG),
        ("kgp1_", KG),
        (&good[..62], KG),
        (&long, KG),
        (&good.replace('_', "\u{e9}"), KG),
        (&format!("{}00000000", &good[..55]), KG),
    ]
    .map(|(text, issuer)| (text.to_owned(), issuer));
    for (text, issuer) in &refused {
        assert_allocates_nothing(text, || {
            // Told too, without a copy of the text: an error is a rule and has no room for more.
            let error = UnverifiedToken::parse(*issuer, text).unwrap_err();
            assert!(!error.as_str().is_empty());
        });
    }
}

/// A legacy key is read without allocating, and one that opens nothing costs none either.
#[test]
fn a_legacy_key() {
    static FORMATS: [LegacyFormat; 2] =
        [LegacyFormat::prefix_secret(LegacyHash::Sha512), LegacyFormat::opaque("old_", Symbols::Alphanumeric, 24, 32)];
    let gate = Gate::new(KG).accepting(&FORMATS);
    let other = Arc::new(issue(personal("ada"), Validity::NEVER_EXPIRES, 1).key.record().clone());
    for text in ["Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "old_4dUQ1mRkTz0bYcN8sWvLx2Hf"] {
        assert_allocates_nothing(text, || {
            let lookup = gate.parse(text).unwrap();
            assert!(lookup.verify(None, at(0)).is_err());
            assert!(lookup.verify(Some(other.clone()), at(0)).is_err());
        });
    }
    for text in ["Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7Ao", "old_short", &"x".repeat(100_000)] {
        assert_allocates_nothing(text, || assert!(gate.parse(text).is_err()));
    }
}

/// Finding out whether a name is one allocates nothing where it is none.
#[test]
fn names_that_are_none() {
    assert_allocates_nothing("names", || {
        assert!("Production".parse::<keygate::EnvironmentName>().is_err());
        assert!("wk59pfKL0jFi2YY-".parse::<keygate::KeyId>().is_err());
        assert!("wk59pfKL0jFi2YYv".parse::<keygate::KeyId>().is_ok());
        assert!("sk".parse::<Issuer>().is_err());
        assert!("v1$".parse::<keygate::SecretDigest>().is_err());
    });
}

/// Finding tokens allocates nothing, and redacting nothing where there is nothing to hide.
#[test]
fn text_that_is_searched() {
    let token = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token;
    let display = token.public().to_string();
    let (with, without) =
        (format!("key={}", token.expose_secret()), format!("{display} said kgp1_ {display}_. ").repeat(99));
    let scanner = Scanner::new(KG);
    assert_allocates_nothing("find", || {
        assert_eq!(scanner.find(&with).filter(|found| found.has_valid_checksum()).count(), 1);
        assert_eq!(scanner.find(&without).count(), 0);
    });
    assert_allocates_nothing("redact", || {
        assert!(matches!(scanner.redact(&without), Cow::Borrowed(_)));
        assert!(matches!(scanner.redact_bytes(without.as_bytes()), Cow::Borrowed(_)));
    });
}
