//! The gate: who is asked and when, what is told, and what is accepted. And what nothing but a mutant would show.

use core::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::sync::{Arc, Mutex};

use keygate::{
    Action, ActionKind, Actor, AuthenticateError, DenialClass, Gate, Incarnation, Issuer, KeyId, KeyKind, KeyManager,
    KeyRecord, Membership, MemoryDirectory, MemoryStore, NewKeySpec, Owner, Reason, RevocationCause, Rotation, Status,
    TeamId, TeamRole, Token, Unauthenticated, Unavailable, UserId, UserStatus, Validity, Verdict,
    audit::{Attempt, Event, EventKind, Principal, RefusalReason},
    manage::RotateError,
    policy::decide,
    sink::UsageCounter,
    stages::{AcceptedKeys, Step},
    store::{
        Conflict, Directory, InvalidRecord, KeyLookup as _, KeyStore, PreviousSecret, RecordParts, SecretDigest,
        SecretSlot, Touch,
    },
    verify::{GenerateError, MatchedKey, ParseTokenError, UnverifiedToken, verify},
};
use pollster::block_on;

use crate::common::{
    KG, TestClock, at, call, changed, custom, environments, full, inference, issue, key, metrics, models, open, own,
    personal, request, rng, system, team, text,
    world::{Recorder, Told, World},
};

const KEYS: AcceptedKeys = AcceptedKeys::new(KG);

/// A store in which there is this now, whatever is asked; with each look-up the clock goes on.
#[derive(Clone)]
struct Found {
    answer: Arc<Mutex<Result<Option<Arc<KeyRecord>>, fmt::Error>>>,
    clock: TestClock,
    takes: i64,
    asked: Arc<AtomicUsize>,
}

impl Found {
    fn new(record: Option<Arc<KeyRecord>>) -> Self {
        let answer = Arc::new(Mutex::new(Ok(record)));
        Self { answer, clock: TestClock::new(50), takes: 0, asked: Arc::default() }
    }

    fn set(&self, answer: Result<Option<Arc<KeyRecord>>, fmt::Error>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl KeyStore for Found {
    type Error = fmt::Error;

    async fn find(&self, _: KeyId) -> Result<Option<Arc<KeyRecord>>, fmt::Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.clock.advance(self.takes);
        self.answer.lock().unwrap().clone()
    }
}

/// A directory that counts what it is asked, takes its time, and may fail.
#[derive(Clone)]
struct Counting {
    inner: MemoryDirectory,
    clock: TestClock,
    takes: i64,
    users: Arc<AtomicUsize>,
    memberships: Arc<AtomicUsize>,
    is_down: bool,
}

impl Counting {
    fn new(clock: &TestClock) -> Self {
        let inner = MemoryDirectory::new();
        inner.set_member(text("ada"), text("core"), TeamRole::Member);
        Self {
            inner,
            clock: clock.clone(),
            takes: 0,
            users: Arc::default(),
            memberships: Arc::default(),
            is_down: false,
        }
    }

    /// How often it was asked about a user alone, and about a user in a team, since the last time.
    fn take_asked(&self) -> (usize, usize) {
        (self.users.swap(0, Ordering::SeqCst), self.memberships.swap(0, Ordering::SeqCst))
    }

    fn answer<T>(&self, answer: Result<T, Infallible>) -> Result<T, fmt::Error> {
        self.clock.advance(self.takes);
        if self.is_down {
            return Err(fmt::Error);
        }
        answer.map_err(|error| match error {})
    }
}

impl Directory for Counting {
    type Error = fmt::Error;

    async fn user(&self, user: &UserId) -> Result<UserStatus, fmt::Error> {
        self.users.fetch_add(1, Ordering::SeqCst);
        self.answer(self.inner.user(user).await)
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, fmt::Error> {
        self.memberships.fetch_add(1, Ordering::SeqCst);
        self.answer(self.inner.membership(user, team).await)
    }
}

/// What a verdict says, in one word.
fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed(_) => "allowed",
        Verdict::Denied { denial, .. } => denial.reason().as_str(),
        Verdict::Unauthenticated(unauthenticated) => unauthenticated.as_str(),
        _ => panic!("a verdict that the test does not know"),
    }
}

/// What an attempt to authenticate says, in one word.
fn authenticated<S, D, K>(result: &Result<K, AuthenticateError<S, D>>) -> &'static str
where
    S: core::error::Error,
    D: core::error::Error,
{
    match result {
        Ok(_) => "authenticated",
        Err(AuthenticateError::Unauthenticated(unauthenticated)) => unauthenticated.as_str(),
        Err(AuthenticateError::Unavailable(Unavailable::Store(_))) => "the store is down",
        Err(AuthenticateError::Unavailable(Unavailable::Directory(_))) => "the directory is down",
        Err(AuthenticateError::Unusable(reason)) => reason.as_str(),
        Err(_) => panic!("an error that the test does not know"),
    }
}

/// The reason of an event that tells of a refusal.
fn refusal(event: &Event) -> &'static str {
    match &event.kind {
        EventKind::Refused { reason, .. } => reason.as_str(),
        kind => panic!("{kind:?}"),
    }
}

#[test]
fn a_leaked_token_ends_its_key_and_a_public_id_does_not() {
    let world = World::new();
    let issued = world.create("laptop", team("core", full("all")), Validity::until(at(110)));
    let guess = Token::generate_secret(KG, KeyKind::Team, issued.record.id(), &rng(2)).unwrap();
    for wrong in [guess.expose_secret(), "no token", issued.record.id().as_str(), &issued.token.public().to_string()] {
        assert_eq!(block_on(world.keys.revoke_leaked([wrong])), []);
    }
    // Expired or not: it has leaked.
    world.clock.set(150);
    assert_eq!(block_on(world.keys.revoke_leaked([issued.token.expose_secret()])), [Ok(issued.record.id())]);
    let found = block_on(world.store.find(issued.record.id())).unwrap().unwrap();
    assert_eq!(found.status(), Status::Revoked { at: at(150), cause: RevocationCause::Leaked });
}

/// A directory is asked only where its answer decides: of a team key, and of one that is not usable, it is not.
#[test]
fn the_directory_is_asked_only_where_it_decides() {
    let deploy = request("core", Action::Deploy);
    for (grant, status, validity) in [
        (personal("ada"), Status::Revoked { at: at(1), cause: RevocationCause::Leaked }, Validity::NEVER_EXPIRES),
        (personal("ada"), Status::Disabled, Validity::NEVER_EXPIRES),
        (personal("ada"), Status::Active, Validity::until(at(5))),
        (personal("ada"), Status::Active, Validity::starting_at(at(50))),
        (team("core", full("all")), Status::Active, Validity::NEVER_EXPIRES),
    ] {
        let key = key(grant, validity, status, 1);
        let Step::Decided(decision) = Step::of(&key, &deploy, at(10)) else { panic!("nobody has to be asked") };
        assert_eq!(decision.is_allowed(), key.kind() == KeyKind::Team);
    }
    let key = key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, 1);
    let Step::AskMembership(query) = Step::of(&key, &deploy, at(10)) else { panic!("the directory decides") };
    assert_eq!((query.user(), query.team()), (&text("ada"), &text("core")));
    let denial = query.decide(TeamRole::Outsider.into(), at(10)).into_result().unwrap_err();
    assert_eq!(denial.reason(), Reason::OtherTeam);
}

/// A membership implies the user's status, so one request asks at most twice: on authenticating, and on deciding.
#[test]
fn one_request_asks_the_directory_at_most_twice() {
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let found = Found::new(Some(Arc::new(minted.key.record().clone())));
    let directory = Counting::new(&found.clock);
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader()).with_directory(directory.clone());
    let token = minted.token.expose_secret();
    let deploy = request("core", Action::Deploy);

    assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), "allowed");
    assert_eq!(directory.take_asked(), (0, 1));
    let key = block_on(gate.authenticate(token)).unwrap();
    assert_eq!(directory.take_asked(), (1, 0));
    let verdict = block_on(gate.authorize(&key, &deploy)).unwrap();
    assert_eq!(word(&verdict), "allowed");
    assert_eq!(directory.take_asked(), (0, 1));
    let Verdict::Allowed(authorization) = verdict else { panic!("it was allowed") };
    assert_eq!(word(&block_on(gate.check_again(&authorization)).unwrap()), "allowed");
    assert_eq!(directory.take_asked(), (0, 1));

    // What opens no key, and what is not usable, asks nobody.
    assert_eq!(word(&block_on(gate.check("no token", &deploy)).unwrap()), "foreign_issuer");
    found.set(Ok(None));
    assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), "invalid_key");
    assert_eq!(authenticated(&block_on(gate.authenticate(token))), "invalid_key");
    assert_eq!(directory.take_asked(), (0, 0));
    found.set(Ok(Some(changed(minted.key.record(), |parts| parts.status = Status::Disabled))));
    assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), "disabled");
    assert_eq!(directory.take_asked(), (0, 0));

    let minted = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 2);
    found.set(Ok(Some(Arc::new(minted.key.record().clone()))));
    let token = minted.token.expose_secret();
    let key = block_on(gate.authenticate(token)).unwrap();
    assert_eq!(word(&block_on(gate.authorize(&key, &deploy)).unwrap()), "allowed");
    assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), "allowed");
    assert_eq!(directory.take_asked(), (0, 0), "a team key has no user");
}

/// A text that cannot be a key never reaches the store.
#[test]
fn what_is_no_token_is_not_looked_up() {
    let minted = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    let found = Found::new(Some(Arc::new(minted.key.record().clone())));
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader());
    let deploy = request("core", Action::Deploy);
    let token = minted.token.expose_secret();
    for text in ["", "no token", "eyJhbGciOi", &token[..62], &format!("{token}0"), &token.replacen("kgt1", "kgt2", 1)] {
        assert!(matches!(block_on(gate.check(text, &deploy)).unwrap(), Verdict::Unauthenticated(_)), "{text}");
        assert!(block_on(gate.authenticate(text)).is_err());
    }
    assert_eq!(found.asked(), 0);
    assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), "allowed");
    assert_eq!(found.asked(), 1, "a plain store is looked at once");
    // What it finds is current.
    let current = block_on(gate.store().look_up_current(minted.token.id())).unwrap();
    assert_eq!((current.map(|record| record.id()), found.asked()), (Some(minted.token.id()), 2));
}

/// A key that ends while it is looked up is not used: each time is read after the look-up that it judges.
#[test]
fn a_time_is_read_after_the_look_up_that_it_judges() {
    let deploy = request("core", Action::Deploy);
    let outcome = |grant, in_store: i64, in_directory: i64| {
        let minted = issue(grant, Validity::NEVER_EXPIRES, 1);
        // The clock begins at 50, and the key ends at 60.
        let record = changed(minted.key.record(), |parts| parts.expires_at = Some(at(60)));
        let found = Found { takes: in_store, ..Found::new(Some(record)) };
        let directory = Counting { takes: in_directory, ..Counting::new(&found.clock) };
        let gate = Gate::with_clock(KG, found.clone(), found.clock.reader()).with_directory(directory);
        let token = minted.token.expose_secret();
        let checked = word(&block_on(gate.check(token, &deploy)).unwrap());
        found.clock.set(50);
        let known = authenticated(&block_on(gate.authenticate(token)));
        found.clock.set(50);
        let find = |id| block_on(gate.store().find(id));
        let membership = |_: &_, _: &_| {
            found.clock.advance(in_directory);
            Ok::<_, Infallible>(TeamRole::Member.into())
        };
        let blocking = KEYS.check_blocking(find, membership, token, &deploy, found.clock.reader()).unwrap();
        assert_eq!(word(&blocking), checked, "the blocking form judges alike");
        (checked, known)
    };
    let (of_core, of_ada) = (team("core", full("all")), personal("ada"));
    assert_eq!(outcome(of_core.clone(), 9, 0), ("allowed", "authenticated"));
    assert_eq!(outcome(of_core, 10, 0), ("expired", "expired"));
    assert_eq!(outcome(of_ada.clone(), 4, 5), ("allowed", "authenticated"));
    assert_eq!(outcome(of_ada.clone(), 10, 0), ("expired", "expired"));
    assert_eq!(outcome(of_ada.clone(), 0, 10), ("expired", "expired"));
    assert_eq!(outcome(of_ada, 5, 5), ("expired", "expired"));
}

/// The same for the end of a previous secret, which is a wrong secret then, and not an expired key.
#[test]
fn a_previous_secret_that_ends_during_the_look_up_opens_nothing() {
    let minted = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    let next = Token::generate_secret(KG, KeyKind::Team, minted.token.id(), &rng(2)).unwrap();
    let record = changed(minted.key.record(), |parts| {
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(60), last_used_at: None });
        parts.current = next.digest();
    });
    for (takes, expected) in [(9, "allowed"), (10, "invalid_key")] {
        let found = Found { takes, ..Found::new(Some(record.clone())) };
        let gate = Gate::with_clock(KG, found.clone(), found.clock.reader());
        let verdict = block_on(gate.check(minted.token.expose_secret(), &request("core", Action::Deploy))).unwrap();
        assert_eq!(word(&verdict), expected);
    }
}

/// A gate never accepts a record that was not asked for, nor one of another issuer, though the secret be the same.
#[test]
fn a_record_of_another_id_or_issuer_opens_nothing() {
    let minted = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    let with = |change: fn(&mut RecordParts)| changed(minted.key.record(), change);
    let deploy = request("core", Action::Deploy);
    let other_kind = |parts: &mut RecordParts| parts.grant = personal("ada");
    let table = [
        (with(|_| ()), "allowed"),
        (with(|parts| parts.id = text("wk59pfKL0jFi2YYv")), "invalid_key"),
        (with(|parts| parts.issuer = Issuer::from_static("prev")), "invalid_key"),
        (with(other_kind), "invalid_key"),
    ];
    for (record, expected) in table {
        let found = Found::new(Some(record.clone()));
        let gate = Gate::with_clock(KG, found.clone(), found.clock.reader());
        let token = minted.token.expose_secret();
        assert_eq!(word(&block_on(gate.check(token, &deploy)).unwrap()), expected);
        let is_known = authenticated(&block_on(gate.authenticate(token)));
        assert_eq!(is_known, if expected == "allowed" { "authenticated" } else { expected });

        // A proof that was made before is held against the same.
        let key = open(&minted.token, &Arc::new(minted.key.record().clone()), at(0));
        let authorization = decide(&key, None, &deploy, at(0)).into_result().unwrap().to_authorization();
        assert_eq!(word(&block_on(gate.check_again(&authorization)).unwrap()), expected);
        let find = |_| Ok::<_, Infallible>(Some(Arc::clone(&record)));
        let member = |_: &_, _: &_| Ok::<_, Infallible>(TeamRole::Member.into());
        assert_eq!(word(&KEYS.check_blocking(find, member, token, &deploy, || at(0)).unwrap()), expected);
    }
}

const ACME: Issuer = Issuer::from_static("acme");
const PREV: Issuer = Issuer::from_static("prev");
static FORMER: [Issuer; 2] = [Issuer::from_static("older"), PREV];

/// A prefix can change: the gate accepts the tokens of former issuers that it is told of, and each opens its own
/// records.
#[test]
fn former_issuers_are_accepted_where_they_are_named() {
    let (store, clock, deploy) = (MemoryStore::new(), TestClock::new(100), request("core", Action::Deploy));
    let create = |issuer: Issuer, seed: u8| {
        let keys = KeyManager::with_parts(issuer, store.clone(), clock.reader(), rng(seed));
        let spec = NewKeySpec::new(team("core", full("all")), text(issuer.as_str()), Validity::NEVER_EXPIRES);
        block_on(keys.create(&system(), spec)).unwrap().token
    };
    let (of_acme, of_prev, of_kg) = (create(ACME, 1), create(PREV, 2), create(KG, 3));
    let check =
        |gate: &Gate<MemoryStore>, token: &Token| word(&block_on(gate.check(token.expose_secret(), &deploy)).unwrap());
    let strict = Gate::with_clock(ACME, store.clone(), clock.reader());
    assert_eq!(
        [&of_acme, &of_prev, &of_kg].map(|token| check(&strict, token)),
        ["allowed", "foreign_issuer", "foreign_issuer"]
    );
    let gate = strict.with_issuers(&FORMER);
    assert_eq!([&of_acme, &of_prev, &of_kg].map(|token| check(&gate, token)), ["allowed", "allowed", "foreign_issuer"]);
    assert_eq!(gate.accepted_keys().issuer(), ACME);
    let key = block_on(gate.authenticate(of_prev.expose_secret())).unwrap();
    assert_eq!((key.id(), key.matched().issuer()), (of_prev.id(), PREV));

    // A token of one accepted issuer does not open a record of another one.
    let record = block_on(store.find(of_prev.id())).unwrap().unwrap();
    let moved = changed(&record, |parts| parts.issuer = ACME);
    let found = Found::new(Some(moved));
    let confused = Gate::with_clock(ACME, found.clone(), found.clock.reader()).with_issuers(&FORMER);
    let verdict = block_on(confused.check(of_prev.expose_secret(), &deploy)).unwrap();
    assert_eq!(word(&verdict), "invalid_key");

    // What is wrong with a token is said by the issuer that it begins with.
    let broken = of_prev.expose_secret().replace("prevt1", "prevt2");
    assert_eq!(word(&block_on(gate.check(&broken, &deploy)).unwrap()), "unsupported_version");
    let torn = &of_prev.expose_secret()[..20];
    assert_eq!(word(&block_on(gate.check(torn, &deploy)).unwrap()), "malformed");
}

/// What passed authentication is usable: no key that is revoked, disabled, out of its time or without its user gets
/// past.
#[test]
fn what_is_authenticated_is_usable() {
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let found = Found::new(None);
    let directory = Counting::new(&found.clock);
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader()).with_directory(directory.clone());
    let token = minted.token.expose_secret();
    let with = |change: fn(&mut RecordParts)| {
        found.set(Ok(Some(changed(minted.key.record(), change))));
        let result = block_on(gate.authenticate(token));
        if let Ok(key) = &result {
            assert_eq!((key.id(), key.judged_at(), key.user()), (minted.token.id(), at(50), Some(&text("ada"))));
        }
        authenticated(&result)
    };
    assert_eq!(with(|_| ()), "authenticated");
    assert_eq!(with(|parts| parts.status = Status::Disabled), "disabled");
    let revoked = |parts: &mut RecordParts| {
        parts.status = Status::Revoked { at: at(60), cause: RevocationCause::Unused };
    };
    assert_eq!(with(revoked), "revoked");
    assert_eq!(with(|parts| parts.expires_at = Some(at(50))), "expired");
    assert_eq!(with(|parts| parts.expires_at = Some(at(51))), "authenticated");
    assert_eq!(with(|parts| parts.not_before = Some(at(51))), "not_yet_valid");
    assert_eq!(with(|parts| parts.not_before = Some(at(50))), "authenticated");
    // The first incarnation of the first user is the one in the directory.
    assert_eq!(with(|parts| parts.incarnation = Some(Incarnation::new(1))), "authenticated");
    assert_eq!(with(|parts| parts.incarnation = Some(Incarnation::new(2))), "owner_deprovisioned");
    // Being in no team is no matter of authentication.
    directory.inner.set_member(text("ada"), text("core"), TeamRole::Outsider);
    assert_eq!(with(|_| ()), "authenticated");
    directory.inner.deprovision(&text("ada"));
    assert_eq!(with(|_| ()), "owner_deprovisioned");

    // A gate without a directory knows no users.
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader());
    found.set(Ok(Some(Arc::new(minted.key.record().clone()))));
    assert_eq!(authenticated(&block_on(gate.authenticate(token))), "owner_deprovisioned");
    assert_eq!(word(&block_on(gate.check(token, &request("core", Action::Deploy))).unwrap()), "owner_deprovisioned");
}

/// A denial of class "not allowed" has the authenticated key with it; of class "not authenticated" only the id and
/// owner.
#[test]
fn a_denied_key_is_authenticated_only_if_it_is_usable() {
    let world = World::new();
    let issued = world.create("batch", team("core", full("all")), Validity::until(at(200)));
    let other = request("other", Action::Deploy);
    let Verdict::Denied { denial, key, .. } = world.check(&issued.token, &other) else { panic!("another team") };
    assert_eq!((denial.reason(), denial.class()), (Reason::OtherTeam, DenialClass::NotAllowed));
    assert_eq!((key.id(), key.owner()), (issued.record.id(), Owner::Team(text("core"))));
    assert_eq!(key.attempt(), Attempt::request(&other));
    let authenticated = key.authenticated().unwrap();
    assert_eq!((authenticated.id(), authenticated.judged_at()), (issued.record.id(), at(100)));
    world.clock.set(200);
    let Verdict::Denied { denial, key, .. } = world.check(&issued.token, &other) else { panic!("expired") };
    assert_eq!((denial.reason(), denial.class()), (Reason::Expired, DenialClass::NotAuthenticated));
    assert_eq!((key.id(), key.owner()), (issued.record.id(), Owner::Team(text("core"))));
    assert!(key.authenticated().is_none() && key.requirement().is_none());
}

/// A proof is used soon: after a minute, and by a clock that was set back, the key is looked up again.
#[test]
fn a_proof_is_used_for_less_than_a_minute() {
    let world = World::new();
    let issued = world.create("batch", team("core", full("all")), Validity::NEVER_EXPIRES);
    let key = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
    block_on(world.keys.revoke(&system(), issued.record.id(), RevocationCause::Leaked)).unwrap();
    let deploy = request("core", Action::Deploy);
    for (now, expected) in [(100, "allowed"), (159, "allowed"), (160, "revoked"), (1_000, "revoked"), (99, "revoked")] {
        world.clock.set(now);
        assert_eq!(word(&block_on(world.gate.authorize(&key, &deploy)).unwrap()), expected, "at {now}");
    }
    // What was judged is also held against the time of now.
    let issued = world.create("short", team("core", full("all")), Validity::until(at(120)));
    world.clock.set(110);
    let key = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
    world.clock.set(120);
    assert_eq!(word(&block_on(world.gate.authorize(&key, &deploy)).unwrap()), "expired");
}

/// What outlives a request is decided by what there is now.
#[test]
fn an_allowed_request_is_decided_again_by_the_record_and_the_membership_of_now() {
    let deploy = request("core", Action::Deploy);
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let (record, directory) = (minted.key.record(), MemoryDirectory::new());
    directory.set_member(text("ada"), text("core"), TeamRole::Member);
    let allowed = open(&minted.token, &Arc::new(record.clone()), at(0));
    let authorization =
        decide(&allowed, Some(TeamRole::Member.into()), &deploy, at(0)).into_result().unwrap().to_authorization();
    let found = Found::new(None);
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader()).with_directory(directory.clone());
    let again = |now_found: Option<Arc<KeyRecord>>| {
        found.set(Ok(now_found));
        let verdict = block_on(gate.check_again(&authorization)).unwrap();
        if let Verdict::Allowed(again) = &verdict {
            assert_eq!((again.request(), again.decided_at()), (&deploy, at(50)));
        }
        word(&verdict)
    };
    let with = |change: fn(&mut RecordParts)| Some(changed(record, change));
    assert_eq!(again(with(|_| ())), "allowed");
    let revoked = |parts: &mut RecordParts| {
        parts.status = Status::Revoked { at: at(10), cause: RevocationCause::Requested };
    };
    let table = [
        (with(revoked), "revoked"),
        (with(|parts| parts.status = Status::Disabled), "disabled"),
        (with(|parts| parts.expires_at = Some(at(50))), "expired"),
        (with(|parts| parts.current = SecretDigest::from_bytes([1; 29]).unwrap()), "invalid_key"),
        (None, "invalid_key"),
    ];
    for (found, expected) in table {
        assert_eq!(again(found), expected);
    }
    directory.set_member(text("ada"), text("core"), TeamRole::Outsider);
    assert_eq!(again(with(|_| ())), "other_team");
    directory.deprovision(&text("ada"));
    assert_eq!(again(with(|_| ())), "owner_deprovisioned");
    found.set(Err(fmt::Error));
    assert_eq!(block_on(gate.check_again(&authorization)).unwrap_err(), Unavailable::Store(fmt::Error));
}

/// Each refusal is told with what was asked, and where a key was known before, with who it was.
#[test]
fn a_refusal_is_told_with_what_was_asked_and_who_it_was() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let issued = world.create("laptop", personal("ada"), Validity::NEVER_EXPIRES);
    let (token, deploy) = (issued.token.expose_secret(), request("core", Action::Deploy));
    let key = block_on(world.gate.authenticate(token)).unwrap();
    let Verdict::Allowed(authorization) = world.check(&issued.token, &deploy) else { panic!("it is allowed") };
    let told = |is_known: bool, asked: Option<&keygate::Request>| {
        let told = world.told.take();
        let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
        let target = is_known.then(|| (key.id(), key.owner()));
        assert_eq!((event.by == Actor::from(&key).principal(), event.key.zip(event.owner.clone())), (is_known, target));
        let EventKind::Refused { attempt, .. } = &event.kind else { panic!("{event:?}") };
        assert_eq!(*attempt, asked.map(Attempt::request));
    };

    let _ = block_on(world.keys.rotate(&Actor::User(text("ada")), key.id(), Rotation::CutOver)).unwrap();
    world.told.take();
    let verdict = |verdict: Result<Verdict, _>| word(&verdict.unwrap());
    assert_eq!(verdict(block_on(world.gate.check(token, &deploy))), "invalid_key");
    told(false, Some(&deploy));
    assert_eq!(verdict(block_on(world.gate.check("no token", &deploy))), "foreign_issuer");
    told(false, Some(&deploy));
    assert!(block_on(world.gate.authenticate(token)).is_err());
    told(false, None);
    assert_eq!(verdict(block_on(world.gate.check_again(&authorization))), "invalid_key");
    told(true, Some(&deploy));
    world.clock.advance(61);
    assert_eq!(verdict(block_on(world.gate.authorize(&key, &deploy))), "invalid_key");
    told(true, Some(&deploy));
    assert!(block_on(world.gate.allowed(&key, &text("core"), [Action::Deploy])).unwrap().is_empty());
    told(true, None);

    // A proof of another issuer's gate: this one knows no such key.
    let elsewhere = Gate::with_clock(Issuer::from_static("other"), world.store.clone(), world.clock.reader())
        .with_sink(world.told.clone());
    assert_eq!(verdict(block_on(elsewhere.authorize(&key, &deploy))), "invalid_key");
    told(false, Some(&deploy));

    // A rule of the service's own.
    world.gate.key_refused(&key, Some(&deploy), RefusalReason::SERVICE_RULE);
    let told = world.told.take();
    let [Told::Event(event)] = &told[..] else { panic!("{told:?}") };
    let EventKind::Refused { attempt, reason, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!((*attempt == Some(Attempt::request(&deploy)), reason.as_str()), (true, "service_rule"));
}

/// The same with a real manager: a revocation and a cut-over end what goes on, an overlap ends it when it ends.
#[test]
fn what_goes_on_ends_with_its_key_and_its_secret() {
    let world = World::new();
    let deploy = request("core", Action::Deploy);
    let start = |name: &str| {
        let issued = world.create(name, team("core", full("all")), Validity::NEVER_EXPIRES);
        let Verdict::Allowed(authorization) = world.check(&issued.token, &deploy) else { panic!("it is allowed") };
        (issued.record.id(), authorization)
    };
    let again = |authorization| word(&block_on(world.gate.check_again(authorization)).unwrap());

    let (id, authorization) = start("revoked");
    block_on(world.keys.rename(&system(), id, text("renamed"))).unwrap();
    assert_eq!(again(&authorization), "allowed");
    block_on(world.keys.revoke(&system(), id, RevocationCause::Leaked)).unwrap();
    assert_eq!(again(&authorization), "revoked");

    let (id, authorization) = start("cut-over");
    let _ = block_on(world.keys.rotate(&system(), id, Rotation::CutOver)).unwrap();
    assert_eq!(again(&authorization), "invalid_key");

    let (id, authorization) = start("overlapping");
    let overlap = core::time::Duration::from_secs(30);
    let _ = block_on(world.keys.rotate(&system(), id, Rotation::Start { overlap })).unwrap();
    assert_eq!(again(&authorization), "allowed");
    world.clock.advance(29);
    assert_eq!(again(&authorization), "allowed");
    world.clock.advance(1);
    assert_eq!(again(&authorization), "invalid_key");

    let (id, authorization) = start("ended");
    let _ = block_on(world.keys.rotate(&system(), id, Rotation::Start { overlap })).unwrap();
    block_on(world.keys.end_overlap(&system(), id)).unwrap();
    assert_eq!(again(&authorization), "invalid_key");
}

/// A look-up that failed is no answer: nothing is allowed, and nobody is called a stranger.
#[test]
fn a_failure_is_neither_an_allow_nor_a_refusal() {
    let deploy = request("core", Action::Deploy);
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let record = Arc::new(minted.key.record().clone());
    let (found, told) = (Found::new(None), Recorder::default());
    found.set(Err(fmt::Error));
    let gate = Gate::with_clock(KG, found.clone(), found.clock.reader())
        .with_directory(Counting { is_down: true, ..Counting::new(&found.clock) })
        .with_sink(told.clone());
    let token = minted.token.expose_secret();
    let failures = |expected: &str| {
        let told = told.take();
        assert!(matches!(&told[..], [Told::Failed(text)] if text == expected), "{told:?}");
    };
    assert_eq!(block_on(gate.check(token, &deploy)).unwrap_err(), Unavailable::Store(fmt::Error));
    failures("the look-up of a key failed");
    assert_eq!(authenticated(&block_on(gate.authenticate(token))), "the store is down");
    failures("the look-up of a key failed");

    found.set(Ok(Some(record.clone())));
    assert_eq!(block_on(gate.check(token, &deploy)).unwrap_err(), Unavailable::Directory(fmt::Error));
    failures("the look-up of a user failed");
    assert_eq!(authenticated(&block_on(gate.authenticate(token))), "the directory is down");
    failures("the look-up of a user failed");

    // A key that is of no use whatever the directory says is refused without it.
    let ended = changed(&record, |parts| {
        parts.status = Status::Revoked { at: at(10), cause: RevocationCause::Leaked };
    });
    found.set(Ok(Some(ended)));
    assert_eq!(authenticated(&block_on(gate.authenticate(token))), "revoked");
    assert!(matches!(&told.take()[..], [Told::Stranger(_)]));
    found.set(Ok(Some(record.clone())));

    let key = open(&minted.token, &record, at(50));
    let membership = Some(Membership::from(TeamRole::Member));
    let authorization = decide(&key, membership, &deploy, at(50)).into_result().unwrap().to_authorization();
    assert_eq!(block_on(gate.authorize(authorization.key(), &deploy)).unwrap_err(), Unavailable::Directory(fmt::Error));
    failures("the look-up of a user failed");
    assert_eq!(block_on(gate.check_again(&authorization)).unwrap_err(), Unavailable::Directory(fmt::Error));
    failures("the look-up of a user failed");

    let down = |_: KeyId| Err::<Option<Arc<KeyRecord>>, _>(fmt::Error);
    let member = |_: &_, _: &_| Ok::<_, Infallible>(TeamRole::Member.into());
    let blocking = KEYS.check_blocking(down, member, token, &deploy, || at(50));
    assert_eq!(blocking.unwrap_err(), Unavailable::Store(fmt::Error));
    let found = |_: KeyId| Ok::<_, Infallible>(Some(Arc::clone(&record)));
    let blocking = KEYS.check_blocking(found, |_: &_, _: &_| Err(fmt::Error), token, &deploy, || at(50));
    assert_eq!(blocking.unwrap_err(), Unavailable::Directory(fmt::Error));
}

/// A new proof makes a key no younger: the key is looked up again however new the proof is.
#[test]
fn a_key_is_looked_up_again_after_a_minute_however_new_the_proof_is() {
    let world = World::new();
    let issued = world.create("batch", team("core", full("all")), Validity::NEVER_EXPIRES);
    let (good, bad) = (request("core", Action::Deploy), request("labs", Action::Deploy));
    let first = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
    let (mut by_allow, mut by_denial) = (first.clone(), first);
    block_on(world.keys.revoke(&system(), issued.record.id(), RevocationCause::Leaked)).unwrap();
    for (now, expected) in [(130, "allowed"), (159, "allowed"), (160, "revoked"), (190, "revoked"), (400, "revoked")] {
        world.clock.set(now);
        let verdict = block_on(world.gate.authorize(&by_allow, &good)).unwrap();
        assert_eq!(word(&verdict), expected, "at {now}");
        if let Verdict::Allowed(authorization) = verdict {
            by_allow = authorization.key().clone();
        }
        if let Verdict::Denied { key, .. } = block_on(world.gate.authorize(&by_denial, &bad)).unwrap() {
            assert_eq!(key.authenticated().is_some(), expected == "allowed");
            by_denial = key.authenticated().unwrap_or(by_denial);
        }
        assert_eq!(word(&block_on(world.gate.authorize(&by_denial, &good)).unwrap()), expected, "at {now}");
    }
}

/// A previous secret that ended is a wrong secret, also where it matched before it ended.
#[test]
fn a_previous_secret_that_ended_since_it_matched_is_a_wrong_one() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let overlap = core::time::Duration::from_secs(10);
    let deploy = request("core", Action::Deploy);
    for (name, grant) in [("team", team("core", full("all"))), ("personal", personal("ada"))] {
        world.clock.set(100);
        let old = world.create(name, grant, Validity::NEVER_EXPIRES);
        let new = block_on(world.keys.rotate(&system(), old.record.id(), Rotation::Start { overlap })).unwrap();
        let keys =
            [&old.token, &new.token].map(|token| block_on(world.gate.authenticate(token.expose_secret())).unwrap());
        for (now, expected) in [(109, ["allowed", "allowed"]), (110, ["invalid_key", "allowed"])] {
            world.clock.set(now);
            let words =
                keys.each_ref().map(|key| word(&block_on(world.gate.authorize(key, &deploy)).unwrap()).to_owned());
            assert_eq!(words, expected, "{name} at {now}");
        }
    }
}

/// A directory that takes its time, in which something may happen to a key.
struct Slow {
    directory: MemoryDirectory,
    clock: TestClock,
    takes: i64,
    keys: KeyManager<MemoryStore, MemoryDirectory>,
    id: KeyId,
    meanwhile: Meanwhile,
}

#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    CutOver,
    Nothing,
    Revoke,
}

impl Slow {
    async fn wait(&self) {
        match self.meanwhile {
            Meanwhile::CutOver => {
                let ada = Actor::User(text("ada"));
                let _ = self.keys.rotate(&ada, self.id, Rotation::CutOver).await.unwrap();
            }
            Meanwhile::Nothing => {}
            Meanwhile::Revoke => drop(self.keys.revoke(&system(), self.id, RevocationCause::Leaked).await.unwrap()),
        }
        self.clock.advance(self.takes);
    }
}

impl Directory for Slow {
    type Error = Infallible;

    async fn user(&self, user: &UserId) -> Result<UserStatus, Infallible> {
        self.wait().await;
        self.directory.user(user).await
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Infallible> {
        self.wait().await;
        self.directory.membership(user, team).await
    }
}

/// What the store said is not relied on for longer because the directory is slow.
#[test]
fn a_slow_directory_makes_no_record_valid_for_longer() {
    let deploy = request("core", Action::Deploy);
    for (takes, meanwhile, expected) in [
        (0, Meanwhile::Nothing, ["allowed", "authenticated", "allowed"]),
        (300, Meanwhile::Nothing, ["allowed", "authenticated", "allowed"]),
        // Within the minute that a match can be relied on, and beyond it.
        (59, Meanwhile::Revoke, ["allowed", "authenticated", "allowed"]),
        (60, Meanwhile::Revoke, ["revoked", "revoked", "revoked"]),
        (59, Meanwhile::CutOver, ["allowed", "authenticated", "allowed"]),
        (60, Meanwhile::CutOver, ["invalid_key", "invalid_key", "invalid_key"]),
    ] {
        let of_new_world = |ask: &dyn Fn(World, Slow, Token) -> String| {
            let world = World::new();
            world.set_member("ada", "core", TeamRole::Member);
            let issued = world.create("laptop", personal("ada"), Validity::NEVER_EXPIRES);
            let (directory, clock, keys) = (world.directory.clone(), world.clock.clone(), world.keys.clone());
            let (id, told) = (issued.record.id(), world.told.clone());
            let answer = ask(world, Slow { directory, clock, takes, keys, id, meanwhile }, issued.token);
            // It is known whose key it was, though its secret opens nothing any more.
            let is_known = |told: &Told| !matches!(told, Told::Stranger(event) if event.key != Some(id));
            assert!(told.take().iter().all(is_known), "{takes} {meanwhile:?}");
            answer
        };
        let gate = |world: &World, slow| {
            let gate = Gate::with_clock(KG, world.store.clone(), world.clock.reader());
            gate.with_directory(slow).with_sink(world.told.clone())
        };
        let check = of_new_world(&|world, slow, token| {
            word(&block_on(gate(&world, slow).check(token.expose_secret(), &deploy)).unwrap()).to_owned()
        });
        let authenticate = of_new_world(&|world, slow, token| {
            authenticated(&block_on(gate(&world, slow).authenticate(token.expose_secret()))).to_owned()
        });
        let blocking = of_new_world(&|world, slow, token| {
            let find = |id: KeyId| block_on(world.store.find(id));
            let member = |user: &UserId, team: &TeamId| block_on(slow.membership(user, team));
            let clock = || world.clock.now();
            word(&KEYS.check_blocking(find, member, token.expose_secret(), &deploy, clock).unwrap()).to_owned()
        });
        assert_eq!([check, authenticate, blocking], expected, "{takes} {meanwhile:?}");
    }
}

/// Who holds a key that is of no use pushes out nothing that is told of valid ones.
#[test]
fn refusals_of_a_key_that_is_of_no_use_stand_apart() {
    let world = World::new();
    let ended = world.create("ended", team("core", full("all")), Validity::until(at(150)));
    let valid = world.create("valid", team("core", full("all")), Validity::NEVER_EXPIRES);
    world.clock.set(200);
    let labs = request("labs", Action::Deploy);
    world.told.take();
    assert_eq!(word(&world.check(&ended.token, &labs)), "expired");
    assert!(matches!(&world.told.take()[..], [Told::Stranger(event)] if event.key == Some(ended.record.id())));
    assert_eq!(word(&world.check(&valid.token, &labs)), "other_team");
    assert!(matches!(&world.told.take()[..], [Told::Event(event)] if event.key == Some(valid.record.id())));
}

/// Asking again about a request that is under way is no other request.
#[test]
fn asking_again_is_no_other_request() {
    let world = World::new();
    let issued = world.create("batch", team("core", full("all")), Validity::NEVER_EXPIRES);
    let Verdict::Allowed(authorization) = world.check(&issued.token, &request("core", Action::Deploy)) else {
        panic!("it is allowed");
    };
    world.told.take();
    world.clock.set(1_000);
    assert_eq!(word(&block_on(world.gate.check_again(&authorization)).unwrap()), "allowed");
    assert!(matches!(&world.told.take()[..], [Told::Touch(_)]), "the key is in use, and that is all");
}

/// What a key may do is what it would be allowed: a list shows nothing that a call refuses.
#[test]
fn what_a_key_may_do_is_what_it_would_be_allowed() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let actions = || {
        [
            call("m1", None),
            call("m1", Some("prod")),
            call("m2", Some("prod")),
            Action::Deploy,
            Action::Manage,
            Action::export_metrics(None),
            own("projects:read", None, Some("m1")),
        ]
    };
    let grants = [
        personal("ada"),
        team("core", full("all")),
        team("core", full("prod")),
        team("core", inference("prod", "m1")),
        team("core", metrics("all")),
        team("core", custom("call projects:read", "all", "m1")),
    ];
    for (place, grant) in grants.into_iter().enumerate() {
        let issued = world.create(&format!("key-{place}"), grant, Validity::NEVER_EXPIRES);
        let key = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
        for name in ["core", "labs"] {
            world.told.take();
            let allowed = block_on(world.gate.allowed(&key, &text(name), actions())).unwrap();
            assert!(world.told.take().is_empty(), "nothing was used, and nothing refused");
            let is_allowed = |action: &Action| {
                matches!(world.check(&issued.token, &request(name, action.clone())), Verdict::Allowed(_))
            };
            assert_eq!(allowed, actions().into_iter().filter(is_allowed).collect::<Vec<_>>());
            assert!(name == "core" || allowed.is_empty());
        }
        // A minute later the key is looked up again.
        block_on(world.keys.revoke(&system(), issued.record.id(), RevocationCause::Leaked)).unwrap();
        let count = |world: &World| block_on(world.gate.allowed(&key, &text("core"), actions())).unwrap().len();
        assert!(count(&world) > 0);
        world.clock.set(world.clock.now().as_secs() + 60);
        assert_eq!(count(&world), 0);
        // Nor is a proof of another issuer one.
        let other = Gate::with_clock(Issuer::from_static("other"), world.store.clone(), world.clock.reader());
        assert_eq!(block_on(other.allowed(&key, &text("core"), actions())).unwrap(), []);
    }
}

/// Every refusal is told, with who, what, on what and why; strangers apart from those who are known.
#[test]
fn the_sink_is_told_who_what_on_what_and_why() {
    let world = World::new();
    world.set_member("ada", "core", TeamRole::Member);
    let of_ada = world.create("laptop", personal("ada"), Validity::NEVER_EXPIRES);
    let in_prod = request("labs", call("m1", Some("prod")));
    assert_eq!(word(&world.check(&of_ada.token, &in_prod)), "other_team");
    let told = world.told.take();
    let [Told::Event(event)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((event.id, event.at, event.key), (None, at(100), Some(of_ada.record.id())));
    assert_eq!(event.owner, Some(Owner::Personal(text("ada"))));
    assert_eq!(event.by.user(), Some(&text("ada")), "of a personal key, its user too");
    let EventKind::Refused { attempt: Some(attempt), reason, .. } = &event.kind else { panic!("{event:?}") };
    assert_eq!((attempt, *reason), (&Attempt::request(&in_prod), Reason::OtherTeam.into()));
    let Attempt::Request { team, action, model, environment, resource, .. } = attempt else { panic!("a request") };
    assert_eq!((team.as_str(), &**action, model.as_ref()), ("labs", "call", Some(&text("m1"))));
    assert_eq!((environment.as_ref(), resource.as_ref()), (Some(&text("prod")), None));

    // An allow is told as that, for counting, and a touch where one is due.
    let deploy = request("core", Action::Deploy);
    assert_eq!(word(&world.check(&of_ada.token, &deploy)), "allowed");
    let told = world.told.take();
    let [Told::Touch(touch), Told::Allowed(authorization)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*touch, Touch::new(of_ada.record.id(), SecretSlot::Current, at(100)));
    assert_eq!((authorization.key().id(), authorization.request()), (of_ada.record.id(), &deploy));

    // Authenticating refuses without a request, and tells nothing of an allow.
    assert!(block_on(world.gate.authenticate(of_ada.token.expose_secret())).is_ok());
    assert!(world.told.take().is_empty());
    block_on(world.keys.disable(&system(), of_ada.record.id())).unwrap();
    assert!(block_on(world.gate.authenticate(of_ada.token.expose_secret())).is_err());
    // Apart from those of valid keys, whom nobody may push out who has one that is of no use.
    let told = world.told.take();
    let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((refusal(event), event.key), ("disabled", Some(of_ada.record.id())));
    assert!(matches!(event.kind, EventKind::Refused { attempt: None, .. }), "{event:?}");

    // A stranger claims an id, or none; neither is an owner's.
    let guess = Token::generate_secret(KG, KeyKind::Personal, of_ada.record.id(), &rng(2)).unwrap();
    for (credential, claimed, reason) in [
        (guess.expose_secret(), Some(of_ada.record.id()), "invalid_key"),
        ("no token", None, "foreign_issuer"),
        ("kgt1_short", None, "malformed"),
        ("kgt2_", None, "unsupported_version"),
    ] {
        assert_eq!(word(&block_on(world.gate.check(credential, &deploy)).unwrap()), reason);
        assert!(block_on(world.gate.authenticate(credential)).is_err());
        let told = world.told.take();
        let [Told::Stranger(one), Told::Stranger(other)] = &told[..] else { panic!("{told:?}") };
        for event in [one, other] {
            assert_eq!((event.key, event.owner.as_ref(), refusal(event)), (None, None, reason));
            assert!(matches!(&event.by, Principal::Unverified { claimed: id, .. } if *id == claimed), "{event:?}");
        }
    }
}

/// A use is written again when the stored one is a minute old, of each secret for itself; a denied request uses
/// nothing.
#[test]
fn a_touch_is_due_once_a_minute_and_only_for_an_allow() {
    let world = World::new();
    let issued = world.create("batch", team("core", full("all")), Validity::NEVER_EXPIRES);
    let deploy = request("core", Action::Deploy);
    let touches = || {
        let told = world.told.take().into_iter().filter_map(|told| match told {
            Told::Touch(touch) => Some(touch),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(word(&world.check(&issued.token, &request("other", Action::Deploy))), "other_team");
    assert_eq!(touches(), []);
    for (now, is_due) in [(100, true), (159, false), (160, true), (200, false), (220, true)] {
        world.clock.set(now);
        assert_eq!(word(&world.check(&issued.token, &deploy)), "allowed");
        let due = touches();
        let expected = Touch::new(issued.record.id(), SecretSlot::Current, at(now));
        assert_eq!(due, if is_due { vec![expected] } else { vec![] }, "at {now}");
        block_on(keygate::store::KeyManagementStore::touch(&world.store, due, at(now))).unwrap();
    }
    // A previous secret has a use of its own, which says that somebody still needs it.
    let overlap = core::time::Duration::from_secs(600);
    let next = block_on(world.keys.rotate(&system(), issued.record.id(), Rotation::Start { overlap })).unwrap();
    assert_eq!(word(&world.check(&issued.token, &deploy)), "allowed");
    assert_eq!(touches(), [Touch::new(issued.record.id(), SecretSlot::Previous, at(220))]);
    assert_eq!(word(&world.check(&next.token, &deploy)), "allowed");
    assert_eq!(touches(), [], "the key was used by now");
}

#[test]
fn memberships_in_memory_are_what_was_said_last_and_nothing_beyond() {
    let directory = MemoryDirectory::new();
    let of = |user, team| block_on(directory.membership(&text(user), &text(team))).unwrap().role();
    let said = |user, team, role| directory.set_member(text(user), text(team), role);
    said("ada", "core", TeamRole::Member);
    said("bob", "core", TeamRole::Member);
    assert_eq!(of("ada", "core"), TeamRole::Member);
    said("ada", "core", TeamRole::Admin);
    assert_eq!(of("ada", "core"), TeamRole::Admin);
    assert_eq!(of("ada", "other"), TeamRole::Outsider);
    assert_eq!(of("eve", "core"), TeamRole::Deprovisioned);
    directory.deprovision(&text("ada"));
    assert_eq!([of("ada", "core"), of("bob", "core")], [TeamRole::Deprovisioned, TeamRole::Member]);
    // Who comes back does not come back to what they were.
    said("ada", "other", TeamRole::Member);
    assert_eq!(of("ada", "core"), TeamRole::Outsider);
    // A user can be in no team at all.
    directory.provision(text("eve"));
    assert_eq!(of("eve", "core"), TeamRole::Outsider);
    let user = |id| block_on(directory.user(&text(id))).unwrap();
    assert!(matches!(user("eve"), UserStatus::Active { .. }));
    assert_eq!(user("nobody"), UserStatus::Deprovisioned);
}

/// A user who is deprovisioned and comes back gets no old key back.
#[test]
fn an_old_key_does_not_come_back_with_its_user() {
    let world = World::new();
    let deploy = request("core", Action::Deploy);
    world.set_member("ada", "core", TeamRole::Member);
    let old = world.create("laptop", personal("ada"), Validity::NEVER_EXPIRES);
    assert_eq!(word(&world.check(&old.token, &deploy)), "allowed");
    world.directory.deprovision(&text("ada"));
    assert_eq!(word(&world.check(&old.token, &deploy)), "owner_deprovisioned");
    world.set_member("ada", "core", TeamRole::Member);
    assert_eq!(word(&world.check(&old.token, &deploy)), "owner_deprovisioned");
    let is_known = block_on(world.gate.authenticate(old.token.expose_secret()));
    assert_eq!(authenticated(&is_known), "owner_deprovisioned");
    let new = world.create("laptop-2", personal("ada"), Validity::NEVER_EXPIRES);
    assert_eq!(word(&world.check(&new.token, &deploy)), "allowed");
}

/// Differences of several words must not cancel each other out.
#[test]
fn digests_that_differ_in_several_places_differ() {
    let digest = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token.digest().to_bytes();
    // Behind the algorithm, of which a few are known.
    for first in 1..digest.len() {
        for second in 1..first {
            let mut other = digest;
            for place in [first, second] {
                *other.get_mut(place).unwrap() ^= 0x10;
            }
            assert!(SecretDigest::from_bytes(other) != SecretDigest::from_bytes(digest), "{first} {second}");
        }
    }
}

/// A store may hold one secret in both slots: it opens the key, as the current one.
#[test]
fn a_secret_in_both_slots_is_the_current_one() {
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let record = changed(issued.key.record(), |parts| {
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(100), last_used_at: None });
    });
    let presented = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();
    assert_eq!(verify(&presented, Some(record), at(0)).unwrap().slot(), SecretSlot::Current);
}

#[test]
fn scopes_with_other_members_are_not_equal() {
    assert_ne!(environments("prod"), environments("stage"));
    assert_ne!(environments("prod"), environments("prod stage"));
    assert_ne!(models("m1"), models("m2"));
    assert_eq!(models("m1 m2"), models("m2 m1 m2"));
}

/// `Debug` says what may be said: an empty text would be of no use to anybody who looks for a mistake.
#[test]
fn what_may_be_shown_is_shown() {
    let issued = issue(team("core", full("prod")), Validity::NEVER_EXPIRES, 1);
    let record = Arc::new(issued.key.record().clone());
    let key = format!("{:?}", open(&issued.token, &record, at(0)));
    for part in [issued.token.id().as_str(), "core", "prod", "Active", "current"] {
        assert!(key.contains(part), "{part} is not in {key}");
    }
    let public = issued.token.public().to_string();
    assert_eq!(format!("{:?}", issued.token), format!("Token({public}, [redacted])"));
    assert_eq!(format!("{:?}", issued.token.digest()), "SecretDigest([redacted])");
    let members = format!("{:?}", models("m1 m2").members().unwrap());
    assert!(members.contains("m1") && members.contains("m2"), "{members}");
}

#[test]
fn a_key_is_valid_from_its_start_until_before_its_end() {
    let of = |validity: Validity| [99, 100, 199, 200].map(|now| validity.contains(at(now)));
    assert_eq!(of(Validity::NEVER_EXPIRES), [true, true, true, true]);
    assert_eq!(of(Validity::starting_at(at(100))), [false, true, true, true]);
    assert_eq!(of(Validity::until(at(200))), [true, true, true, false]);
    assert_eq!(of(Validity::between(at(100), at(200)).unwrap()), [false, true, true, false]);
}

/// One event for many uses of a key by one secret, whatever the order in which they are told.
#[test]
fn uses_are_counted_for_each_key_and_secret() {
    let [one, other] = [1, 2].map(|seed| key(personal("ada"), Validity::NEVER_EXPIRES, Status::Active, seed));
    let mut uses = UsageCounter::new();
    assert_eq!(uses.drain().count(), 0);
    for (key, now) in [(&one, 20), (&other, 30), (&one, 10), (&one, 40)] {
        uses.record(key, at(now));
    }
    let mut events: Vec<_> = uses.drain().collect();
    events.sort_by_key(|event| event.at);
    let used = |key: &MatchedKey, count, first_at, last_at| {
        (at(last_at), key.principal(), Some(key.id()), Some(key.owner()), (count, at(first_at), at(last_at)))
    };
    let events: Vec<_> = events
        .into_iter()
        .map(|event| {
            let EventKind::Used { count, first_at, last_at, .. } = event.kind else { panic!("{event:?}") };
            (event.at, event.by, event.key, event.owner, (count, first_at, last_at))
        })
        .collect();
    assert_eq!(events, [used(&other, 1, 30, 30), used(&one, 3, 10, 40)]);
    assert_eq!(uses.drain().count(), 0, "it starts over");
}

#[test]
fn names_for_logs_are_as_documented() {
    let names: Vec<_> = ActionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names, ["call", "custom", "deploy", "export_metrics", "manage"]);
    assert!(ActionKind::ALL.iter().all(|kind| kind.to_string() == kind.as_str()));
    let key = key(team("core", full("prod")), Validity::NEVER_EXPIRES, Status::Active, 1);
    let request = request("core", call("m1", None));
    let denial = decide(&key, None, &request, at(0)).into_result().unwrap_err();
    assert_eq!(denial.to_string(), "call denied: environment_required");

    let parse = [
        ParseTokenError::ChecksumMismatch,
        ParseTokenError::ForeignIssuer,
        ParseTokenError::Malformed,
        ParseTokenError::UnsupportedVersion,
    ];
    let names = ["checksum_mismatch", "foreign_issuer", "malformed", "unsupported_version"];
    assert_eq!(parse.map(ParseTokenError::as_str), names);
    assert_eq!(parse.map(|error| Unauthenticated::NotAToken(error).as_str()), names);
    let invalid = KEYS.parse("kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d").unwrap();
    assert_eq!(invalid.verify(None, at(0)).unwrap_err().as_str(), "invalid_key");
    let rotate = [
        RotateError::Disabled,
        RotateError::Expired,
        RotateError::Generate(GenerateError::Stuck),
        RotateError::InProgress,
        RotateError::OverlapTooLong,
        RotateError::Revoked,
    ];
    let names = rotate.map(|error| error.as_str().unwrap_or("no refusal"));
    let expected = ["disabled", "expired", "no refusal", "rotation_in_progress", "overlap_too_long", "revoked"];
    assert_eq!(names, expected);
    let names: Vec<_> = Conflict::ALL.iter().map(|conflict| conflict.as_str()).collect();
    assert_eq!(names, ["absent", "changed", "disabled", "id_taken", "name_taken", "not_disabled", "revoked"]);
}

#[test]
fn no_record_has_a_previous_secret_that_outlives_its_key() {
    let issued = issue(team("core", full("all")), Validity::NEVER_EXPIRES, 1);
    for not_before in [None, Some(at(0))] {
        for (ends, expires, is_record) in [(10, Some(10), true), (11, Some(10), false), (11, None, true)] {
            let mut parts = RecordParts::from(issued.key.record().clone());
            (parts.not_before, parts.expires_at) = (not_before, expires.map(at));
            parts.previous =
                Some(PreviousSecret { digest: issued.token.digest(), ends_at: at(ends), last_used_at: None });
            let refused = (!is_record).then_some(InvalidRecord::OverlapOutlivesKey);
            assert_eq!(KeyRecord::try_from(parts).err(), refused);
        }
    }
}
