//! What types are and are not: auto traits, absent traits, sizes, and futures that may move between threads.

use core::{future::Future, hash::Hash, marker::PhantomData, panic::UnwindSafe};

use keygate::{
    ActingKey, Action, ActionKind, ActionName, Actor, AuthenticatedKey, Authorization, Denial, DeniedKey, Gate, Grant,
    Incarnation, InvalidText, Issued, Issuer, KeyId, KeyManager, KeyName, KeyRecord, Labels, ManageError, Membership,
    MemoryDirectory, MemoryStore, NewKeySpec, NonEmptySet, OwnAction, OwnActions, Owner, Permission, PermissionLevel,
    Randomness, RandomnessError, Reason, Request, RevocationCause, RotatedKey, Rotation, Scope, Status, System,
    SystemRandomness, TeamRole, Token, Unauthenticated, Unavailable, UnixTime, UserStatus, Validity, Verdict,
    audit::{Event, EventDraft, EventId, Principal, RefusalReason},
    http::Credential,
    legacy::{InvalidHash, InvalidLegacyKey, LegacyFormat, LegacyKey, StoredHash, UnverifiedLegacyKey},
    manage::{Create, Import, ManageDenial, MintRules, Minted, MintedSecret, Permit, Revoke, Upgrade},
    policy::{Allow, Decision},
    scan::{RedactingWriter, Scanner, TokenMatch},
    sink::{AuditSink, ChannelSink, NoSink, SinkCapacity, SinkReceivers, UsageCounter},
    stages::{AcceptedKeys, MembershipQuery, PresentedKey},
    store::{
        Answer, Batch, BoxedDirectory, BoxedError, BoxedKeyManagementStore, BoxedKeyStore, ChangeFeed, Changes,
        Conflict, KeyChange, KeyManagementStore, KeyStore, KeysOf, ListQuery, Logged, NewKey, RecordParts, Revision,
        RevokeAll, SecretChange, SecretDigest, SecretSlot, Step, Touch,
    },
    verify::{DisplayToken, GenerateError, InvalidKey, MatchedKey, ParseTokenError, UnverifiedToken},
};

use crate::common::{KG, TestClock, personal, request, rng, root, system, text};

/// What is so where no inherent constant goes before it.
trait Otherwise {
    const _HAS: bool = false;
}

/// Returns `true` if a type has a trait: an inherent constant, where its bound holds, goes before that of a trait. The
/// underscore says that one of the two is never used.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        struct Probe<T: ?Sized>(PhantomData<T>);
        impl<T: ?Sized> Otherwise for Probe<T> {}
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const _HAS: bool = true;
        }
        Probe::<$type>::_HAS
    }};
}

macro_rules! assert_has {
    ($bound:path: $($type:ty),+ $(,)?) => {
        $(assert!(has!($type: $bound), "{} is not {}", stringify!($type), stringify!($bound));)+
    };
}

macro_rules! assert_has_not {
    ($bound:path: $($type:ty),+ $(,)?) => {
        $(assert!(!has!($type: $bound), "{} is {}", stringify!($type), stringify!($bound));)+
    };
}

#[test]
fn the_probe_tells_both() {
    assert_has!(Clone: u8, String);
    assert_has_not!(Clone: std::sync::Mutex<u8>);
    assert_has_not!(Send: std::rc::Rc<u8>);
}

/// Everything may go where the service's threads are.
#[test]
fn all_types_are_send_and_sync() {
    macro_rules! assert_send_and_sync {
        ($($type:ty),+ $(,)?) => {
            assert_has!(Send: $($type),+);
            assert_has!(Sync: $($type),+);
        };
    }
    assert_send_and_sync!(Token, UnverifiedToken, SecretDigest, KeyRecord, NewKey, SecretChange, MatchedKey);
    assert_send_and_sync!(Decision<'static>, Allow<'static>, Authorization, AuthenticatedKey, Denial, DeniedKey);
    assert_send_and_sync!(Permit<Revoke>, Permit<Create>, Permit<Import>, Actor, ActingKey, System, Issued, Minted);
    assert_send_and_sync!(Gate<MemoryStore, MemoryDirectory>, AcceptedKeys, PresentedKey, MembershipQuery<'static>);
    assert_send_and_sync!(Verdict, UsageCounter, Event, EventDraft, KeyChange, RevokeAll, Step, MintedSecret);
    assert_send_and_sync!(BoxedKeyStore, BoxedKeyManagementStore, BoxedDirectory, BoxedError);
    assert_send_and_sync!(MemoryStore, MemoryDirectory, KeyManager<MemoryStore>, RotatedKey, Scope<KeyName>);
    assert_send_and_sync!(Scanner, TokenMatch<'static>, RedactingWriter<String>, MintRules, OwnActions, Labels);
    assert_send_and_sync!(LegacyFormat, UnverifiedLegacyKey, LegacyKey, StoredHash, Upgrade, Import);
    assert_send_and_sync!(ChannelSink, NoSink, dyn AuditSink, dyn Randomness, SystemRandomness);
    // A receiver is for one thread at a time, and may go to any.
    assert_has!(Send: SinkReceivers);
    assert_has!(UnwindSafe: Token, KeyRecord, MatchedKey, Decision<'static>, Authorization);
}

/// Absence is a decision: each of these would be a way around a check.
#[test]
fn what_secrets_and_proofs_are_not() {
    // A secret has one door out.
    assert_has_not!(Clone: Token, UnverifiedToken, Issued, Minted, MintedSecret, RotatedKey, Credential);
    assert_has_not!(core::fmt::Display: Token, UnverifiedToken, Issued, Minted, MintedSecret, RotatedKey, Credential);
    assert_has_not!(core::fmt::Display: MatchedKey, AuthenticatedKey, KeyRecord, TokenMatch<'static>);
    assert_has_not!(serde::Serialize: Token, UnverifiedToken, Issued, Minted, MintedSecret, RotatedKey, Credential);
    assert_has_not!(serde::Serialize: NewKey, KeyChange, RevokeAll, SecretChange);
    // A hash of another system has no way out but into a record.
    assert_has_not!(Clone: UnverifiedLegacyKey);
    assert_has_not!(core::fmt::Display: UnverifiedLegacyKey, LegacyKey, StoredHash);
    assert_has_not!(serde::Serialize: UnverifiedLegacyKey, LegacyKey, StoredHash);
    assert_has_not!(PartialEq: UnverifiedLegacyKey, LegacyKey, StoredHash, Credential);
    assert_has_not!(AsRef<str>: Token, Credential);
    assert_has_not!(core::ops::Deref: Token, Credential);
    assert_has_not!(core::borrow::Borrow<str>: Token, Credential);
    assert_has_not!(Hash: Token, SecretDigest, Credential);
    // No order: comparing byte by byte would tell where two differ.
    assert_has_not!(PartialOrd: Token, SecretDigest, KeyRecord);
    // A proof is made by the check and read from nowhere; a permit is used by one.
    assert_has_not!(serde::de::DeserializeOwned: MatchedKey, AuthenticatedKey, Authorization, Denial, DeniedKey);
    assert_has_not!(serde::de::DeserializeOwned: Permit<Revoke>, Token, NewKey, KeyChange, RevokeAll, EventDraft);
    assert_has_not!(serde::de::DeserializeOwned: Actor, System, ActingKey, Membership, UserStatus);
    assert_has_not!(serde::Serialize: MatchedKey, AuthenticatedKey, Authorization, DeniedKey, Permit<Revoke>);
    assert_has_not!(Clone: Permit<Revoke>, Permit<Create>, Permit<Import>, PresentedKey);
    assert_has!(Clone: MatchedKey, AuthenticatedKey, Authorization, Allow<'static>, Decision<'static>, Verdict, NewKey);
    // An event is what a log keeps, so it is written and read.
    assert_has!(serde::Serialize: Event, EventId, KeyRecord, RecordParts, Grant, Labels, Incarnation);
    assert_has!(serde::de::DeserializeOwned: Event, EventId, KeyRecord, RecordParts, Grant, Labels, Incarnation);
    // The one who mints a key chooses.
    assert_has_not!(Default: Permission, PermissionLevel, Grant, Owner, Validity, Scope<KeyName>, Status, Membership);
    assert_has_not!(Default: NonEmptySet<KeyName>, UserStatus, RevocationCause, OwnAction, OwnActions, ActionName);
    assert_has_not!(Default: Token, KeyId, Issuer, UnixTime, SecretDigest, KeyRecord, RecordParts, Rotation);
    assert_has_not!(Default: Gate<MemoryStore>, KeyManager<MemoryStore>, NewKeySpec, System, Actor, EventId);
}

#[test]
fn values_are_what_maps_and_tests_need() {
    assert_has!(Copy: KeyId, Issuer, UnixTime, SecretDigest, Denial, ManageDenial, Decision<'static>, Allow<'static>);
    assert_has!(Copy: LegacyFormat, LegacyKey, StoredHash, MintRules, OwnAction, OwnActions, AcceptedKeys);
    assert_has!(Copy: Reason, ActionKind, PermissionLevel, Membership, UserStatus, Status, Validity, DisplayToken);
    assert_has!(Copy: SecretChange, Touch, RevocationCause, Incarnation, EventId, RefusalReason, Revision, ListQuery);
    assert_has!(Hash: KeyId, KeyName, Issuer, UnixTime, Owner, PermissionLevel, Reason, DisplayToken, Denial);
    assert_has!(Hash: ActionName, Labels, Incarnation, Membership, EventId, Principal, RefusalReason, Revision);
    assert_has!(Ord: KeyId, KeyName, Issuer, UnixTime, Owner, PermissionLevel, ActionName, EventId, Incarnation);
    assert_has!(Eq: SecretDigest, KeyRecord, RecordParts, Grant, Request, NewKeySpec, Conflict, Answer<Logged>);
    // What an event keeps may be a fraction, which is not always equal to itself.
    assert_has!(PartialEq: Event, NewKey, KeyChange, RevokeAll, Step, Batch<Logged>);
}

#[test]
fn errors_are_errors_that_may_go_anywhere() {
    macro_rules! errors {
        ($($type:ty),+ $(,)?) => {
            $(assert!(has!($type: core::error::Error + Send + Sync + 'static), "{}", stringify!($type));)+
        };
    }
    errors!(InvalidText, ParseTokenError, GenerateError, InvalidKey, Denial, ManageDenial, Unauthenticated, Conflict);
    errors!(
        keygate::store::InvalidDigest,
        keygate::UnknownKind,
        keygate::UnknownLevel,
        keygate::InvalidScope,
        BoxedError
    );
    errors!(InvalidLegacyKey, InvalidHash, keygate::manage::ImportError);
    errors!(keygate::InvalidValidity, keygate::InvalidLabels, keygate::store::InvalidRecord, RandomnessError);
    errors!(keygate::manage::RotateError, keygate::manage::MintError, keygate::manage::PermitError);
    errors!(keygate::audit::InvalidEventId, keygate::audit::UnknownRefusal, keygate::audit::UnknownOperation);
    errors!(ManageError<BoxedError, core::convert::Infallible>, Unavailable<BoxedError, core::convert::Infallible>);
    errors!(keygate::AuthenticateError<BoxedError, core::convert::Infallible>);
}

/// What each request makes or passes on stays small, and so does what stores keep by the million.
#[test]
fn sizes() {
    let word = size_of::<usize>();
    let table = [
        ("a reason, an action, what it would show, and who covers it", size_of::<Denial>(), 4),
        ("a reason, an operation, and what it would show", size_of::<ManageDenial>(), 3),
        ("two references and a time, or a denial", size_of::<Decision<'_>>(), 2 * word + 8),
        ("two references and a time", size_of::<Allow<'_>>(), 2 * word + 8),
        ("the symbols of an id, and no length", size_of::<KeyId>(), 16),
        ("28 bytes of hash, and the algorithm where the other four were", size_of::<SecretDigest>(), 32),
        ("one word: as an integer", size_of::<UnixTime>(), 8),
        ("a shared record, a slot, a time, and where a digest is that may be saved", size_of::<MatchedKey>(), 4 * word),
        ("a matched key, and when it was usable", size_of::<AuthenticatedKey>(), 4 * word + 8),
        ("ten symbols and their number", size_of::<Issuer>(), 11),
        ("its rule", size_of::<ParseTokenError>(), 1),
        ("nothing: detail would be an oracle", size_of::<InvalidKey>(), 0),
        ("a rule and the grammar's words", size_of::<InvalidText>(), 2 * word),
        ("one shared text", size_of::<KeyName>(), 2 * word),
        ("everything, or one shared set", size_of::<keygate::ModelScope>(), word),
        ("one shared error costs a failing look-up only", size_of::<BoxedError>(), 2 * word),
    ];
    for (why, size, expected) in table {
        assert_eq!(size, expected, "{why}");
    }
    // What `check` returns by value.
    assert!(size_of::<UnverifiedToken>() <= 72, "{}", size_of::<UnverifiedToken>());
    // A request has the name of an own action in it, which a constant can hold: it is not on the heap.
    assert!(size_of::<Request>() <= 120, "{}", size_of::<Request>());
    assert!(size_of::<Authorization>() <= 152, "{}", size_of::<Authorization>());
    assert!(size_of::<Verdict>() <= 168, "{}", size_of::<Verdict>());
    assert!(size_of::<KeyRecord>() <= 312, "{}", size_of::<KeyRecord>());
    // An absent one costs nothing.
    assert_eq!(size_of::<Option<MatchedKey>>(), size_of::<MatchedKey>());
}

/// Runs a future on another thread: it is `Send`, or this does not compile.
fn elsewhere<F: Future<Output: Send + 'static> + Send>(future: F) -> F::Output {
    std::thread::scope(|scope| scope.spawn(|| pollster::block_on(future)).join().unwrap())
}

#[test]
fn futures_may_move_between_threads() {
    let (store, directory) = (BoxedKeyManagementStore::new(MemoryStore::new()), MemoryDirectory::new());
    directory.set_member(text("ada"), text("core"), TeamRole::Member);
    let clock = TestClock::new(100);
    let keys = KeyManager::with_parts(KG, store.clone(), clock.reader(), rng(1))
        .with_directory(BoxedDirectory::new(directory.clone()));
    let gate = Gate::with_clock(KG, BoxedKeyStore::new(store.clone()), clock.reader()).with_directory(directory);
    let spec = |user, name| NewKeySpec::new(personal(user), text(name), Validity::NEVER_EXPIRES);

    let issued = elsewhere(keys.create(&system(), spec("ada", "laptop"))).unwrap();
    let (id, token) = (issued.record.id(), issued.token.expose_secret());
    assert!(elsewhere(store.find(id)).unwrap().is_some());
    let asked = request("core", Action::Deploy);
    let Verdict::Allowed(authorization) = elsewhere(gate.check(token, &asked)).unwrap() else { panic!("a member") };
    let key = elsewhere(gate.authenticate(token)).unwrap();
    assert!(matches!(elsewhere(gate.authorize(&key, &asked)).unwrap(), Verdict::Allowed(_)));
    assert!(matches!(elsewhere(gate.check_again(&authorization)).unwrap(), Verdict::Allowed(_)));
    assert!(!elsewhere(keys.upgrade(key.matched())).unwrap());

    let stored = LegacyFormat::custom("old", |_| None).stored(None, text(&"5c".repeat(32))).unwrap();
    let import = Import::new(stored, personal("ada"), text("old"), Validity::NEVER_EXPIRES, clock.now());
    elsewhere(keys.import(&root(), import)).unwrap();

    let rotated = elsewhere(keys.rotate(&system(), id, Rotation::CutOver)).unwrap();
    assert_eq!(rotated.token.id(), id);
    elsewhere(keys.end_overlap(&system(), id)).unwrap();
    elsewhere(keys.rename(&system(), id, text("desktop"))).unwrap();
    elsewhere(keys.set_labels(&system(), id, Labels::NONE)).unwrap();
    elsewhere(keys.disable(&system(), id)).unwrap();
    elsewhere(keys.enable(&system(), id)).unwrap();
    let owner = || Owner::Personal(text("ada"));
    assert_eq!(elsewhere(keys.list(&system(), owner(), ListQuery::new())).unwrap().records.len(), 2);
    assert_eq!(elsewhere(keys.list_all(&root(), KeysOf::All, ListQuery::new())).unwrap().records.len(), 2);
    elsewhere(keys.revoke(&system(), id, RevocationCause::Requested)).unwrap();
    assert_eq!(elsewhere(keys.revoke_leaked([rotated.token.expose_secret()])).len(), 0);
    assert_eq!(elsewhere(keys.revoke_all(&root(), owner(), RevocationCause::Replaced)).unwrap().len(), 1);
    assert_eq!(elsewhere(keys.deprovision(&root(), &text("bob"))).unwrap(), []);

    let touch = Touch::new(id, SecretSlot::Current, clock.now());
    elsewhere(store.touch(vec![touch], clock.now())).unwrap();
    assert!(matches!(elsewhere(MemoryStore::new().changes_since(None)).unwrap(), Changes::Everything { .. }));
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let gate = gate.with_sink(sink);
    assert!(matches!(elsewhere(gate.check("no token", &asked)).unwrap(), Verdict::Unauthenticated(_)));
    assert_eq!(receivers.strangers.try_iter().count(), 1);
}

/// A generator of another crate is a `Randomness` behind a lock, and one that failed or panicked is not used.
#[cfg(feature = "rand_core")]
#[test]
fn a_locked_generator_is_a_randomness() {
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
    use std::sync::{Arc, Mutex};

    let generator = || Arc::new(Mutex::new(ChaCha20Rng::from_seed([1; 32])));
    let fill = |generator: &dyn Randomness| {
        let mut bytes = [0; 16];
        generator.fill(&mut bytes).map(|()| bytes)
    };
    assert_eq!(fill(&generator()), fill(&rng(1)), "equal seeds give equal bytes");
    let borrowed: &Mutex<_> = &generator();
    assert_eq!(fill(&borrowed), fill(&rng(1)), "a reference is a randomness, too");
    let (poisoned, other) = (generator(), generator());
    let result = std::thread::spawn({
        let poisoned = Arc::clone(&poisoned);
        move || {
            let _guard = poisoned.lock().unwrap();
            panic!("in the middle of its work");
        }
    })
    .join();
    assert!(result.is_err());
    assert_eq!(fill(&poisoned), Err(RandomnessError::new()));
    assert!(fill(&other).is_ok());
}
