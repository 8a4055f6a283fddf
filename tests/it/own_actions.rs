//! A service's own actions: how they are declared and looked up, and which keys may be minted with them.

use keygate::{
    Action, ActionKind, ActionName, Coverage, Grant, InvalidScope, KeyManager, ManageError, NewKeySpec, OwnAction,
    OwnActions, Permission, PermissionLevel, Reason, Scope, TeamRole, Validity, Verdict,
    audit::EventKind,
    manage::{MintError, MintRules},
};
use pollster::block_on;

use crate::common::{custom, full, inference, personal, request, system, team, text, world::World};

/// What a service writes once; the compiler checks it.
const ACTIONS: OwnActions =
    OwnActions::new(&[("projects:read", Coverage::Ordinary), ("projects:purge", Coverage::Explicit)]);
const READ: OwnAction = ACTIONS.named("projects:read");
const PURGE: OwnAction = ACTIONS.named("projects:purge");

#[test]
fn what_is_declared_is_found_and_nothing_else() {
    let find = |name: &str| ACTIONS.find(&text(name));
    assert_eq!((find("projects:read"), find("projects:purge")), (Some(READ), Some(PURGE)));
    assert_eq!((READ.name(), READ.coverage()), ("projects:read", Coverage::Ordinary));
    assert_eq!((PURGE.name(), PURGE.coverage()), ("projects:purge", Coverage::Explicit));
    for other in ["projects:rea", "projects:read:all", "projects:write", "call", "deploy", "manage", "export_metrics"] {
        assert_eq!(find(other), None, "{other}");
    }
    assert_eq!(ACTIONS.iter().collect::<Vec<_>>(), [READ, PURGE]);
    let none = OwnActions::NONE;
    assert_eq!((none.find(&text("projects:read")), none.iter().count()), (None, 0));
    // An action of the same name and another coverage is another one.
    const OTHER: OwnActions = OwnActions::new(&[("projects:read", Coverage::Explicit)]);
    assert_ne!(READ, OTHER.named("projects:read"));
    assert_eq!(READ, OwnActions::EVERY_ORDINARY.named("projects:read"));
}

/// For drivers and tests: every well-formed own name, as ordinary; a built-in one is no own one.
#[test]
fn every_name_can_be_declared_as_ordinary() {
    let longest = format!("a:{}", "b".repeat(62));
    for name in ["projects:read", "projects:purge", "a:0", longest.as_str()] {
        let found = OwnActions::EVERY_ORDINARY.find(&text(name)).unwrap();
        assert_eq!((found.name(), found.coverage()), (name, Coverage::Ordinary));
    }
    for name in ["call", "deploy", "manage", "export_metrics"] {
        assert!(std::panic::catch_unwind(|| OwnActions::EVERY_ORDINARY.named(name)).is_err(), "{name}");
        assert_eq!(OwnActions::EVERY_ORDINARY.find(&text(name)), None, "{name}");
    }
    assert_eq!(OwnActions::EVERY_ORDINARY.iter().count(), 0, "they cannot be listed");
}

#[test]
#[should_panic(expected = "two or more parts")]
fn a_built_in_name_is_no_own_action() {
    let _ = OwnActions::new(&[("call", Coverage::Ordinary)]);
}

#[test]
#[should_panic(expected = "two or more parts")]
fn an_own_action_has_two_parts() {
    let _ = OwnActions::new(&[("projects:read", Coverage::Ordinary), ("projects", Coverage::Explicit)]);
}

#[test]
#[should_panic(expected = "two or more parts")]
fn an_own_action_has_no_wildcard() {
    let _ = OwnActions::new(&[("projects:*", Coverage::Ordinary)]);
}

#[test]
#[should_panic(expected = "declared twice")]
fn no_own_action_is_declared_twice() {
    // Of two coverages neither can count.
    let _ = OwnActions::new(&[
        ("projects:read", Coverage::Ordinary),
        ("projects:purge", Coverage::Explicit),
        ("projects:read", Coverage::Explicit),
    ]);
}

#[test]
#[should_panic(expected = "not declared")]
fn what_is_not_declared_has_no_constant() {
    let _ = ACTIONS.named("projects:write");
}

#[test]
fn an_action_says_what_it_names() {
    let action = Action::custom(READ, Some(text("prod")), Some(text("r1")));
    assert_eq!((action.kind(), action.name()), (ActionKind::Custom, "projects:read"));
    assert_eq!(
        (action.environment(), action.resource(), action.model()),
        (Some(&text("prod")), Some(&text("r1")), None)
    );
    let action = Action::custom(PURGE, None, None);
    assert_eq!((action.environment(), action.resource(), action.model()), (None, None, None));
    for (action, name) in [
        (Action::call(text("m1"), Some(text("prod"))), "call"),
        (Action::Deploy, "deploy"),
        (Action::Manage, "manage"),
        (Action::export_metrics(Some(text("m1"))), "export_metrics"),
    ] {
        assert_eq!((action.name(), action.resource()), (name, None));
        assert_eq!(action.kind().as_str(), name);
        assert!(text::<ActionName>(name).is_built_in());
    }
}

#[test]
fn a_custom_permission_lists_its_actions() {
    let permission = custom("projects:read call call", "prod", "r1 r2");
    assert_eq!(permission.level(), PermissionLevel::Custom);
    let actions: Vec<_> = permission.actions().unwrap().iter().map(ActionName::as_str).collect();
    assert_eq!(actions, ["call", "projects:read"], "a set: in order, and once");
    assert_eq!(permission.environments().members().unwrap().len(), 1);
    assert_eq!(permission.resources().members().unwrap().len(), 2);
    assert_eq!(*permission.models(), Scope::All);
    assert_eq!(Permission::custom([], Scope::All, Scope::All), Err(InvalidScope::Empty));
    for other in [full("prod"), inference("prod", "m1")] {
        assert_eq!((other.actions(), other.resources()), (None, &Scope::All));
    }
}

/// A key is minted only with actions that exist, and that its restrictions could ever allow.
#[test]
fn only_actions_that_mean_something_are_minted() {
    let world = World::new();
    let rules = |actions: OwnActions| MintRules::new().with_own_actions(actions);
    let mint = |rules: MintRules, permission: Permission, name: &str| {
        let keys: KeyManager<_, _> = world.keys.clone().with_rules(rules);
        let spec = NewKeySpec::new(team("core", permission), text(name), Validity::NEVER_EXPIRES);
        match block_on(keys.create(&system(), spec)) {
            Ok(_) => Ok(()),
            Err(ManageError::Mint(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    };
    let declared = rules(ACTIONS);
    let built_in = "call deploy manage export_metrics";
    let table = [
        (rules(OwnActions::NONE), custom(built_in, "all", "all"), Ok(())),
        (rules(OwnActions::NONE), custom("projects:read", "all", "all"), Err(MintError::ActionNotDeclared)),
        (declared, custom("projects:read projects:purge", "prod", "r1"), Ok(())),
        (declared, custom("call projects:write", "all", "all"), Err(MintError::ActionNotDeclared)),
        (rules(OwnActions::EVERY_ORDINARY), custom("anything:at_all", "all", "all"), Ok(())),
        // Deploying and managing name neither environment nor resource, exporting no environment.
        (declared, custom("deploy", "prod", "all"), Err(MintError::ActionNeverAllowed)),
        (declared, custom("deploy", "all", "r1"), Err(MintError::ActionNeverAllowed)),
        (declared, custom("call manage", "prod", "all"), Err(MintError::ActionNeverAllowed)),
        (declared, custom("call manage", "all", "m1"), Err(MintError::ActionNeverAllowed)),
        (declared, custom("call export_metrics", "prod", "all"), Err(MintError::ActionNeverAllowed)),
        (declared, custom("call export_metrics", "all", "m1"), Ok(())),
        (declared, custom("deploy manage", "all", "all"), Ok(())),
        (declared, custom("call projects:read", "prod", "m1"), Ok(())),
        // Other levels list nothing.
        (rules(OwnActions::NONE), full("prod"), Ok(())),
        (rules(OwnActions::NONE), inference("prod", "m1"), Ok(())),
        (
            declared.with_max_scope_members(2),
            custom("call projects:read projects:purge", "all", "all"),
            Err(MintError::ScopeTooLarge),
        ),
        (declared.with_max_scope_members(2), custom("call projects:read", "all", "r1 r2"), Ok(())),
        (
            declared.with_max_scope_members(2),
            custom("call projects:read", "all", "r1 r2 r3"),
            Err(MintError::ScopeTooLarge),
        ),
    ];
    for (place, (rules, permission, expected)) in table.into_iter().enumerate() {
        assert_eq!(mint(rules, permission, &format!("key-{place}")), expected, "row {place}");
    }

    // Declared beside the other rules.
    let keys = world.keys.clone().with_rules(MintRules::new().with_max_scope_members(2)).with_own_actions(ACTIONS);
    let create = |actions: &str| {
        let spec =
            NewKeySpec::new(team("core", custom(actions, "all", "all")), text("declared"), Validity::NEVER_EXPIRES);
        block_on(keys.create(&system(), spec)).map(drop)
    };
    assert_eq!(create("projects:read"), Ok(()));
    assert_eq!(create("projects:read projects:purge call"), Err(ManageError::Mint(MintError::ScopeTooLarge)));
}

/// An action that is declared after keys were made: the ordinary one comes with them, the explicit one does not.
#[test]
fn what_comes_with_old_keys() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let old: [(&str, Grant, Option<Reason>); 4] = [
        ("full", team("core", full("all")), None),
        ("personal", personal("ada"), None),
        ("caller", team("core", inference("all", "all")), Some(Reason::LevelInsufficient)),
        ("custom", team("core", custom("call", "all", "all")), Some(Reason::ActionNotInScope)),
    ];
    for (name, grant, ordinary) in old {
        let issued = world.create(name, grant, Validity::NEVER_EXPIRES);
        let reason = |action: OwnAction| match world
            .check(&issued.token, &request("core", Action::custom(action, None, None)))
        {
            Verdict::Allowed(_) => None,
            Verdict::Denied { denial, .. } => Some(denial.reason()),
            verdict => panic!("{verdict:?}"),
        };
        assert_eq!(reason(READ), ordinary, "{name}");
        let explicit = ordinary.unwrap_or(Reason::ActionNotInScope);
        assert_eq!(reason(PURGE), Some(explicit), "{name}");
        // What would suffice: a level for the ordinary one, and for the explicit one no level at all.
        for (action, levels) in [(READ, &[PermissionLevel::Full][..]), (PURGE, &[])] {
            let verdict = world.check(&issued.token, &request("core", Action::custom(action, None, None)));
            if let Verdict::Denied { denial, key, .. } = verdict {
                assert_eq!(denial.sufficient_levels(), levels, "{name}");
                let would = key.requirement().unwrap().to_string();
                let of_level = denial.reason() == Reason::LevelInsufficient && !levels.is_empty();
                assert_eq!(would.contains("level"), of_level, "{name}: {would}");
                assert_eq!(would.contains(action.name()), !of_level, "{name}: {would}");
            }
        }
    }
    let lists = world.create("lists", team("core", custom("projects:purge", "all", "all")), Validity::NEVER_EXPIRES);
    assert!(matches!(
        world.check(&lists.token, &request("core", Action::custom(PURGE, None, None))),
        Verdict::Allowed(_)
    ));
    let created = world.store.events().pop().unwrap().kind;
    assert!(matches!(created, EventKind::Created { level: Some(PermissionLevel::Custom), .. }));
}
