//! What types are and are not: auto traits, absent traits, sizes, and futures that may move between threads.
#![cfg(all(feature = "memory", feature = "serde"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use core::{future::Future, hash::Hash, marker::PhantomData, panic::UnwindSafe};
use std::sync::Arc;

use common::{KG, at, operator, personal, request, rng, text};
use keygate::{
    Action, ActionKind, Actor, Allow, Authorization, BoxError, BoxedKeyStore, BoxedManagedKeyStore, Create, Decision,
    Denial, Event, Found, Gate, GenerateError, Grant, Import, InvalidKey, InvalidText, Issued, Issuer, KeyId,
    KeyManager, KeyName, KeyRecord, KeyStore, List, Lookup, ManageDenial, ManageError, MemoryStandings, MemoryStore,
    NewKey, Owner, PageRequest, ParseTokenError, Permission, PermissionLevel, Permit, PublicToken, Question, Reason,
    RecordParts, RedactingWriter, Refusal, Reminted, Request, Revoke, Rotate, Rotation, Scanner, Scope, SecretChange,
    SecretDigest, Standing, Status, Token, Unauthenticated, Unavailable, UnixTime, UnverifiedToken, Upgrade, Uses,
    Validity, Verdict, VerifiedKey,
    foreign::{Fingerprint, ForeignFormat, InvalidForeign, InvalidHash, StoredHash, UnverifiedForeign},
    may_manage,
};

/// What is so where no inherent constant goes before it.
trait Otherwise {
    const _HAS: bool = false;
}

/// Tells whether a type has a trait: an inherent constant, where its bound holds, goes before that of a trait. The
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
    assert_has!(Send: Token, UnverifiedToken, SecretDigest, KeyRecord, NewKey, SecretChange, VerifiedKey);
    assert_has!(Sync: Token, UnverifiedToken, SecretDigest, KeyRecord, NewKey, SecretChange, VerifiedKey);
    assert_has!(Send: Decision<'static>, Allow<'static>, Authorization, Denial, Permit<Revoke>, Actor<'static>, Issued);
    assert_has!(Sync: Decision<'static>, Allow<'static>, Authorization, Denial, Permit<Revoke>, Actor<'static>, Issued);
    assert_has!(Send: Gate, Lookup, Question<'static>, Verdict, Uses, Event, BoxedKeyStore, BoxedManagedKeyStore);
    assert_has!(Sync: Gate, Lookup, Question<'static>, Verdict, Uses, Event, BoxedKeyStore, BoxedManagedKeyStore);
    assert_has!(Send: MemoryStore, MemoryStandings, KeyManager<MemoryStore>, Reminted, BoxError, Scope<KeyName>);
    assert_has!(Sync: MemoryStore, MemoryStandings, KeyManager<MemoryStore>, Reminted, BoxError, Scope<KeyName>);
    assert_has!(Send: Scanner, Found<'static>, RedactingWriter<String>);
    assert_has!(Sync: Scanner, Found<'static>, RedactingWriter<String>);
    assert_has!(Send: ForeignFormat, UnverifiedForeign, Fingerprint, StoredHash, Upgrade);
    assert_has!(Sync: ForeignFormat, UnverifiedForeign, Fingerprint, StoredHash, Upgrade);
    assert_has!(UnwindSafe: Token, KeyRecord, VerifiedKey, Decision<'static>, Authorization);
}

/// Absence is a decision: each of these would be a way around a check.
#[test]
fn what_secrets_and_proofs_are_not() {
    // A secret has one door out.
    assert_has_not!(Clone: Token, UnverifiedToken, Issued, Reminted);
    assert_has_not!(core::fmt::Display: Token, UnverifiedToken, Issued, Reminted, VerifiedKey, KeyRecord, Found<'static>);
    assert_has_not!(serde::Serialize: Token, UnverifiedToken, Issued, Reminted, NewKey, SecretChange);
    // Nor has what was hashed elsewhere a way out but into a record.
    assert_has_not!(Clone: UnverifiedForeign, Upgrade);
    assert_has_not!(core::fmt::Display: UnverifiedForeign, Fingerprint, StoredHash);
    assert_has_not!(serde::Serialize: UnverifiedForeign, Fingerprint, StoredHash);
    assert_has_not!(PartialEq: UnverifiedForeign, Fingerprint, StoredHash);
    assert_has_not!(AsRef<str>: Token);
    assert_has_not!(core::ops::Deref: Token);
    assert_has_not!(core::borrow::Borrow<str>: Token);
    assert_has_not!(Hash: Token, SecretDigest);
    // No order: comparing byte by byte would tell where two differ.
    assert_has_not!(PartialOrd: Token, SecretDigest, KeyRecord);
    // A proof is made by the check and read from nowhere; a permit is used by one.
    assert_has_not!(serde::de::DeserializeOwned: VerifiedKey, Authorization, Denial, Permit<Revoke>, Event, Token, NewKey);
    assert_has_not!(serde::Serialize: VerifiedKey, Authorization, Permit<Revoke>);
    assert_has_not!(Clone: Permit<Revoke>, Permit<Create>, Lookup);
    assert_has!(Clone: VerifiedKey, Authorization, Allow<'static>, Decision<'static>, Verdict, NewKey);
    // Whoever mints a key chooses.
    assert_has_not!(Default: Permission, PermissionLevel, Grant, Owner, Validity, Scope<KeyName>, Status, Standing);
    assert_has_not!(Default: Token, KeyId, Issuer, UnixTime, SecretDigest, KeyRecord, RecordParts, Gate, Rotation);
}

#[test]
fn values_are_what_maps_and_tests_need() {
    assert_has!(Copy: KeyId, Issuer, UnixTime, SecretDigest, Denial, ManageDenial, Decision<'static>, Allow<'static>);
    assert_has!(Copy: ForeignFormat, Fingerprint, StoredHash);
    assert_has!(Copy: Gate, Reason, ActionKind, PermissionLevel, Standing, Status, Validity, PublicToken, SecretChange);
    assert_has!(Hash: KeyId, KeyName, Issuer, UnixTime, Owner, PermissionLevel, Reason, PublicToken, Denial);
    assert_has!(Ord: KeyId, KeyName, Issuer, UnixTime, Owner, PermissionLevel);
    assert_has!(Eq: SecretDigest, KeyRecord, RecordParts, Grant, Event, Request);
}

#[test]
fn errors_are_errors_that_may_go_anywhere() {
    macro_rules! errors {
        ($($type:ty),+ $(,)?) => {
            $(assert!(has!($type: core::error::Error + Send + Sync + 'static), "{}", stringify!($type));)+
        };
    }
    errors!(InvalidText, ParseTokenError, GenerateError, InvalidKey, Denial, ManageDenial, Unauthenticated, Refusal);
    errors!(keygate::InvalidDigest, keygate::UnknownKind, keygate::UnknownLevel, keygate::InvalidScope, BoxError);
    errors!(InvalidForeign, InvalidHash, keygate::ImportError);
    errors!(keygate::InvalidValidity, keygate::InvalidRecord, keygate::RotateError, ManageError<BoxError>);
    errors!(Unavailable<BoxError, core::convert::Infallible>);
}

/// What each request makes or passes on stays small, and so does what stores keep by the million.
#[test]
fn sizes() {
    let word = size_of::<usize>();
    let table = [
        ("a reason and an action", size_of::<Denial>(), 2),
        ("a denial, and whether there is an id, in words as the id is", size_of::<ManageDenial>(), 16 + 16),
        ("two references, or a denial", size_of::<Decision<'_>>(), 2 * word),
        ("two references", size_of::<Allow<'_>>(), 2 * word),
        ("the symbols of an id, and no length", size_of::<KeyId>(), 16),
        ("28 bytes of hash, and the algorithm where the other four were", size_of::<SecretDigest>(), 32),
        ("one word: as an integer", size_of::<UnixTime>(), 8),
        ("a shared record, a slot, and where a digest is that may be saved", size_of::<VerifiedKey>(), 3 * word),
        ("ten symbols and their number", size_of::<Issuer>(), 11),
        ("its rule, in a word as what it stands beside", size_of::<ParseTokenError>(), 8),
        ("nothing: detail would be an oracle", size_of::<InvalidKey>(), 0),
        ("a rule and the grammar's words", size_of::<InvalidText>(), 2 * word),
        ("one shared text", size_of::<KeyName>(), 2 * word),
        ("everything, or one shared set", size_of::<keygate::ModelScope>(), word),
        ("one shared error costs a failing look-up only", size_of::<BoxError>(), 2 * word),
    ];
    for (why, size, expected) in table {
        assert_eq!(size, expected, "{why}");
    }
    // What `check` returns by value.
    assert!(size_of::<UnverifiedToken>() <= 72, "{}", size_of::<UnverifiedToken>());
    assert!(size_of::<Authorization>() <= 80, "{}", size_of::<Authorization>());
    assert!(size_of::<Verdict>() <= 80, "{}", size_of::<Verdict>());
    assert!(size_of::<KeyRecord>() <= 256, "{}", size_of::<KeyRecord>());
    // An absent one costs nothing.
    assert_eq!(size_of::<Option<VerifiedKey>>(), size_of::<VerifiedKey>());
}

/// Runs a future on another thread: it is `Send`, or this does not compile.
fn elsewhere<F: Future<Output: Send + 'static> + Send>(future: F) -> F::Output {
    std::thread::scope(|scope| scope.spawn(|| pollster::block_on(future)).join().unwrap())
}

#[test]
fn futures_may_move_between_threads() {
    let (store, standings) = (BoxedManagedKeyStore::new(MemoryStore::new()), MemoryStandings::new());
    standings.set_member(text("ada"), text("core"), Standing::Member);
    let manager = KeyManager::new(KG, store.clone());
    let now = at(100);
    let mut source = rng(1);

    let permit = may_manage(&operator(), Create(personal("ada")), None, now).unwrap();
    let create = manager.create(permit, text("laptop"), Validity::UNLIMITED, &mut source, now);
    let issued = elsewhere(create).unwrap();
    let find = || elsewhere(store.find(issued.token.id())).unwrap().unwrap();

    let asked = request("core", Action::Deploy);
    let gate = Gate::new(KG);
    let verdict = elsewhere(gate.check(&store, &standings, issued.token.expose_secret(), &asked, now)).unwrap();
    assert!(matches!(verdict, Verdict::Allowed(_)));
    let key = elsewhere(gate.authenticate(&store, issued.token.expose_secret(), now)).unwrap().unwrap();
    // A decision borrows, so it is looked at where it was made.
    let authorize = async { gate.authorize(&standings, &key, &asked, now).await.map(|decision| decision.is_allowed()) };
    assert!(elsewhere(authorize).unwrap());
    assert!(elsewhere(gate.exposed(&store, issued.token.expose_secret(), now)).unwrap().is_some());

    assert!(elsewhere(manager.upgrade(&key, now)).unwrap().is_none());
    let fingerprint = ForeignFormat::custom("old", |_| None).stored(None, text(&"5c".repeat(32))).unwrap();
    let import = Import { fingerprint, name: text("old"), validity: Validity::UNLIMITED, created_at: now };
    let create = may_manage(&operator(), Create(personal("bob")), None, now).unwrap();
    elsewhere(manager.import(create, import, now)).unwrap();

    let permit = |record: Arc<KeyRecord>| may_manage(&operator(), Rotate(record), None, now).unwrap();
    let rotate = manager.rotate(permit(find()), Rotation::CutOver, &mut source, now);
    let reminted = elsewhere(rotate).unwrap();
    assert_eq!(reminted.token.id(), issued.token.id());
    elsewhere(manager.end_overlap(permit(find()), now)).unwrap();
    let rename = may_manage(&operator(), keygate::Rename(find()), None, now).unwrap();
    elsewhere(manager.rename(rename, text("desktop"), now)).unwrap();
    let disable = may_manage(&operator(), keygate::Disable(find()), None, now).unwrap();
    elsewhere(manager.disable(disable, now)).unwrap();
    let enable = may_manage(&operator(), keygate::Enable(find()), None, now).unwrap();
    elsewhere(manager.enable(enable, now)).unwrap();
    let page = PageRequest { after: None, limit: 1.try_into().unwrap() };
    let list = may_manage(&operator(), List(find().grant().owner()), None, now).unwrap();
    assert_eq!(elsewhere(manager.list(list, page)).unwrap().records.len(), 1);
    let revoke = may_manage(&operator(), Revoke(find()), None, now).unwrap();
    elsewhere(manager.revoke(revoke, now)).unwrap();
    let root = keygate::Operator::because("a test").unwrap();
    let created = elsewhere(manager.list_created_by(&root, keygate::Creator::Operator, page)).unwrap();
    assert_eq!(created.records.len(), 1);
    let owner = || Owner::Personal(text("ada"));
    assert_eq!(elsewhere(manager.revoke_all_dry_run(&root, owner(), now)).unwrap(), []);
    assert_eq!(elsewhere(manager.revoke_all(&root, owner(), now)).unwrap(), []);
}
