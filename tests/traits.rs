//! What types are and are not: auto traits, absent traits, sizes, and futures that may move between threads.
#![cfg(all(feature = "memory", feature = "serde"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use core::{future::Future, hash::Hash, marker::PhantomData, panic::UnwindSafe};
use std::sync::Arc;

use common::{KG, at, personal, request, rng, system, text};
use keygate::{
    Action, ActionKind, Actor, Allow, Authorization, BoxError, BoxedKeyManagementStore, BoxedKeyStore, Conflict,
    Create, Decision, Denial, DisplayToken, Event, Gate, GenerateError, Grant, Import, InvalidKey, InvalidText, Issued,
    Issuer, KeyId, KeyManager, KeyName, KeyRecord, KeyStore, List, ManageDenial, ManageError, MatchedKey, Membership,
    MembershipQuery, MemoryDirectory, MemoryStore, NewKey, Owner, PageRequest, ParseTokenError, Permission,
    PermissionLevel, Permit, PresentedKey, Reason, RecordParts, RedactingWriter, Request, Revoke, Rotate, RotatedKey,
    Rotation, Scanner, Scope, SecretChange, SecretDigest, Status, Token, TokenMatch, Unauthenticated, Unavailable,
    UnixTime, UnverifiedToken, Upgrade, UsageCounter, Validity, Verdict, authorize_operation,
    legacy::{InvalidHash, InvalidLegacyKey, LegacyFormat, LegacyKey, StoredHash, UnverifiedLegacyKey},
};

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
    assert_has!(Send: Token, UnverifiedToken, SecretDigest, KeyRecord, NewKey, SecretChange, MatchedKey);
    assert_has!(Sync: Token, UnverifiedToken, SecretDigest, KeyRecord, NewKey, SecretChange, MatchedKey);
    assert_has!(Send: Decision<'static>, Allow<'static>, Authorization, Denial, Permit<Revoke>, Actor<'static>, Issued);
    assert_has!(Sync: Decision<'static>, Allow<'static>, Authorization, Denial, Permit<Revoke>, Actor<'static>, Issued);
    assert_has!(Send: Gate, PresentedKey, MembershipQuery<'static>, Verdict, UsageCounter, Event, BoxedKeyStore, BoxedKeyManagementStore);
    assert_has!(Sync: Gate, PresentedKey, MembershipQuery<'static>, Verdict, UsageCounter, Event, BoxedKeyStore, BoxedKeyManagementStore);
    assert_has!(Send: MemoryStore, MemoryDirectory, KeyManager<MemoryStore>, RotatedKey, BoxError, Scope<KeyName>);
    assert_has!(Sync: MemoryStore, MemoryDirectory, KeyManager<MemoryStore>, RotatedKey, BoxError, Scope<KeyName>);
    assert_has!(Send: Scanner, TokenMatch<'static>, RedactingWriter<String>);
    assert_has!(Sync: Scanner, TokenMatch<'static>, RedactingWriter<String>);
    assert_has!(Send: LegacyFormat, UnverifiedLegacyKey, LegacyKey, StoredHash, Upgrade);
    assert_has!(Sync: LegacyFormat, UnverifiedLegacyKey, LegacyKey, StoredHash, Upgrade);
    assert_has!(UnwindSafe: Token, KeyRecord, MatchedKey, Decision<'static>, Authorization);
}

/// Absence is a decision: each of these would be a way around a check.
#[test]
fn what_secrets_and_proofs_are_not() {
    // A secret has one door out.
    assert_has_not!(Clone: Token, UnverifiedToken, Issued, RotatedKey);
    assert_has_not!(core::fmt::Display: Token, UnverifiedToken, Issued, RotatedKey, MatchedKey, KeyRecord, TokenMatch<'static>);
    assert_has_not!(serde::Serialize: Token, UnverifiedToken, Issued, RotatedKey, NewKey, SecretChange);
    // Nor has what was hashed elsewhere a way out but into a record.
    assert_has_not!(Clone: UnverifiedLegacyKey, Upgrade);
    assert_has_not!(core::fmt::Display: UnverifiedLegacyKey, LegacyKey, StoredHash);
    assert_has_not!(serde::Serialize: UnverifiedLegacyKey, LegacyKey, StoredHash);
    assert_has_not!(PartialEq: UnverifiedLegacyKey, LegacyKey, StoredHash);
    assert_has_not!(AsRef<str>: Token);
    assert_has_not!(core::ops::Deref: Token);
    assert_has_not!(core::borrow::Borrow<str>: Token);
    assert_has_not!(Hash: Token, SecretDigest);
    // No order: comparing byte by byte would tell where two differ.
    assert_has_not!(PartialOrd: Token, SecretDigest, KeyRecord);
    // A proof is made by the check and read from nowhere; a permit is used by one.
    assert_has_not!(serde::de::DeserializeOwned: MatchedKey, Authorization, Denial, Permit<Revoke>, Event, Token, NewKey);
    assert_has_not!(serde::Serialize: MatchedKey, Authorization, Permit<Revoke>);
    assert_has_not!(Clone: Permit<Revoke>, Permit<Create>, PresentedKey);
    assert_has!(Clone: MatchedKey, Authorization, Allow<'static>, Decision<'static>, Verdict, NewKey);
    // Whoever mints a key chooses.
    assert_has_not!(Default: Permission, PermissionLevel, Grant, Owner, Validity, Scope<KeyName>, Status, Membership);
    assert_has_not!(Default: Token, KeyId, Issuer, UnixTime, SecretDigest, KeyRecord, RecordParts, Gate, Rotation);
}

#[test]
fn values_are_what_maps_and_tests_need() {
    assert_has!(Copy: KeyId, Issuer, UnixTime, SecretDigest, Denial, ManageDenial, Decision<'static>, Allow<'static>);
    assert_has!(Copy: LegacyFormat, LegacyKey, StoredHash);
    assert_has!(Copy: Gate, Reason, ActionKind, PermissionLevel, Membership, Status, Validity, DisplayToken, SecretChange);
    assert_has!(Hash: KeyId, KeyName, Issuer, UnixTime, Owner, PermissionLevel, Reason, DisplayToken, Denial);
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
    errors!(InvalidText, ParseTokenError, GenerateError, InvalidKey, Denial, ManageDenial, Unauthenticated, Conflict);
    errors!(keygate::InvalidDigest, keygate::UnknownKind, keygate::UnknownLevel, keygate::InvalidScope, BoxError);
    errors!(InvalidLegacyKey, InvalidHash, keygate::ImportError);
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
        ("a shared record, a slot, and where a digest is that may be saved", size_of::<MatchedKey>(), 3 * word),
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
    assert_eq!(size_of::<Option<MatchedKey>>(), size_of::<MatchedKey>());
}

/// Runs a future on another thread: it is `Send`, or this does not compile.
fn elsewhere<F: Future<Output: Send + 'static> + Send>(future: F) -> F::Output {
    std::thread::scope(|scope| scope.spawn(|| pollster::block_on(future)).join().unwrap())
}

#[test]
fn futures_may_move_between_threads() {
    let (store, directory) = (BoxedKeyManagementStore::new(MemoryStore::new()), MemoryDirectory::new());
    directory.set_member(text("ada"), text("core"), Membership::Member);
    let manager = KeyManager::new(KG, store.clone());
    let now = at(100);
    let mut source = rng(1);

    let permit = authorize_operation(&system(), Create(personal("ada")), None, now).unwrap();
    let create = manager.create(permit, text("laptop"), Validity::NEVER_EXPIRES, &mut source, now);
    let issued = elsewhere(create).unwrap();
    let find = || elsewhere(store.find(issued.token.id())).unwrap().unwrap();

    let asked = request("core", Action::Deploy);
    let gate = Gate::new(KG);
    let verdict = elsewhere(gate.check(&store, &directory, issued.token.expose_secret(), &asked, now)).unwrap();
    assert!(matches!(verdict, Verdict::Allowed(_)));
    let key = elsewhere(gate.authenticate(&store, issued.token.expose_secret(), now)).unwrap().unwrap();
    // A decision borrows, so it is looked at where it was made.
    let authorize = async { gate.authorize(&directory, &key, &asked, now).await.map(|decision| decision.is_allowed()) };
    assert!(elsewhere(authorize).unwrap());
    assert!(elsewhere(gate.authorize_leak_revocation(&store, issued.token.expose_secret(), now)).unwrap().is_some());

    assert!(elsewhere(manager.upgrade(&key, now)).unwrap().is_none());
    let legacy_key = LegacyFormat::custom("old", |_| None).stored(None, text(&"5c".repeat(32))).unwrap();
    let import = Import { legacy_key, name: text("old"), validity: Validity::NEVER_EXPIRES, created_at: now };
    let create = authorize_operation(&system(), Create(personal("bob")), None, now).unwrap();
    elsewhere(manager.import(create, import, now)).unwrap();

    let permit = |record: Arc<KeyRecord>| authorize_operation(&system(), Rotate(record), None, now).unwrap();
    let rotate = manager.rotate(permit(find()), Rotation::CutOver, &mut source, now);
    let rotated = elsewhere(rotate).unwrap();
    assert_eq!(rotated.token.id(), issued.token.id());
    elsewhere(manager.end_overlap(permit(find()), now)).unwrap();
    let rename = authorize_operation(&system(), keygate::Rename(find()), None, now).unwrap();
    elsewhere(manager.rename(rename, text("desktop"), now)).unwrap();
    let disable = authorize_operation(&system(), keygate::Disable(find()), None, now).unwrap();
    elsewhere(manager.disable(disable, now)).unwrap();
    let enable = authorize_operation(&system(), keygate::Enable(find()), None, now).unwrap();
    elsewhere(manager.enable(enable, now)).unwrap();
    let page = PageRequest { after: None, limit: 1.try_into().unwrap() };
    let list = authorize_operation(&system(), List(find().grant().owner()), None, now).unwrap();
    assert_eq!(elsewhere(manager.list(list, page)).unwrap().records.len(), 1);
    let revoke = authorize_operation(&system(), Revoke(find()), None, now).unwrap();
    elsewhere(manager.revoke(revoke, now)).unwrap();
    let root = keygate::System::new("a test").unwrap();
    let created = elsewhere(manager.list_created_by(&root, keygate::Creator::System, page)).unwrap();
    assert_eq!(created.records.len(), 1);
    let owner = || Owner::Personal(text("ada"));
    assert_eq!(elsewhere(manager.revoke_all_dry_run(&root, owner(), now)).unwrap(), []);
    assert_eq!(elsewhere(manager.revoke_all(&root, owner(), now)).unwrap(), []);
}
