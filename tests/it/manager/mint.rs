//! What may be minted: each bound at its edge, for every actor, the system too.

use keygate::{
    EnvironmentScope, KeyKind, ModelScope, OwnActions, Permission, ResourceScope,
    manage::{MintError, MintRules},
};

use super::{
    common::{custom, metrics},
    *,
};

/// 9999-12-31T23:59:59Z.
const LAST: i64 = 253_402_300_799;

fn check(rules: MintRules, grant: &Grant, validity: Validity) -> Result<(), MintError> {
    let answer = rules.check(grant, validity, at(150));
    // A manager that has these rules says the same, to the system and to an admin.
    for actor in [system(), user("ada")] {
        let world = world();
        let keys = world.keys.clone().with_rules(rules);
        let created = block_on(keys.create(&actor, NewKeySpec::new(grant.clone(), text("key"), validity)));
        let expected = answer.map_err(ManageError::Mint);
        assert_eq!(created.map(drop), expected);
        assert_eq!(world.store.events().len(), usize::from(answer.is_ok()), "what is refused is not there");
    }
    answer
}

fn both() -> [Grant; 2] {
    [personal("ada"), team("core", metrics("all"))]
}

#[test]
fn which_kinds_are_minted() {
    let [mine, ours] = both();
    let never = Validity::NEVER_EXPIRES;
    let rules = MintRules::new();
    assert_eq!((check(rules, &mine, never), check(rules, &ours, never)), (Ok(()), Ok(())));
    let rules = MintRules::new().without(KeyKind::Personal);
    assert_eq!((check(rules, &mine, never), check(rules, &ours, never)), (Err(MintError::KindNotMinted), Ok(())));
    let rules = MintRules::new().without(KeyKind::Team);
    assert_eq!((check(rules, &mine, never), check(rules, &ours, never)), (Ok(()), Err(MintError::KindNotMinted)));
}

#[test]
fn expiries_are_required_and_bounded_by_kind() {
    let [mine, ours] = both();
    let (never, later) = (Validity::NEVER_EXPIRES, Validity::starting_at(at(160)));
    let rules = MintRules::new().with_expiry_required(KeyKind::Personal);
    assert_eq!(check(rules, &mine, never), Err(MintError::ExpiryRequired));
    assert_eq!(check(rules, &mine, later), Err(MintError::ExpiryRequired));
    assert_eq!(check(rules, &mine, Validity::until(at(LAST))), Ok(()));
    assert_eq!(check(rules, &ours, never), Ok(()));

    let rules = MintRules::new().with_max_lifetime(KeyKind::Team, Duration::from_secs(10));
    assert_eq!(check(rules, &ours, never), Err(MintError::ExpiryRequired));
    assert_eq!(check(rules, &ours, Validity::until(at(160))), Ok(()));
    assert_eq!(check(rules, &ours, Validity::until(at(161))), Err(MintError::LifetimeTooLong));
    // It counts from now, whenever the key begins.
    assert_eq!(check(rules, &ours, Validity::between(at(155), at(161)).unwrap()), Err(MintError::LifetimeTooLong));
    assert_eq!(check(rules, &mine, never), Ok(()));
    assert_eq!(check(rules, &mine, Validity::until(at(161))), Ok(()));
    // A lifetime that reaches beyond time is no bound.
    let rules = MintRules::new().with_max_lifetime(KeyKind::Team, Duration::MAX);
    assert_eq!(check(rules, &ours, Validity::until(at(LAST))), Ok(()));
}

#[test]
fn a_key_that_would_never_open_is_not_minted() {
    for grant in both() {
        for past in [0, -1, i64::MIN, 150 - 86_400, 149, 150] {
            assert_eq!(check(RULES, &grant, Validity::until(at(past))), Err(MintError::ExpiresInPast), "{past}");
        }
        assert_eq!(check(RULES, &grant, Validity::until(at(151))), Ok(()));
    }
}

#[test]
fn milliseconds_are_no_seconds() {
    for grant in both() {
        for late in [LAST + 1, 1_764_086_400_000, i64::MAX] {
            assert_eq!(check(RULES, &grant, Validity::until(at(late))), Err(MintError::TimeTooLate), "{late}");
            assert_eq!(check(RULES, &grant, Validity::starting_at(at(late))), Err(MintError::TimeTooLate), "{late}");
        }
        assert_eq!(check(RULES, &grant, Validity::until(at(LAST))), Ok(()));
        assert_eq!(check(RULES, &grant, Validity::starting_at(at(LAST))), Ok(()));
        // A start long ago is a start.
        assert_eq!(check(RULES, &grant, Validity::starting_at(at(i64::MIN))), Ok(()));
    }
    let said = MintError::TimeTooLate.to_string();
    assert!(said.contains("9999") && said.contains("milliseconds"), "{said}");
}

#[test]
fn scopes_have_at_most_a_thousand_members() {
    let names = |count: usize| (0..count).map(|place| format!("n{place}"));
    let never = Validity::NEVER_EXPIRES;
    for (count, expected) in [(1_000, Ok(())), (1_001, Err(MintError::ScopeTooLarge))] {
        let models = || ModelScope::only(names(count).map(|name| text(&name))).unwrap();
        let environments = || EnvironmentScope::only(names(count).map(|name| text(&name))).unwrap();
        let resources = ResourceScope::only(names(count).map(|name| text(&name))).unwrap();
        let actions = names(count).map(|name| text(&format!("projects:{name}")));
        for permission in [
            Permission::full(environments()),
            Permission::inference_only(environments(), ModelScope::All),
            Permission::inference_only(EnvironmentScope::All, models()),
            Permission::metrics_only(models()),
            Permission::custom([text("call")], EnvironmentScope::All, resources).unwrap(),
            Permission::custom(actions, EnvironmentScope::All, ResourceScope::All).unwrap(),
        ] {
            assert_eq!(check(RULES, &team("core", permission), never), expected, "{count}");
        }
    }
    let rules = RULES.with_max_scope_members(1);
    assert_eq!(check(rules, &team("core", metrics("m1")), never), Ok(()));
    assert_eq!(check(rules, &team("core", metrics("m1 m2")), never), Err(MintError::ScopeTooLarge));
    assert_eq!(check(rules, &team("core", metrics("all")), never), Ok(()), "all is no list");
}

#[test]
fn actions_are_built_in_or_declared() {
    let (never, all) = (Validity::NEVER_EXPIRES, "all");
    let of = |actions: &str| team("core", custom(actions, all, all));
    let declared = RULES;
    for (actions, expected) in [("call", Ok(())), ("projects:read", Err(MintError::ActionNotDeclared))] {
        assert_eq!(check(MintRules::new(), &of(actions), never), expected, "{actions}");
        assert_eq!(check(declared, &of(actions), never), Ok(()), "{actions}");
    }
    assert_eq!(check(MintRules::new(), &of("call projects:read"), never), Err(MintError::ActionNotDeclared));
    assert_eq!(check(MintRules::new().with_own_actions(OwnActions::NONE), &of("deploy manage"), never), Ok(()));
}

#[test]
fn actions_that_would_never_be_allowed_are_not_minted() {
    for (actions, environments, resources, is_allowed) in [
        ("deploy", "all", "all", true),
        ("deploy", "prod", "all", false),
        ("deploy", "all", "r1", false),
        ("manage", "all", "all", true),
        ("manage", "prod", "all", false),
        ("manage", "all", "r1", false),
        ("export_metrics", "all", "r1", true),
        ("export_metrics", "prod", "all", false),
        ("call", "prod", "r1", true),
        ("projects:read", "prod", "r1", true),
        ("call deploy", "prod", "all", false),
    ] {
        let grant = team("core", custom(actions, environments, resources));
        let expected = if is_allowed { Ok(()) } else { Err(MintError::ActionNeverAllowed) };
        assert_eq!(check(RULES, &grant, Validity::NEVER_EXPIRES), expected, "{actions} {environments} {resources}");
    }
}

/// What a permit was given for is checked again where it is used: the rules of the one who mints count.
#[test]
fn the_pure_core_obeys_the_rules_as_well() {
    let grant = team("core", metrics("all"));
    let create = keygate::manage::Create { grant, validity: Validity::NEVER_EXPIRES };
    let mint = |rules: MintRules| {
        let minted = permit(create.clone()).issue(KG, (text("key"), Labels::NONE), &rules, &rng(1), at(150));
        minted.map(drop)
    };
    assert_eq!(mint(MintRules::default()), Ok(()));
    assert_eq!(mint(MintRules::new().without(KeyKind::Team)), Err(MintError::KindNotMinted));
    let rules = MintRules::new().with_max_overlap(Duration::from_secs(9));
    let record = Arc::new(common::issue(personal("ada"), Validity::NEVER_EXPIRES, 1).key.record().clone());
    let rotate = |rotation| permit(Rotate(Arc::clone(&record))).rotate(KG, rotation, &rules, &rng(2), at(150));
    assert_eq!(rotate(START).map(drop), Err(RotateError::OverlapTooLong));
    assert!(rotate(Rotation::Start { overlap: Duration::from_secs(9) }).is_ok());
}
