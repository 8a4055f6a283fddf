//! Imported keys: how they are read, taken in, verified beside tokens, upgraded, rotated and ended.
#![cfg(all(feature = "http", feature = "memory", feature = "serde"))]
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed; keys are ASCII"
)]

mod common;
#[path = "legacy/formats.rs"]
mod formats;
#[cfg(feature = "tower")]
#[path = "legacy/layers.rs"]
mod layers;
#[path = "legacy/read.rs"]
mod read;
#[path = "legacy/upgrade.rs"]
mod upgrade;

use core::time::Duration;
use std::sync::Arc;

use common::{KG, at, call, changed, inference, personal, request, rng, system, team, text};
use formats::{ALL, PREFIX_512, hex, prefix_secret};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use keygate::{
    Actor, Conflict, Create, Creator, DigestAlgorithm, EventKind, Gate, Grant, Import, ImportError, InvalidKey, KeyId,
    KeyManager, KeyRecord, KeyStore, ManageError, MatchedKey, Membership, MemoryDirectory, MemoryStore, OperationKind,
    Owner, PreviousSecret, Principal, Reason, Rename, Revoke, Rotate, Rotation, SecretDigest, SecretSlot, Status,
    Unauthenticated, UnixTime, UnverifiedToken, Validity, Verdict, authorize_operation,
    http::{CredentialHeaders, extract_credential},
    verify, verify_legacy,
};
use pollster::block_on;

const GATE: Gate = Gate::new(KG).accepting(&ALL);

/// A service that moves: a store, and what is done to it.
struct World {
    manager: KeyManager<Arc<MemoryStore>>,
    directory: MemoryDirectory,
}

impl World {
    fn new() -> Self {
        let directory = MemoryDirectory::new();
        directory.set_member(text("ada"), text("core"), Membership::Member);
        Self { manager: KeyManager::new(KG, Arc::new(MemoryStore::new())), directory }
    }

    /// Takes in what the old system stored of a key.
    fn import(&self, key: &str, name: &str, grant: Grant) -> KeyId {
        self.import_valid(key, name, grant, Validity::NEVER_EXPIRES)
    }

    fn import_valid(&self, key: &str, name: &str, grant: Grant, validity: Validity) -> KeyId {
        let event = self.try_import(row(key, name, validity), grant).unwrap();
        event.key.unwrap()
    }

    fn try_import(
        &self,
        import: Import,
        grant: Grant,
    ) -> Result<keygate::Event, ManageError<core::convert::Infallible>> {
        let permit = authorize_operation(&system(), Create(grant), None, at(100)).unwrap();
        block_on(self.manager.import(permit, import, at(100)))
    }

    fn issue(&self, name: &str, grant: Grant, seed: u8) -> String {
        let permit = authorize_operation(&system(), Create(grant), None, at(100)).unwrap();
        let create =
            block_on(self.manager.create(permit, text(name), Validity::NEVER_EXPIRES, &mut rng(seed), at(100)));
        create.unwrap().token.expose_secret().to_owned()
    }

    fn find(&self, id: KeyId) -> Arc<KeyRecord> {
        block_on(self.manager.store().find(id)).unwrap().unwrap()
    }

    fn open(&self, text: &str, now: UnixTime) -> Result<MatchedKey, Unauthenticated> {
        block_on(GATE.authenticate(self.manager.store(), text, now)).unwrap()
    }

    fn slot(&self, text: &str, now: UnixTime) -> Option<SecretSlot> {
        self.open(text, now).ok().map(|key| key.slot())
    }

    fn rotate(&self, id: KeyId, rotation: Rotation, seed: u8, now: UnixTime) -> String {
        let permit = authorize_operation(&system(), Rotate(self.find(id)), None, now).unwrap();
        let rotated = block_on(self.manager.rotate(permit, rotation, &mut rng(seed), now)).unwrap();
        rotated.token.expose_secret().to_owned()
    }

    fn revoke(&self, id: KeyId, now: UnixTime) {
        block_on(self.manager.revoke(authorize_operation(&system(), Revoke(self.find(id)), None, now).unwrap(), now))
            .unwrap();
    }

    /// Whether a call of a model is allowed, and if not, why.
    fn call(&self, text: &str, now: UnixTime) -> Result<(), Option<Reason>> {
        let request = request("core", call("m1", None));
        match block_on(GATE.check(self.manager.store(), &self.directory, text, &request, now)).unwrap() {
            Verdict::Allowed(_) => Ok(()),
            Verdict::Denied { denial, .. } => Err(Some(denial.reason())),
            Verdict::Unauthenticated(_) => Err(None),
        }
    }
}

/// What an old table has of a `prefix.secret` key, by SHA-512.
fn row(key: &str, name: &str, validity: Validity) -> Import {
    use sha2::{Digest as _, Sha512};
    let (prefix, _) = key.split_once('.').unwrap();
    let hash = format!("sha512$${}", hex(&Sha512::digest(key)));
    let legacy_key = PREFIX_512.stored(Some(prefix), text(&hash)).unwrap();
    Import { legacy_key, name: text(name), validity, created_at: at(50) }
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
    let token = world.issue("batch", batch(), 1);

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
        Err(Unauthenticated::InvalidKey { claimed }) => claimed,
        other => panic!("{other:?}"),
    });
    assert_ne!(unknown_id, id);
    assert_eq!(wrong_id, id, "what is looked up is the prefix");
    assert_eq!(world.call(&wrong, at(200)), Err(None));

    // The policy is the same: what the permit granted, and no more.
    let request = request("core", keygate::Action::Deploy);
    let verdict = block_on(GATE.check(world.manager.store(), &world.directory, &old, &request, at(200))).unwrap();
    assert!(matches!(verdict, Verdict::Denied { denial, .. } if denial.reason() == Reason::LevelInsufficient));
    // A gate that does not accept the format says that it is somebody else's.
    let closed = block_on(Gate::new(KG).authenticate(world.manager.store(), &old, at(200))).unwrap();
    assert!(closed.unwrap_err().is_foreign());
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
    world.directory.set_member(text("ada"), text("core"), Membership::Deprovisioned);
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
            parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(1000) });
            parts.current = text(&format!("v1${}", "0".repeat(56)));
        });
        for record in [record, &in_previous] {
            for algorithm in DigestAlgorithm::ALL {
                let record = relabelled(record, *algorithm);
                let opens = if own == DigestAlgorithm::Native {
                    verify(&token, Some(record), at(200)).is_ok()
                } else {
                    verify_legacy(&legacy, Some(record), at(200)).is_ok()
                };
                assert_eq!(opens, *algorithm == own, "{own} as {algorithm}");
            }
        }
    }
}

/// A token of the same id does not open an imported key, nor does a legacy key open one that tokens have.
#[test]
fn tokens_and_foreign_keys_never_match_each_other() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let imported = world.find(id);
    let token = keygate::Token::generate_secret(KG, imported.kind(), id, &mut rng(1)).unwrap();
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
    assert_eq!(verify(&presented, Some(imported.clone()), at(200)).unwrap_err(), InvalidKey);

    let native = changed(&imported, |parts| parts.current = token.digest());
    assert!(verify(&presented, Some(native.clone()), at(200)).is_ok());
    let legacy = PREFIX_512.parse(&old).unwrap();
    assert_eq!(verify_legacy(&legacy, Some(native), at(200)).unwrap_err(), InvalidKey);
    // Nor does a record of another id, whatever it holds.
    let elsewhere = changed(&imported, |parts| parts.id = text("wk59pfKL0jFi2YYv"));
    assert_eq!(verify_legacy(&legacy, Some(elsewhere), at(200)).unwrap_err(), InvalidKey);
    assert_eq!(verify_legacy(&legacy, None, at(200)).unwrap_err(), InvalidKey);
}

#[test]
fn rotation_gives_a_token_and_an_overlap() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let overlap = Duration::from_secs(100);
    let token = world.rotate(id, Rotation::Start { overlap }, 1, at(200));
    assert!(token.starts_with(&format!("kgt1_{id}_")), "the same id");
    assert_eq!(
        (world.slot(&old, at(299)), world.slot(&token, at(299))),
        (Some(SecretSlot::Previous), Some(SecretSlot::Current))
    );
    assert_eq!((world.slot(&old, at(300)), world.slot(&token, at(300))), (None, Some(SecretSlot::Current)));

    // A lost answer: the deployed legacy key stays.
    let second = world.rotate(id, Rotation::Retry { overlap }, 2, at(250));
    assert_eq!((world.slot(&old, at(299)), world.slot(&token, at(299))), (Some(SecretSlot::Previous), None));
    assert_eq!(world.slot(&second, at(299)), Some(SecretSlot::Current));
    // Ended early.
    let permit = authorize_operation(&system(), Rotate(world.find(id)), None, at(260)).unwrap();
    block_on(world.manager.end_overlap(permit, at(260))).unwrap();
    assert_eq!((world.slot(&old, at(260)), world.slot(&second, at(260))), (None, Some(SecretSlot::Current)));

    // Cut over: it ends at once.
    let leaked = prefix_secret(2);
    let id = world.import(&leaked, "leaked", batch());
    let token = world.rotate(id, Rotation::CutOver, 3, at(200));
    assert_eq!((world.slot(&leaked, at(200)), world.slot(&token, at(200))), (None, Some(SecretSlot::Current)));
}

#[test]
fn status_and_time_are_obeyed_once_the_secret_matched() {
    let world = World::new();
    let [revoked, disabled, late] = [1, 2, 3].map(prefix_secret);
    let ended = world.import(&revoked, "revoked", batch());
    let aside = world.import(&disabled, "disabled", batch());
    world.import_valid(&late, "late", batch(), Validity::between(at(150), at(300)).unwrap());
    assert!([&revoked, &disabled, &late].iter().all(|text| world.call(text, at(200)) == Ok(())));

    world.revoke(ended, at(210));
    let permit = authorize_operation(&system(), keygate::Disable(world.find(aside)), None, at(210)).unwrap();
    block_on(world.manager.disable(permit, at(210))).unwrap();
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
    let exposed = |text: &str| block_on(GATE.authorize_leak_revocation(world.manager.store(), text, at(200))).unwrap();
    assert!(exposed(&format!("{}{}", &old[..9], &prefix_secret(2)[9..])).is_none());
    let event = block_on(world.manager.revoke(exposed(&old).unwrap(), at(200))).unwrap();
    assert_eq!(event.by, Principal::Key { id, slot: SecretSlot::Current });
    assert_eq!(world.call(&old, at(200)), Err(Some(Reason::Revoked)));
}

#[test]
fn an_import_is_what_its_permit_and_its_row_say() {
    let world = World::new();
    let old = prefix_secret(1);
    let validity = Validity::until(at(900));
    let import = row(&old, "laptop", validity);
    let ada = Actor::User(text("ada"));
    let permit = authorize_operation(&ada, Create(personal("ada")), Some(Membership::Member), at(100)).unwrap();
    let event = block_on(world.manager.import(permit, import.clone(), at(100))).unwrap();
    let record = world.find(event.key.unwrap());
    assert_eq!(record.id(), import.legacy_key.id());
    assert_eq!(record.current(), import.legacy_key.digest());
    assert_eq!(record.grant(), &personal("ada"));
    assert_eq!((record.created_at(), record.created_by()), (at(50), &Creator::User(text("ada"))));
    assert_eq!((record.validity(), record.status(), record.last_used_at()), (validity, Status::Active, None));
    assert_eq!(record.previous(), None);
    assert_eq!((event.at, &event.by), (at(100), &Principal::User { id: text("ada") }));
    let owner = Owner::Personal(text("ada"));
    assert_eq!(event.kind, EventKind::Imported { name: text("laptop"), owner, created_at: at(50) });

    // Who may not create may not import: there is no permit.
    assert!(authorize_operation(&ada, Create(personal("bob")), Some(Membership::Member), at(100)).is_err());
    assert!(authorize_operation(&ada, Create(batch()), Some(Membership::Member), at(100)).is_err());
}

#[test]
fn nothing_was_made_in_the_future() {
    let world = World::new();
    let made = |seconds| Import { created_at: at(seconds), ..row(&prefix_secret(1), "old", Validity::NEVER_EXPIRES) };
    let error = world.try_import(made(101), batch()).unwrap_err();
    assert_eq!(error, ManageError::Import(ImportError::CreatedInFuture));
    let told = error.to_event(&system(), OperationKind::Create, None, at(100)).unwrap();
    assert!(matches!(told.kind, EventKind::Refused { why: "created_in_future", .. }));
    assert!(world.try_import(made(100), batch()).is_ok());
}

/// A run that broke off is run again; and nothing that was ended comes back that way.
#[test]
fn importing_again_changes_nothing() {
    let world = World::new();
    let keys = [1, 2, 3, 4].map(prefix_secret);
    let ids = [0, 1, 2, 3].map(|place| world.import(&keys[place], &format!("key-{place}"), batch()));
    world.revoke(ids[1], at(110));
    world.rotate(ids[2], Rotation::CutOver, 1, at(110));
    let permit = authorize_operation(&system(), Rename(world.find(ids[3])), None, at(110)).unwrap();
    block_on(world.manager.rename(permit, text("renamed"), at(110))).unwrap();

    let before = ids.map(|id| world.find(id));
    for (place, key) in keys.iter().enumerate() {
        for name in [format!("key-{place}"), "another".to_owned()] {
            let again = world.try_import(row(key, &name, Validity::NEVER_EXPIRES), batch());
            assert_eq!(again.unwrap_err(), ManageError::Conflict(Conflict::IdTaken));
        }
        // Of the text, it is the same key.
        let legacy_key = PREFIX_512.parse(key).unwrap().legacy_key();
        let import = Import { legacy_key, ..row(key, "another", Validity::NEVER_EXPIRES) };
        assert_eq!(world.try_import(import, batch()).unwrap_err(), ManageError::Conflict(Conflict::IdTaken));
    }
    assert_eq!(ids.map(|id| world.find(id)), before);
    let clash = world.try_import(row(&prefix_secret(5), "key-0", Validity::NEVER_EXPIRES), batch());
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
        world.open(extract_credential(&headers, CredentialHeaders::Authorization).unwrap(), at(200))
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
    let import = row(&old, "old", Validity::NEVER_EXPIRES);
    let legacy = PREFIX_512.parse(&old).unwrap();
    let world = World::new();
    world.import(&old, "old", batch());
    let key = world.open(&old, at(200)).unwrap();
    let (digest, of_text) = (import.legacy_key.digest().to_string(), legacy.legacy_key().digest().to_string());
    let upgrade = keygate::Upgrade::of(&key, at(200)).unwrap();
    for said in [
        format!("{import:?} {legacy:?} {key:?} {upgrade:?} {GATE:?} {:?}", GATE.parse(&old).unwrap()),
        format!("{:?} {:?}", PREFIX_512.parse("x").unwrap_err(), text::<keygate::legacy::StoredHash>(&"5c".repeat(32))),
    ] {
        for window in old.as_bytes()[9..].windows(8).chain(digest.as_bytes()[10..].windows(16)) {
            assert!(!said.contains(core::str::from_utf8(window).unwrap()), "{said}");
        }
        assert!(!said.contains(&of_text[11..27]) && !said.contains("5c5c"), "{said}");
    }
}
