//! What holds for every value: random cases, found again by the seed that proptest prints.

use core::sync::atomic::{AtomicU32, Ordering};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use keygate::{
    Action, Coverage, EnvironmentScope, Grant, Incarnation, Issuer, KeyKind, KeyRecord, Labels, Membership, ModelId,
    ModelScope, OwnAction, OwnActions, Permission, Randomness, RandomnessError, Request, ResourceScope,
    RevocationCause, Scope, Status, TeamRole, Token, UnixTime, Validity,
    policy::{allowed, decide},
    store::{Creator, DigestAlgorithm, PreviousSecret, RecordParts, SecretDigest},
    verify::{GenerateError, InvalidKey, UnverifiedToken, verify},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::common::{self, KG, Seeded, at, changed, issue, key, open, own, rng, text};

const ISSUERS: [Issuer; 4] = [
    Issuer::from_static("kg"),
    Issuer::from_static("acme"),
    Issuer::from_static("a1"),
    Issuer::from_static("longissuer"),
];
const KINDS: [KeyKind; 2] = [KeyKind::Personal, KeyKind::Team];
const MODELS: [&str; 4] = ["m1", "m2", "m3", "M1"];
const ENVIRONMENTS: [&str; 4] = ["prod", "test", "stage", "prod-2"];
const RESOURCES: [&str; 4] = ["m1", "M1", "r1", "r2"];
const ACTIONS: [&str; 7] =
    ["call", "deploy", "manage", "export_metrics", "projects:read", "projects:write", "projects:purge"];
/// The own action that nothing but a list of it covers.
const PURGE: OwnAction = OwnActions::new(&[("projects:purge", Coverage::Explicit)]).named("projects:purge");

fn environment_scopes() -> impl Strategy<Value = EnvironmentScope> {
    prop_oneof![
        Just(EnvironmentScope::All),
        vec(select(&ENVIRONMENTS), 1..4).prop_map(|names| EnvironmentScope::only(names.into_iter().map(text)).unwrap()),
    ]
}

fn model_scopes() -> impl Strategy<Value = ModelScope> {
    prop_oneof![
        Just(ModelScope::All),
        vec(select(&MODELS), 1..4).prop_map(|ids| ModelScope::only(ids.into_iter().map(text)).unwrap()),
    ]
}

/// Some resources have the names of models: for a custom key a model is a resource.
fn resource_scopes() -> impl Strategy<Value = ResourceScope> {
    prop_oneof![
        Just(ResourceScope::All),
        vec(select(&RESOURCES), 1..4).prop_map(|ids| ResourceScope::only(ids.into_iter().map(text)).unwrap()),
    ]
}

fn permissions() -> impl Strategy<Value = Permission> {
    prop_oneof![
        (vec(select(&ACTIONS), 1..5), environment_scopes(), resource_scopes()).prop_map(
            |(actions, environments, resources)| {
                Permission::custom(actions.into_iter().map(text), environments, resources).unwrap()
            }
        ),
        environment_scopes().prop_map(Permission::full),
        (environment_scopes(), model_scopes())
            .prop_map(|(environments, models)| Permission::inference_only(environments, models)),
        model_scopes().prop_map(Permission::metrics_only),
    ]
}

fn grants() -> impl Strategy<Value = Grant> {
    prop_oneof![
        select(&["ada", "bob"][..]).prop_map(|user| Grant::personal(text(user))),
        (select(&["core", "other"][..]), permissions())
            .prop_map(|(team, permission)| Grant::team(text(team), permission)),
    ]
}

/// Close together, so that boundaries meet, with both ends of time.
fn times() -> impl Strategy<Value = UnixTime> {
    prop_oneof![8 => -3..4_i64, 1 => Just(i64::MIN), 1 => Just(i64::MAX)].prop_map(at)
}

fn validities() -> impl Strategy<Value = Validity> {
    (option::of(times()), option::of(times()))
        .prop_filter_map("the end is after the start", |(start, end)| Validity::new(start, end).ok())
}

fn statuses() -> impl Strategy<Value = Status> {
    let revoked = (times(), select(RevocationCause::ALL)).prop_map(|(at, cause)| Status::Revoked { at, cause });
    prop_oneof![Just(Status::Active), Just(Status::Disabled), revoked]
}

fn memberships() -> impl Strategy<Value = Option<Membership>> {
    let roles = select(&[TeamRole::Admin, TeamRole::Member, TeamRole::Outsider, TeamRole::Deprovisioned][..]);
    option::of((roles, option::of(0..3_i64))).prop_map(|membership| {
        membership.map(|(role, incarnation)| match incarnation {
            Some(number) => Membership::from(role).with_incarnation(Incarnation::new(number)),
            None => role.into(),
        })
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let model = || select(&MODELS).prop_map(text);
    let environment = select(&ENVIRONMENTS).prop_map(text);
    let action = prop_oneof![
        4 => (model(), option::of(environment))
            .prop_map(|(model, environment)| Action::call(model, environment)),
        1 => Just(Action::Deploy),
        1 => Just(Action::Manage),
        2 => option::of(model()).prop_map(Action::export_metrics),
        3 => (
            select(&["projects:read", "projects:write"][..]),
            option::of(select(&ENVIRONMENTS)),
            option::of(select(&RESOURCES)),
        ).prop_map(|(name, environment, resource)| own(name, environment, resource)),
        1 => (option::of(select(&ENVIRONMENTS)), option::of(select(&RESOURCES))).prop_map(|(environment, resource)| {
            Action::custom(PURGE, environment.map(text), resource.map(text))
        }),
    ];
    (select(&["core", "core", "other"][..]), action).prop_map(|(team, action)| Request::new(text(team), action))
}

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::btree_map("[a-z][a-z0-9_-]{0,31}", "[ -~]{0,128}", 0..17)
        .prop_map(|labels| Labels::new(labels.into_iter().map(|(name, value)| (text(&name), text(&value)))).unwrap())
}

fn records() -> impl Strategy<Value = KeyRecord> {
    let digests = || {
        (select(DigestAlgorithm::ALL), "[0-9a-f]{56}")
            .prop_map(|(algorithm, hash)| text(&format!("{algorithm}${hash}")))
    };
    let previous = option::of((digests(), times(), option::of(times())));
    (
        (select(&ISSUERS), "[A-Za-z0-9]{16}", "[a-z0-9-]{1,64}", labels(), grants(), option::of(any::<i64>())),
        (times(), option::of("[!-~]{1,128}")),
        (validities(), option::of(times()), statuses(), digests(), previous),
    )
        .prop_map(
            |(
                (issuer, id, name, labels, grant, incarnation),
                (created_at, creator),
                (validity, last_used_at, status, current, previous),
            )| {
                let end = validity.expires_at().unwrap_or(UnixTime::MAX);
                let incarnation = incarnation.filter(|_| grant.kind() == KeyKind::Personal).map(Incarnation::new);
                RecordParts {
                    issuer,
                    id: text(&id),
                    name: text(&name),
                    labels,
                    grant,
                    incarnation,
                    created_at,
                    created_by: creator.map_or(Creator::System, |user| Creator::User(text(&user))),
                    not_before: validity.not_before(),
                    expires_at: validity.expires_at(),
                    last_used_at,
                    status,
                    current,
                    previous: previous.map(|(digest, ends_at, last_used_at)| PreviousSecret {
                        digest,
                        ends_at: ends_at.min(end),
                        last_used_at,
                    }),
                }
                .try_into()
                .unwrap()
            },
        )
}

/// Texts that look like tokens the more, the longer one looks.
fn presented() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        vec(any::<u8>(), 0..100).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "kg[pt][0-9a-z]_.{0,70}",
        "kg[pt]1_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}_[0-9a-f]{8}",
        "kg[pt]1_[A-Za-z0-9_-]{56,59}",
        "kg[pt]1_\\PC{16}_\\PC{32}_\\PC{8}",
    ]
}

proptest! {
    #[test]
    fn a_token_is_parsed_as_it_was_made(issuer in select(&ISSUERS), kind in select(&KINDS), seed: [u8; 32]) {
        let token = Token::generate(issuer, kind, &Seeded::from_seed(seed)).unwrap();
        let text = token.expose_secret();
        prop_assert_eq!(text.len().checked_sub(issuer.as_str().len()), Some(Token::LENGTH_AFTER_ISSUER));
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "one word");
        prop_assert!(text.starts_with(&token.public().to_string()));
        let presented = UnverifiedToken::parse(issuer, text).unwrap();
        prop_assert_eq!((presented.id(), presented.kind()), (token.id(), token.kind()));
        prop_assert_eq!(presented.public(), token.public());
        prop_assert!(presented.digest() == token.digest());
        // To any other issuer it is another system's.
        for other in ISSUERS.into_iter().filter(|other| *other != issuer) {
            prop_assert!(UnverifiedToken::parse(other, text).is_err());
        }
    }

    #[test]
    fn parsing_never_panics(text in presented()) {
        for issuer in ISSUERS {
            let _ = UnverifiedToken::parse(issuer, &text);
        }
    }

    /// Replaces, removes or inserts one symbol anywhere: whatever it is, it is another text, and it is refused.
    #[test]
    fn no_token_has_a_second_spelling(seed: [u8; 32], place in 0..64_usize, symbol: char, change in 0..3) {
        let token = Token::generate(KG, KeyKind::Team, &Seeded::from_seed(seed)).unwrap();
        let mut symbols: Vec<char> = token.expose_secret().chars().collect();
        let place = place.min(symbols.len().saturating_sub(1));
        match change {
            0 => symbols[place] = symbol,
            1 => symbols.insert(place, symbol),
            _ => drop(symbols.remove(place)),
        }
        let other: String = symbols.into_iter().collect();
        prop_assume!(other != token.expose_secret());
        prop_assert!(UnverifiedToken::parse(KG, &other).is_err(), "{}", other);
    }

    #[test]
    fn every_pair_of_neighbours_is_told_apart(seed: [u8; 32], place in 0..62_usize) {
        let token = Token::generate(KG, KeyKind::Team, &Seeded::from_seed(seed)).unwrap();
        let mut bytes = token.expose_secret().as_bytes().to_vec();
        bytes.swap(place, place.saturating_add(1));
        let swapped = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(UnverifiedToken::parse(KG, &swapped).is_ok(), swapped == token.expose_secret());
    }

    /// A restriction only ever takes away.
    #[test]
    fn a_restriction_never_turns_deny_into_allow(
        permission in permissions(),
        environments in environment_scopes(),
        models in model_scopes(),
        resources in resource_scopes(),
        listed in vec(select(&ACTIONS), 1..5),
        request in requests(),
    ) {
        let restricted = match permission.clone() {
            Permission::Custom { actions, environments: old, resources: old_resources, .. } => {
                let listed: Vec<_> = listed.into_iter().map(text).filter(|name| actions.contains(name)).collect();
                let actions = if listed.is_empty() { vec![text("nothing:listed")] } else { listed };
                let (environments, resources) = (both(old, environments), both(old_resources, resources));
                Permission::custom(actions, environments, resources).unwrap()
            }
            Permission::Full { environments: old, .. } => Permission::full(both(old, environments)),
            Permission::InferenceOnly { environments: old, models: old_models, .. } => {
                Permission::inference_only(both(old, environments), both(old_models, models))
            }
            Permission::MetricsOnly { models: old, .. } => Permission::metrics_only(both(old, models)),
            _ => panic!("these are the permissions"),
        };
        let allows = |permission| {
            let key = key(Grant::team(text("core"), permission), Validity::NEVER_EXPIRES, Status::Active, 1);
            decide(&key, None, &request, at(0)).is_allowed()
        };
        prop_assert!(allows(permission) || !allows(restricted));
    }

    /// What a list shows is what is allowed, and in the order in which it was asked.
    #[test]
    fn a_list_is_what_is_allowed(
        grant in grants(),
        membership in memberships(),
        asked in vec(requests(), 0..8),
        now in times(),
    ) {
        let key = key(grant, Validity::NEVER_EXPIRES, Status::Active, 1);
        let one_by_one = asked.iter().filter(|request| decide(&key, membership, request, now).is_allowed());
        let one_by_one: Vec<_> = one_by_one.cloned().collect();
        prop_assert_eq!(allowed(&key, membership, asked, now).collect::<Vec<_>>(), one_by_one);
    }

    /// Without a secret, nobody learns anything: not whether the id exists, not of what kind the key is or in what
    /// state.
    #[test]
    fn an_unknown_id_is_a_wrong_secret(record in records(), seed: [u8; 32], kind in select(&KINDS), now in times()) {
        let guess = Token::generate_secret(KG, kind, record.id(), &Seeded::from_seed(seed)).unwrap();
        let presented = UnverifiedToken::parse(KG, guess.expose_secret()).unwrap();
        prop_assert_eq!(verify(&presented, None, now).err(), Some(InvalidKey));
        prop_assert_eq!(verify(&presented, Some(Arc::new(record)), now).err(), Some(InvalidKey));
    }

    /// A record that a confused store gives for another id, kind or issuer opens nothing, though the digest be the
    /// same.
    #[test]
    fn a_record_of_another_id_kind_or_issuer_opens_nothing(
        seed: [u8; 32],
        other in "[A-Za-z0-9]{16}",
        now in times(),
        is_team: bool,
        is_previous: bool,
    ) {
        let (mut kinds, mut grants) = ([KeyKind::Personal, KeyKind::Team], [common::personal("ada"), common::team("core", common::full("all"))]);
        if is_team {
            kinds.reverse();
            grants.reverse();
        }
        let token = Token::generate(KG, kinds[0], &Seeded::from_seed(seed)).unwrap();
        let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
        let record = |id, grant: &Grant| {
            let minted = issue(grant.clone(), Validity::NEVER_EXPIRES, 1);
            changed(minted.key.record(), |parts| {
                parts.id = id;
                if is_previous {
                    parts.previous = Some(PreviousSecret { digest: token.digest(), ends_at: UnixTime::MAX, last_used_at: None });
                } else {
                    parts.current = token.digest();
                }
            })
        };
        let [own, others] = grants;
        prop_assume!(other != token.id().as_str());
        let opened = verify(&presented, Some(record(token.id(), &own)), now);
        prop_assert_eq!(opened.is_ok(), !is_previous || now < UnixTime::MAX);
        prop_assert_eq!(verify(&presented, Some(record(text(&other), &own)), now).err(), Some(InvalidKey));
        prop_assert_eq!(verify(&presented, Some(record(token.id(), &others)), now).err(), Some(InvalidKey));
        for issuer in ISSUERS.into_iter().filter(|issuer| *issuer != KG) {
            let of_another = changed(&record(token.id(), &own), |parts| parts.issuer = issuer);
            prop_assert_eq!(verify(&presented, Some(of_another), now).err(), Some(InvalidKey));
        }
    }

    #[test]
    fn a_previous_secret_lives_until_its_end(end in times(), now in times(), expires in option::of(times())) {
        let old = issue(common::personal("ada"), Validity::NEVER_EXPIRES, 1);
        let next = Token::generate_secret(KG, KeyKind::Personal, old.token.id(), &rng(2)).unwrap();
        let ends_at = expires.map_or(end, |expires| end.min(expires));
        let record = changed(old.key.record(), |parts| {
            parts.expires_at = expires;
            parts.previous = Some(PreviousSecret { digest: parts.current, ends_at, last_used_at: None });
            parts.current = next.digest();
        });
        let presented = UnverifiedToken::parse(KG, old.token.expose_secret()).unwrap();
        prop_assert_eq!(verify(&presented, Some(record.clone()), now).is_ok(), now < ends_at);
        // The current one opens it always: whether the key may be used is not asked yet.
        prop_assert_eq!(open(&next, &record, now).slot(), keygate::store::SecretSlot::Current);
    }

    #[test]
    fn a_record_is_read_as_it_was_written(record in records()) {
        let parts = RecordParts::from(record.clone());
        prop_assert_eq!(&KeyRecord::try_from(parts.clone()).unwrap(), &record);

        let json = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(&serde_json::to_string(&parts).unwrap(), &json);
        prop_assert_eq!(&serde_json::from_str::<KeyRecord>(&json).unwrap(), &record);
        prop_assert_eq!(&serde_json::from_str::<RecordParts>(&json).unwrap(), &parts);
        // By way of a tree too, whose order of fields is another.
        let value = serde_json::to_value(&record).unwrap();
        prop_assert_eq!(&serde_json::from_value::<KeyRecord>(value).unwrap(), &record);
    }

    /// In every self-describing format: no meaning is in an absent field that a format cannot write.
    #[test]
    fn a_record_is_read_as_it_was_written_in_toml_and_cbor(record in records()) {
        let toml = toml::to_string(&record).unwrap();
        prop_assert_eq!(&toml::from_str::<KeyRecord>(&toml).unwrap(), &record, "{}", toml);
        let mut cbor = Vec::new();
        ciborium::into_writer(&record, &mut cbor).unwrap();
        prop_assert_eq!(&ciborium::from_reader::<KeyRecord, _>(&*cbor).unwrap(), &record);
    }

    /// No field may be missing, none may be added, and none may be twice.
    #[test]
    fn a_record_has_exactly_its_fields(record in records()) {
        let value = serde_json::to_value(&record).unwrap();
        let fields = value.as_object().unwrap();
        prop_assert_eq!(fields.len(), 15);
        for field in fields.keys() {
            let mut less = fields.clone();
            less.remove(field);
            prop_assert!(serde_json::from_value::<KeyRecord>(less.into()).is_err(), "without `{}`", field);
            let twice = format!("{{\"{field}\":{},{}", fields[field], &value.to_string()[1..]);
            prop_assert!(serde_json::from_str::<KeyRecord>(&twice).is_err(), "twice `{}`", field);
        }
        let mut more = fields.clone();
        more.insert("admin".to_owned(), true.into());
        prop_assert!(serde_json::from_value::<KeyRecord>(more.into()).is_err());
        // A list of the values is a second spelling.
        let list: Vec<_> = fields.values().cloned().collect();
        prop_assert!(serde_json::from_value::<KeyRecord>(list.into()).is_err());
    }

    #[test]
    fn a_scope_contains_its_members(members in vec("[ab]{1,4}", 1..40), asked in vec("[abc]{1,4}", 0..40)) {
        let scope = ModelScope::only(members.iter().map(|id| text(id))).unwrap();
        let naive: BTreeSet<_> = members.iter().collect();
        for id in members.iter().chain(&asked) {
            prop_assert_eq!(scope.contains(&text(id)), naive.contains(id), "{}", id);
            prop_assert!(ModelScope::All.contains(&text(id)));
        }
        let set = scope.members().unwrap();
        prop_assert_eq!(set.len(), naive.len());
        prop_assert!(set.iter().map(ModelId::as_str).eq(naive.iter().map(|id| id.as_str())));
    }
}

/// The scope of what both contain; where that is nothing, a scope of what nobody asks for.
fn both<T>(left: Scope<T>, right: Scope<T>) -> Scope<T>
where
    T: AsRef<str> + Ord + Clone + core::str::FromStr<Err: core::fmt::Debug>,
{
    match (left, right) {
        (Scope::All, scope) | (scope, Scope::All) => scope,
        (Scope::Only(a), Scope::Only(b)) => {
            let common: Vec<T> = a.iter().filter(|member| b.contains(member)).cloned().collect();
            Scope::only(if common.is_empty() { vec![text("nothing")] } else { common }).unwrap()
        }
    }
}

/// A comparison looks at every bit: a digest that differs in one is another, and opens nothing.
#[test]
fn digests_that_differ_in_one_bit_are_not_equal() {
    let issued = issue(common::personal("ada"), Validity::NEVER_EXPIRES, 1);
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
    let digest = issued.token.digest();
    for place in 0..SecretDigest::LENGTH {
        for bit in 0..8 {
            let mut bytes = digest.to_bytes();
            bytes[place] ^= 1 << bit;
            // The first byte is the algorithm, and not every one is known.
            let Ok(near) = SecretDigest::from_bytes(bytes) else { continue };
            assert!(near != digest, "bit {bit} of byte {place}");
            assert!(digest != near, "bit {bit} of byte {place}");
            let as_current = changed(issued.key.record(), |parts| parts.current = near);
            let as_previous = changed(&as_current, |parts| {
                parts.previous = Some(PreviousSecret { digest: near, ends_at: at(1), last_used_at: None });
            });
            for record in [as_current, as_previous] {
                assert_eq!(verify(&presented, Some(record), at(0)).err(), Some(InvalidKey), "{place} {bit}");
            }
        }
    }
    assert!(SecretDigest::from_bytes(digest.to_bytes()) == Ok(digest));
}

/// Sizes at which the directory of a set is smallest, smaller than, as large as, and larger than a power of two.
#[test]
fn scopes_of_many_sizes_contain_their_members_and_nothing_else() {
    for size in [1, 2, 3, 4, 5, 7, 8, 9, 1000, 1023, 1024, 1025] {
        let model = |number: usize| text::<ModelId>(&format!("model-{number}"));
        // Backwards, and with repeats.
        let scope = ModelScope::only((0..size).rev().chain(0..size).map(model)).unwrap();
        assert_eq!(scope.members().unwrap().len(), size);
        let asked = size.saturating_mul(2).saturating_add(10);
        assert!((0..asked).all(|number| scope.contains(&model(number)) == (number < size)), "of {size}");
        for name in (0..size).map(|number| format!("model-{number}")) {
            let in_another_case = [name.to_uppercase(), name.replacen('d', "D", 1)];
            let longer_or_shorter = [format!("{name}-"), format!("-{name}"), name[1..].to_owned()];
            for near in in_another_case.iter().chain(&longer_or_shorter) {
                assert!(!scope.contains(&text(near)), "{near} of {size}");
            }
        }
    }
}

#[test]
fn ten_thousand_keys_share_nothing() {
    let source = rng(7);
    let (mut ids, mut secrets, mut windows) = (HashSet::new(), HashSet::new(), HashSet::new());
    for _ in 0..10_000 {
        let token = Token::generate(KG, KeyKind::Team, &source).unwrap();
        let secret = token.expose_secret()[22..54].to_owned();
        assert!(ids.insert(token.id()));
        // Half a secret is still unique: no part of it is fixed.
        assert!(windows.insert(secret[..16].to_owned()) && windows.insert(secret[16..].to_owned()));
        assert!(!secret.contains(&token.id().as_str()[..8]) && !token.id().as_str().contains(&secret[..8]));
        assert!(secrets.insert(secret));
    }
    // The alphabet is used evenly: 320,000 symbols over 62, 5161 each; a standard deviation is 71.
    let mut counts = [0_u32; 128];
    for byte in secrets.iter().flat_map(|secret| secret.bytes()) {
        counts[usize::from(byte)] = counts[usize::from(byte)].saturating_add(1);
    }
    let used: Vec<_> = counts.into_iter().filter(|count| *count > 0).collect();
    assert_eq!(used.len(), 62);
    assert!(used.iter().all(|count| (4800..5500).contains(count)), "{used:?}");
}

/// An id says nothing of its secret: one id with two secrets, and one secret with two ids.
#[test]
fn ids_and_secrets_are_independent() {
    let source = rng(7);
    let first = Token::generate(KG, KeyKind::Team, &source).unwrap();
    let again = Token::generate_secret(KG, KeyKind::Team, first.id(), &source).unwrap();
    assert_eq!(first.id(), again.id());
    let secret = |token: &Token| token.expose_secret()[22..54].to_owned();
    assert_ne!(secret(&first), secret(&again));
    assert!(first.digest() != again.digest());

    // The same bytes for the secret, after other bytes for the id: the digest binds id and kind all the same.
    let other_id = "wk59pfKL0jFi2YYv";
    let with = |kind, id: &str| Token::generate_secret(KG, kind, text(id), &rng(9)).unwrap();
    let (one, two) = (with(KeyKind::Team, other_id), with(KeyKind::Team, first.id().as_str()));
    assert_eq!(secret(&one), secret(&two));
    assert_ne!(one.id(), two.id());
    assert!(one.digest() != two.digest());
    assert!(one.digest() != with(KeyKind::Personal, other_id).digest());
}

/// A generator made of a function, to be broken in a way of one's own.
struct Broken<F>(F);

impl<F: Fn(&mut [u8]) -> Result<(), RandomnessError> + Send + Sync> Randomness for Broken<F> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomnessError> {
        (self.0)(bytes)
    }
}

fn filled(byte: u8) -> impl Fn(&mut [u8]) -> Result<(), RandomnessError> {
    move |bytes| {
        bytes.fill(byte);
        Ok(())
    }
}

/// What a generator gives for a new key, and for the next secret of an old one.
fn generate_with(generator: &dyn Randomness) -> [Option<GenerateError>; 2] {
    let id = text("wk59pfKL0jFi2YYv");
    [
        Token::generate(KG, KeyKind::Team, generator).err(),
        Token::generate_secret(KG, KeyKind::Team, id, generator).err(),
    ]
}

#[test]
fn a_broken_generator_makes_no_token() {
    use GenerateError::{Exhausted, Generator, Stuck};
    // All zeros are sixteen times `A`, and 0x55 sixteen times `V`; all ones are sixteen times `_`, which is drawn
    // again.
    assert_eq!(generate_with(&Broken(filled(0))), [Some(Stuck); 2]);
    assert_eq!(generate_with(&Broken(filled(0x55))), [Some(Stuck); 2]);
    assert_eq!(generate_with(&Broken(filled(0xff))), [Some(Exhausted); 2]);
    assert_eq!(generate_with(&Broken(|_: &mut [u8]| Err(RandomnessError::new()))), [Some(Generator); 2]);

    // It is asked at most 128 times for one text: one that recovers for the last of them is good enough.
    for (bad, expected) in [(0, None), (127, None), (128, Some(Exhausted))] {
        let fills = AtomicU32::new(0);
        let late =
            Broken(
                |bytes: &mut [u8]| {
                    if fills.fetch_add(1, Ordering::Relaxed) < bad { filled(0xff)(bytes) } else { ascending(bytes) }
                },
            );
        let answer = Token::generate_secret(KG, KeyKind::Team, text("wk59pfKL0jFi2YYv"), &late).err();
        assert_eq!((answer, fills.into_inner()), (expected, bad.saturating_add(1).min(128)));
    }

    // One that fails between id and secret is not.
    let failing = Broken(|bytes: &mut [u8]| match bytes.len() {
        12 => ascending(bytes),
        _ => Err(RandomnessError::new()),
    });
    assert_eq!(Token::generate(KG, KeyKind::Team, &failing).err(), Some(Generator));
}

/// Bytes whose text has letters and digits only.
fn ascending(bytes: &mut [u8]) -> Result<(), RandomnessError> {
    bytes.iter_mut().zip(0..).for_each(|(byte, value)| *byte = value);
    Ok(())
}
