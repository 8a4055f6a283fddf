//! Imported keys: how they are read, taken in, verified beside tokens, upgraded, rotated and ended.

mod formats;
#[cfg(feature = "tower")]
mod layers;
mod read;
mod upgrade;

use core::{convert::Infallible, time::Duration};
use std::sync::Arc;

use formats::{ALL, PREFIX_512, hex, prefix_secret};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use keygate::{
    Gate, Grant, KeyId, KeyManager, KeyRecord, Labels, ManageError, MemoryDirectory, MemoryStore, NewKeySpec, Owner,
    Reason, RevocationCause, Rotation, Status, TeamRole, Unauthenticated, UnixTime, Validity, Verdict,
    audit::{Attempt, EventKind, OperationKind, Principal},
    http::{CredentialSources, extract_credential},
    manage::{Acting, Import, ImportError, MintError, authorize_operation},
    stages::AcceptedKeys,
    store::{Conflict, Creator, DigestAlgorithm, KeyStore, PreviousSecret, SecretDigest, SecretSlot},
    verify::{InvalidKey, MatchedKey, UnverifiedToken, verify, verify_legacy},
};
use pollster::block_on;

use crate::common::{
    self, KG, RULES, TestClock, at, call, changed, inference, personal, request, rng, root, system, team, text,
    world::Recorder,
};

const KEYS: AcceptedKeys = AcceptedKeys::new(KG).with_legacy(&ALL);

type Failed = ManageError<Infallible, Infallible>;

/// A service that moves, and what is done to it; each call says when.
struct World {
    store: MemoryStore,
    clock: TestClock,
    told: Recorder,
    keys: KeyManager<MemoryStore, MemoryDirectory>,
    gate: Gate<MemoryStore, MemoryDirectory>,
    directory: MemoryDirectory,
}

impl World {
    fn new() -> Self {
        let (store, directory) = (MemoryStore::new(), MemoryDirectory::new());
        let (clock, told) = (TestClock::new(100), Recorder::default());
        directory.set_member(text("ada"), text("core"), TeamRole::Member);
        let keys = KeyManager::with_parts(KG, store.clone(), clock.reader(), rng(1))
            .with_directory(directory.clone())
            .with_sink(told.clone())
            .with_legacy(&ALL);
        let gate = Gate::with_clock(KG, store.clone(), clock.reader())
            .with_directory(directory.clone())
            .with_sink(told.clone())
            .with_legacy(&ALL);
        Self { store, clock, told, keys, gate, directory }
    }

    fn at(&self, now: UnixTime) -> &Self {
        self.clock.set(now.as_secs());
        self
    }

    /// Imports what the old system stored of a key.
    fn import(&self, key: &str, name: &str, grant: Grant) -> KeyId {
        self.import_valid(key, name, grant, Validity::NEVER_EXPIRES)
    }

    fn import_valid(&self, key: &str, name: &str, grant: Grant, validity: Validity) -> KeyId {
        let mut import = row(key, name, grant);
        import.validity = validity;
        self.try_import(import).unwrap()
    }

    fn try_import(&self, import: Import) -> Result<KeyId, Failed> {
        block_on(self.at(at(100)).keys.import(&root(), import))
    }

    fn issue(&self, name: &str, grant: Grant) -> String {
        let spec = NewKeySpec::new(grant, text(name), Validity::NEVER_EXPIRES);
        let issued = block_on(self.at(at(100)).keys.create(&system(), spec)).unwrap();
        issued.token.expose_secret().to_owned()
    }

    fn find(&self, id: KeyId) -> Arc<KeyRecord> {
        block_on(self.store.find(id)).unwrap().unwrap()
    }

    fn open(&self, text: &str, now: UnixTime) -> Result<MatchedKey, Unauthenticated> {
        let presented = KEYS.parse(text)?;
        presented.verify(block_on(self.store.find(presented.id())).unwrap(), now)
    }

    fn slot(&self, text: &str, now: UnixTime) -> Option<SecretSlot> {
        self.open(text, now).ok().map(|key| key.slot())
    }

    fn rotate(&self, id: KeyId, rotation: Rotation, now: UnixTime) -> String {
        let rotated = block_on(self.at(now).keys.rotate(&system(), id, rotation)).unwrap();
        rotated.token.expose_secret().to_owned()
    }

    fn revoke(&self, id: KeyId, now: UnixTime) {
        block_on(self.at(now).keys.revoke(&system(), id, RevocationCause::Requested)).unwrap();
    }

    fn check(&self, text: &str, action: keygate::Action, now: UnixTime) -> Verdict {
        block_on(self.at(now).gate.check(text, &request("core", action))).unwrap()
    }

    /// Whether a call of a model is allowed, and if not, why.
    fn call(&self, text: &str, now: UnixTime) -> Result<(), Option<Reason>> {
        match self.check(text, call("m1", None), now) {
            Verdict::Allowed(_) => Ok(()),
            Verdict::Denied { denial, .. } => Err(Some(denial.reason())),
            _ => Err(None),
        }
    }
}

/// What an old table has of a `prefix.secret` key, by SHA-512.
fn row(key: &str, name: &str, grant: Grant) -> Import {
    use sha2::{Digest as _, Sha512};
    let (prefix, _) = key.split_once('.').unwrap();
    let hash = format!("sha512$${}", hex(&Sha512::digest(key)));
    let key = PREFIX_512.stored(Some(prefix), text(&hash)).unwrap();
    Import::new(key, grant, text(name), Validity::NEVER_EXPIRES, at(50))
}

fn batch() -> Grant {
    team("core", inference("all", "all"))
}

/// The same record, its digests of another algorithm.
fn relabelled(record: &KeyRecord, algorithm: DigestAlgorithm) -> Arc<KeyRecord> {
    let relabel = |digest: SecretDigest| {
        let digest = digest.to_string();
        text(&format!("{algorithm}${}", digest.split_once('$').unwrap().1))
    };
    changed(record, |parts| {
        parts.current = relabel(parts.current);
        parts.previous = parts.previous.map(|previous| PreviousSecret { digest: relabel(previous.digest), ..previous });
    })
}

#[test]
fn a_legacy_key_and_a_token_side_by_side() {
    let world = World::new();
    let (old, other) = (prefix_secret(1), prefix_secret(2));
    let id = world.import(&old, "old-batch", batch());
    let token = world.issue("batch", batch());

    for (text, name, algorithm) in
        [(&old, "old-batch", DigestAlgorithm::LegacySha512), (&token, "batch", DigestAlgorithm::Native)]
    {
        let key = world.open(text, at(200)).unwrap();
        assert_eq!((key.name().as_str(), key.slot(), key.algorithm()), (name, SecretSlot::Current, algorithm));
        assert_eq!(world.call(text, at(200)), Ok(()));
    }
    assert_eq!(world.open(&old, at(200)).unwrap().id(), id);
    // Another key of the same shape, and another secret behind the same prefix.
    let wrong = format!("{}{}", &old[..9], &other[9..]);
    let [unknown_id, wrong_id] = [&other, &wrong].map(|text| match world.open(text, at(200)) {
        Err(Unauthenticated::InvalidKey { claimed, .. }) => claimed,
        other => panic!("{other:?}"),
    });
    assert_ne!(unknown_id, id);
    assert_eq!(wrong_id, id, "what is looked up is the prefix");
    assert_eq!(world.call(&wrong, at(200)), Err(None));

    // The policy is the same: what the import granted, and no more.
    let verdict = world.check(&old, keygate::Action::Deploy, at(200));
    assert!(matches!(verdict, Verdict::Denied { denial, .. } if denial.reason() == Reason::LevelInsufficient));
    // A gate that does not accept the format says that it may be another system's.
    let closed = AcceptedKeys::new(KG).parse(&old);
    assert!(closed.unwrap_err().is_other_issuer());
}

#[test]
fn the_kind_is_the_records() {
    let world = World::new();
    let (mine, ours) = (prefix_secret(1), prefix_secret(2));
    world.import(&mine, "laptop", personal("ada"));
    world.import(&ours, "batch", batch());
    assert_eq!(world.open(&mine, at(200)).unwrap().kind().as_str(), "personal");
    assert_eq!(world.open(&ours, at(200)).unwrap().kind().as_str(), "team");
    // The user's membership decides about a personal one.
    assert_eq!(world.call(&mine, at(200)), Ok(()));
    world.directory.deprovision(&text("ada"));
    assert_eq!(world.call(&mine, at(200)), Err(Some(Reason::OwnerDeprovisioned)));
    assert_eq!(world.call(&ours, at(200)), Ok(()));
}

/// Each key opens by the digest of its own algorithm, in either slot, and by the same bytes of no other.
#[test]
fn no_algorithm_stands_for_another() {
    let world = World::new();
    let old = prefix_secret(1);
    let legacy = PREFIX_512.parse(&old).unwrap();
    let imported = world.find(world.import(&old, "old", batch()));
    let of_text = changed(&imported, |parts| parts.current = legacy.legacy_key().digest());
    let issued = common::issue(batch(), Validity::NEVER_EXPIRES, 1);
    let native = Arc::new(issued.key.record().clone());
    let token = UnverifiedToken::parse(KG, issued.token.expose_secret()).unwrap();

    for record in [&imported, &of_text, &native] {
        let own = record.current().algorithm();
        let in_previous = changed(record, |parts| {
            parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(1000), last_used_at: None });
            parts.current = text(&format!("v1${}", "0".repeat(56)));
        });
        for record in [record, &in_previous] {
            for algorithm in DigestAlgorithm::ALL {
                let record = relabelled(record, *algorithm);
                let opens = if own == DigestAlgorithm::Native {
                    verify(&token, Some(record), at(200)).is_ok()
                } else {
                    verify_legacy(&legacy, KG, Some(record), at(200)).is_ok()
                };
                assert_eq!(opens, *algorithm == own, "{own} as {algorithm}");
            }
        }
    }
}

/// A token of the same id does not open an imported key, nor does a legacy key open one that tokens have.
#[test]
fn tokens_and_legacy_keys_never_match_each_other() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let imported = world.find(id);
    let token = keygate::Token::generate_secret(KG, imported.kind(), id, &rng(1)).unwrap();
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
    assert_eq!(verify(&presented, Some(imported.clone()), at(200)).unwrap_err(), InvalidKey);

    let native = changed(&imported, |parts| parts.current = token.digest());
    assert!(verify(&presented, Some(native.clone()), at(200)).is_ok());
    let legacy = PREFIX_512.parse(&old).unwrap();
    assert_eq!(verify_legacy(&legacy, KG, Some(native), at(200)).unwrap_err(), InvalidKey);
    // Nor does a record of another id, whatever it holds.
    let elsewhere = changed(&imported, |parts| parts.id = text("wk59pfKL0jFi2YYv"));
    assert_eq!(verify_legacy(&legacy, KG, Some(elsewhere), at(200)).unwrap_err(), InvalidKey);
    assert_eq!(verify_legacy(&legacy, KG, None, at(200)).unwrap_err(), InvalidKey);
}

#[test]
fn rotation_gives_a_token_and_an_overlap() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let overlap = Duration::from_secs(100);
    let token = world.rotate(id, Rotation::Start { overlap }, at(200));
    assert!(token.starts_with(&format!("kgt1_{id}_")), "the same id");
    assert_eq!(
        (world.slot(&old, at(299)), world.slot(&token, at(299))),
        (Some(SecretSlot::Previous), Some(SecretSlot::Current))
    );
    assert_eq!((world.slot(&old, at(300)), world.slot(&token, at(300))), (None, Some(SecretSlot::Current)));

    // A lost answer: the deployed legacy key stays.
    let second = world.rotate(id, Rotation::Retry { overlap }, at(250));
    assert_eq!((world.slot(&old, at(299)), world.slot(&token, at(299))), (Some(SecretSlot::Previous), None));
    assert_eq!(world.slot(&second, at(299)), Some(SecretSlot::Current));
    // Ended early.
    block_on(world.at(at(260)).keys.end_overlap(&system(), id)).unwrap();
    assert_eq!((world.slot(&old, at(260)), world.slot(&second, at(260))), (None, Some(SecretSlot::Current)));

    // Cut over: it ends at once.
    let leaked = prefix_secret(2);
    let id = world.import(&leaked, "leaked", batch());
    let token = world.rotate(id, Rotation::CutOver, at(200));
    assert_eq!((world.slot(&leaked, at(200)), world.slot(&token, at(200))), (None, Some(SecretSlot::Current)));
}

#[test]
fn status_and_time_are_obeyed_once_the_secret_matched() {
    let world = World::new();
    let [revoked, disabled, late] = [1, 2, 3].map(prefix_secret);
    let ended = world.import(&revoked, "revoked", batch());
    let idle = world.import(&disabled, "disabled", batch());
    world.import_valid(&late, "late", batch(), Validity::between(at(150), at(300)).unwrap());
    assert!([&revoked, &disabled, &late].iter().all(|text| world.call(text, at(200)) == Ok(())));

    world.revoke(ended, at(210));
    block_on(world.at(at(210)).keys.disable(&system(), idle)).unwrap();
    assert_eq!(world.call(&revoked, at(220)), Err(Some(Reason::Revoked)));
    assert_eq!(world.call(&disabled, at(220)), Err(Some(Reason::Disabled)));
    assert_eq!(world.call(&late, at(149)), Err(Some(Reason::NotYetValid)));
    assert_eq!(world.call(&late, at(300)), Err(Some(Reason::Expired)));
    // Who knows the prefix only learns nothing of it.
    let guess = format!("{}{}", &revoked[..9], &late[9..]);
    assert_eq!(world.call(&guess, at(220)), Err(None));
}

#[test]
fn a_legacy_key_seen_in_the_open_can_be_ended() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let report = |text: &str| block_on(world.at(at(200)).keys.revoke_leaked([text]));
    assert_eq!(report(&format!("{}{}", &old[..9], &prefix_secret(2)[9..])), []);
    assert_eq!(report(&old), [Ok(id)]);
    let event = world.store.events().pop().unwrap();
    assert!(matches!(event.by, Principal::Key { id: by, slot: SecretSlot::Current, .. } if by == id));
    assert!(matches!(event.kind, EventKind::Revoked { cause: RevocationCause::Leaked, .. }));
    assert_eq!(world.call(&old, at(200)), Err(Some(Reason::Revoked)));
}

/// A prefix changes, and what was imported under the former one opens and ends as before.
#[test]
fn an_imported_key_outlives_a_change_of_the_prefix() {
    static FORMER: [keygate::Issuer; 1] = [KG];
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    const NEW: keygate::Issuer = keygate::Issuer::from_static("newkg");
    let gate = || Gate::with_clock(NEW, world.store.clone(), || at(200)).with_legacy(&ALL);
    assert!(block_on(gate().authenticate(&old)).is_err(), "of no issuer that is accepted");
    assert_eq!(block_on(gate().with_issuers(&FORMER).authenticate(&old)).unwrap().id(), id);
    let keys = || KeyManager::with_parts(NEW, world.store.clone(), || at(200), rng(9)).with_legacy(&ALL);
    assert_eq!(block_on(keys().revoke_leaked([&*old])), []);
    assert_eq!(block_on(keys().with_issuers(&FORMER).revoke_leaked([&*old])), [Ok(id)]);
}

#[test]
fn an_import_is_what_its_row_and_the_directory_say() {
    let world = World::new();
    let old = prefix_secret(1);
    let labels = Labels::new([(text("from"), text("old table"))]).unwrap();
    let validity = Validity::until(at(900));
    let mut import = row(&old, "laptop", personal("ada")).with_labels(labels.clone());
    import.validity = validity;
    let id = world.try_import(import.clone()).unwrap();
    let record = world.find(id);
    assert_eq!((record.id(), record.current()), (import.key.id(), import.key.digest()));
    assert_eq!((record.grant(), record.labels(), record.issuer()), (&personal("ada"), &labels, KG));
    assert!(record.incarnation().is_some(), "of its user as of the import");
    assert_eq!((record.created_at(), record.created_by()), (at(50), &Creator::System));
    assert_eq!((record.validity(), record.status(), record.last_used_at()), (validity, Status::Active, None));
    assert_eq!(record.previous(), None);
    let [event] = <[_; 1]>::try_from(world.store.events()).unwrap();
    assert_eq!((event.at, &event.by, event.key), (at(100), &system().principal(), Some(id)));
    assert_eq!(event.owner, Some(Owner::Personal(text("ada"))));
    let EventKind::Imported { name, level, created_at, expires_at, .. } = event.kind else { panic!("{event:?}") };
    assert_eq!((name.as_str(), level, created_at, expires_at), ("laptop", None, at(50), Some(at(900))));

    // Who is gone gets no key, and so does nobody by it: the system is told so.
    let gone = world.try_import(row(&prefix_secret(2), "laptop", personal("bob"))).unwrap_err();
    assert_eq!(gone.refusal().unwrap().as_str(), "owner_deprovisioned");
    // In the pure core, who may not create may not import either.
    let ada = text("ada");
    let ask = |grant: Grant, role: TeamRole| {
        let import = row(&old, "laptop", grant);
        authorize_operation(KG, Acting::User(&ada), import, Some(role.into()), at(100)).is_ok()
    };
    assert!(ask(personal("ada"), TeamRole::Member) && ask(batch(), TeamRole::Admin));
    assert!(!ask(personal("bob"), TeamRole::Admin) && !ask(batch(), TeamRole::Member));
}

/// A key that was imported for a user who left and came back opens no more.
#[test]
fn an_imported_key_is_of_one_incarnation_of_its_user() {
    let world = World::new();
    let old = prefix_secret(1);
    world.import(&old, "laptop", personal("ada"));
    assert_eq!(world.call(&old, at(200)), Ok(()));
    world.directory.deprovision(&text("ada"));
    world.directory.set_member(text("ada"), text("core"), TeamRole::Member);
    assert_eq!(world.call(&old, at(200)), Err(Some(Reason::OwnerDeprovisioned)));
}

#[test]
fn nothing_was_made_in_the_future() {
    let world = World::new();
    let made = |seconds| {
        let mut import = row(&prefix_secret(1), "old", batch());
        import.created_at = at(seconds);
        import
    };
    let error = world.try_import(made(101)).unwrap_err();
    assert_eq!(error, ManageError::Import(ImportError::CreatedInFuture));
    let [told] = <[_; 1]>::try_from(world.told.take_events()).unwrap();
    let EventKind::Refused { attempt, reason, .. } = told.kind else { panic!("{told:?}") };
    assert_eq!(attempt, Some(Attempt::Operation(OperationKind::Import)));
    assert_eq!(reason.as_str(), "created_in_future");
    assert_eq!((told.by, told.owner), (system().principal(), Some(Owner::Team(text("core")))));
    assert!(told.key.is_some());
    assert!(world.try_import(made(100)).is_ok());
}

/// Old tables say "never" by 0 or -1, and have milliseconds where here are seconds.
#[test]
fn dates_that_cannot_be_meant_are_refused() {
    const LAST: i64 = 253_402_300_799;
    let world = World::new();
    let import = |place: u8, validity: Validity| {
        let name = format!("key-{place}");
        let mut import = row(&prefix_secret(place), &name, batch());
        import.validity = validity;
        world.try_import(import)
    };
    for past in [0, -1, i64::MIN, 100 - 86_400, 99, 100] {
        let error = import(1, Validity::until(at(past))).unwrap_err();
        assert_eq!(error, ManageError::Import(ImportError::ExpiresInPast), "{past}");
        let why = core::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains(" 0 ") && why.contains("-1"), "{why}");
    }
    for late in [LAST + 1, 1_764_086_400_000, i64::MAX] {
        let too_late = ManageError::Import(ImportError::Date(MintError::TimeTooLate));
        assert_eq!(import(1, Validity::until(at(late))), Err(too_late.clone()), "{late}");
        assert_eq!(import(1, Validity::starting_at(at(late))), Err(too_late), "{late}");
    }
    assert!(world.store.events().is_empty(), "nothing was imported");
    for (place, legal) in
        (2..).zip([Validity::until(at(101)), Validity::until(at(LAST)), Validity::starting_at(at(LAST))])
    {
        assert!(import(place, legal).is_ok(), "{legal:?}");
    }
    assert!(import(9, Validity::NEVER_EXPIRES).is_ok());
}

/// A run that broke off is run again; and nothing that was ended comes back that way.
#[test]
fn importing_again_changes_nothing() {
    let world = World::new();
    let keys = [1, 2, 3, 4].map(prefix_secret);
    let ids = [0, 1, 2, 3].map(|place| world.import(&keys[place], &format!("key-{place}"), batch()));
    world.revoke(ids[1], at(110));
    world.rotate(ids[2], Rotation::CutOver, at(110));
    block_on(world.keys.rename(&system(), ids[3], text("renamed"))).unwrap();

    let before = ids.map(|id| world.find(id));
    for (place, key) in keys.iter().enumerate() {
        for name in [format!("key-{place}"), "another".to_owned()] {
            let again = world.try_import(row(key, &name, batch()));
            assert_eq!(again.unwrap_err(), ManageError::Conflict(Conflict::IdTaken));
        }
        // Of the text, it is the same key.
        let of_text = PREFIX_512.parse(key).unwrap().legacy_key();
        let import = Import::new(of_text, batch(), text("another"), Validity::NEVER_EXPIRES, at(50));
        assert_eq!(world.try_import(import).unwrap_err(), ManageError::Conflict(Conflict::IdTaken));
    }
    assert_eq!(ids.map(|id| world.find(id)), before);
    let clash = world.try_import(row(&prefix_secret(5), "key-0", batch()));
    assert_eq!(clash.unwrap_err(), ManageError::Conflict(Conflict::NameTaken));
}

/// What clients have in their headers already.
#[test]
fn header_fields_are_read_as_ever() {
    let world = World::new();
    let old = prefix_secret(1);
    world.import(&old, "old", batch());
    let present = |line: String| {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_str(&line).unwrap());
        world.open(
            extract_credential(&headers, &CredentialSources::authorization(), AcceptedKeys::new(KG)).unwrap(),
            at(200),
        )
    };
    for scheme in ["Api-Key", "Bearer", "api-key"] {
        assert!(present(format!("{scheme} {old}")).is_ok());
    }
}

/// As small as any other: the bar is 400 bytes.
#[test]
fn an_imported_record_is_small_and_read_back() {
    let world = World::new();
    let record = world.find(world.import(&prefix_secret(1), "old", personal("ada")));
    let json = serde_json::to_string(&*record).unwrap();
    assert!(json.len() <= 400, "{}", json.len());
    assert!(json.contains("\"current\":\"sha512-v1$"), "{json}");
    assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), *record);
    // Without its tag, or with one that nobody knows, it is no record.
    for tag in ["", "sha512$", "sha512$$", "sha512-v9$", "md5-v1$", "$"] {
        let json = json.replace("sha512-v1$", tag);
        assert!(serde_json::from_str::<KeyRecord>(&json).is_err(), "{tag}");
    }
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let old = prefix_secret(1);
    let import = row(&old, "old", batch());
    let legacy = PREFIX_512.parse(&old).unwrap();
    let world = World::new();
    world.import(&old, "old", batch());
    let key = world.open(&old, at(200)).unwrap();
    let (digest, of_text) = (import.key.digest().to_string(), legacy.legacy_key().digest().to_string());
    let upgrade = keygate::manage::Upgrade::due(&key, &rng(1), at(200)).unwrap().unwrap();
    for said in [
        format!("{import:?} {legacy:?} {key:?} {upgrade:?} {KEYS:?} {:?}", KEYS.parse(&old).unwrap()),
        format!("{:?} {:?}", PREFIX_512.parse("x").unwrap_err(), text::<keygate::legacy::StoredHash>(&"5c".repeat(32))),
    ] {
        for window in old.as_bytes()[9..].windows(8).chain(digest.as_bytes()[10..].windows(16)) {
            assert!(!said.contains(core::str::from_utf8(window).unwrap()), "{said}");
        }
        assert!(!said.contains(&of_text[11..27]) && !said.contains("5c5c"), "{said}");
    }
}
