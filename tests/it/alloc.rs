//! The way of a request allocates nothing: parse, verify and decide, and every refusal.
//!
//! `allocation-counter` counts in the thread that measures, so that tests beside this one do not matter.

use std::{borrow::Cow, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use keygate::{
    Action, Coverage, Grant, Incarnation, Issuer, Membership, ModelId, ModelScope, OwnAction, OwnActions, Permission,
    Request, Status, TeamRole, Validity,
    legacy::{LegacyFormat, LegacyHash, Symbols},
    manage::Minted,
    policy::{allowed, decide},
    scan::Scanner,
    stages::AcceptedKeys,
    verify::{UnverifiedToken, verify},
};

use crate::common::{self, KG, at, call, changed, custom, export, full, issue, metrics, personal, request, team, text};

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
    const OWN: OwnAction = OwnActions::new(&[("projects:read", Coverage::Explicit)]).named("projects:read");
    let many = Permission::inference_only(common::environments("prod test"), many_models());
    let read = |resource| request("core", Action::custom(OWN, None, Some(text(resource))));
    let of_read = team("core", custom("projects:read", "all", "r1"));
    let cases: [(&str, Grant, Option<TeamRole>, Request, bool); 11] = [
        ("a personal key", personal("ada"), Some(TeamRole::Member), request("core", call("m1", None)), true),
        ("of an outsider", personal("ada"), Some(TeamRole::Outsider), request("core", call("m1", None)), false),
        ("of a user who was not looked up", personal("ada"), None, request("core", Action::Deploy), false),
        ("for an explicit action", personal("ada"), Some(TeamRole::Admin), read("r1"), false),
        ("a team key", team("core", full("all")), None, request("core", Action::Manage), true),
        ("of another team", team("core", full("all")), None, request("other", Action::Manage), false),
        ("of little level", team("core", metrics("m1")), None, request("core", export(None)), false),
        ("of many models", team("core", many.clone()), None, request("core", call("model-077777", Some("test"))), true),
        ("and not that", team("core", many), None, request("core", call("model-777777", Some("test"))), false),
        ("with an own action", of_read.clone(), None, read("r1"), true),
        ("and another resource", of_read, None, read("r2"), false),
    ];
    for (what, grant, role, request, is_allowed) in cases {
        let membership = role.map(Membership::from);
        let minted = issue_kind(&grant);
        for (status, now) in [(Status::Active, 50), (Status::Active, 100), (Status::Disabled, 50)] {
            let record = changed(minted.key.record(), |parts| {
                parts.grant = grant.clone();
                parts.status = status;
            });
            let is_usable = status == Status::Active && now < 100;
            assert_allocates_nothing(what, || {
                let presented = UnverifiedToken::parse(KG, minted.token.expose_secret()).unwrap();
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

/// A key of the kind that the grant needs, valid until 100: the grant itself may have more members than are minted.
fn issue_kind(grant: &Grant) -> Minted {
    let mintable = if grant.user().is_some() { personal("ada") } else { team("core", full("all")) };
    issue(mintable, Validity::between(at(0), at(100)).unwrap(), 1)
}

/// A key that was minted for an incarnation is compared with the user's, at no cost.
#[test]
fn an_incarnation() {
    let minted = issue_kind(&personal("ada"));
    let record = changed(minted.key.record(), |parts| parts.incarnation = Some(Incarnation::new(7)));
    let asked = request("core", Action::Deploy);
    for (incarnation, is_allowed) in [(7, true), (8, false)] {
        let membership = Membership::from(TeamRole::Member).with_incarnation(Incarnation::new(incarnation));
        assert_allocates_nothing("an incarnation", || {
            let presented = UnverifiedToken::parse(KG, minted.token.expose_secret()).unwrap();
            let key = verify(&presented, Some(record.clone()), at(50)).unwrap();
            assert_eq!(decide(&key, Some(membership), &asked, at(50)).is_allowed(), is_allowed);
        });
    }
}

/// A list is filtered in place: what is asked about is not copied.
#[test]
fn a_list_of_what_is_allowed() {
    let minted = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    let record = Arc::new(minted.key.record().clone());
    let key = common::open(&minted.token, &record, at(50));
    let asked = [request("core", call("m1", None)), request("other", call("m1", None))];
    assert_allocates_nothing("a list", || {
        let requests = asked.iter().cloned();
        assert_eq!(allowed(&key, None, requests, at(50)).count(), 1);
    });
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
    let keys = AcceptedKeys::new(KG).with_legacy(&FORMATS);
    let other = Arc::new(issue(personal("ada"), Validity::NEVER_EXPIRES, 1).key.record().clone());
    for text in ["Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "old_4dUQ1mRkTz0bYcN8sWvLx2Hf"] {
        assert_allocates_nothing(text, || {
            let presented = keys.parse(text).unwrap();
            assert!(presented.verify(None, at(0)).is_err());
            assert!(presented.verify(Some(other.clone()), at(0)).is_err());
        });
    }
    // A former issuer's token costs no more than a look at its beginning.
    static FORMER: [Issuer; 1] = [Issuer::from_static("prev")];
    let token = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token;
    let with_former = AcceptedKeys::new(Issuer::from_static("acme")).with_issuers(&FORMER);
    assert_allocates_nothing("another issuer", || assert!(with_former.parse(token.expose_secret()).is_err()));
    for text in ["Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7Ao", "old_short", &"x".repeat(100_000)] {
        assert_allocates_nothing(text, || assert!(keys.parse(text).is_err()));
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
        assert!("projects".parse::<keygate::ActionName>().is_err());
        assert!("Cost".parse::<keygate::LabelName>().is_err());
        assert!("v1$".parse::<keygate::store::SecretDigest>().is_err());
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
        assert_eq!(scanner.find(&with).count(), 1);
        assert_eq!(scanner.find(&without).count(), 0);
    });
    assert_allocates_nothing("redact", || {
        assert!(matches!(scanner.redact(&without), Cow::Borrowed(_)));
        assert!(matches!(scanner.redact_bytes(without.as_bytes()), Cow::Borrowed(_)));
    });
}
