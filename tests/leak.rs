//! A canary search: whatever can be printed or serialized is, and looked through for a secret that is known here.
#![cfg(all(feature = "http", feature = "memory", feature = "serde"))]
#![expect(
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed; tokens are ASCII"
)]

mod common;

use core::{convert::Infallible, error::Error, fmt, time::Duration};
use std::sync::Arc;

use common::{KG, at, call, changed, full, issue, metrics, open, personal, request, rng, system, team, text};
use keygate::{
    Action, Actor, BoxError, BoxedKeyManagementStore, BoxedKeyStore, Conflict, Create, Creator, Cursor, DisplayToken,
    EnvironmentName, Gate, GenerateError, InvalidKey, Issuer, KeyId, KeyKind, KeyManagementStore, KeyManager, KeyName,
    KeyRecord, KeyStore, List, ListBy, ManageError, MatchedKey, Membership, MemoryStore, ModelId, ModelScope,
    PageRequest, ParseTokenError, PermissionLevel, PreviousSecret, RecordParts, Revoke, Rotate, RotateError, Rotation,
    Run, SecretDigest, Status, SystemReason, TeamId, Token, Unauthenticated, Unavailable, UnverifiedToken,
    UsageCounter, UserId, Validity, authorize_operation, decide, verify,
};
use pollster::block_on;

/// What must not be found.
struct Canaries {
    /// Any eight symbols in a row of a secret, and its checksum.
    secret: Vec<String>,
    /// Any sixteen digits in a row of a stored digest, and its first bytes in a list, decimal and hexadecimal.
    digest: Vec<String>,
}

impl Canaries {
    fn of(token: &Token) -> Self {
        let text = token.expose_secret();
        let [.., secret, checksum] = text.split('_').collect::<Vec<_>>()[..] else { panic!("a token has four parts") };
        let hex = token.digest().to_string().replace("v1$", "");
        let [_, one, two, three, ..] = token.digest().to_bytes();
        let mut windows = windows(secret, 8);
        windows.push(checksum.to_owned());
        let mut digest = self::windows(&hex, 16);
        digest.push(format!("{one}, {two}, {three}"));
        digest.push(format!("{one},{two},{three}"));
        digest.push(format!("{one:x}, {two:x}, {three:x}"));
        digest.push(format!("{one:02X}, {two:02X}, {three:02X}"));
        Self { secret: windows, digest }
    }

    fn is_secret_in(&self, said: &str) -> bool {
        self.secret.iter().any(|window| said.contains(window))
    }

    fn is_digest_in(&self, said: &str) -> bool {
        // However a list is laid out.
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        self.digest.iter().any(|window| said.contains(window))
    }
}

fn windows(text: &str, length: usize) -> Vec<String> {
    text.as_bytes().windows(length).map(|window| String::from_utf8(window.to_vec()).unwrap()).collect()
}

/// The search, over everything that anybody says.
struct Search {
    canaries: Vec<Canaries>,
    searched: usize,
}

impl Search {
    fn new(tokens: &[&Token]) -> Self {
        Self { canaries: tokens.iter().map(|token| Canaries::of(token)).collect(), searched: 0 }
    }

    /// Text that may be seen by anybody: neither secret nor digest.
    #[track_caller]
    fn text(&mut self, said: &str) {
        self.stored(said);
        assert!(!self.canaries.iter().any(|canaries| canaries.is_digest_in(said)), "a digest is in: {said}");
    }

    /// Text that a store keeps: no secret.
    #[track_caller]
    fn stored(&mut self, said: &str) {
        assert!(!said.is_empty(), "nothing was said");
        assert!(!self.canaries.iter().any(|canaries| canaries.is_secret_in(said)), "a secret is in: {said}");
        self.searched = self.searched.saturating_add(1);
    }

    #[track_caller]
    fn debug(&mut self, value: &dyn fmt::Debug) {
        self.text(&format!("{value:?}"));
        self.text(&format!("{value:#?}"));
        // The flags that print numbers otherwise.
        self.text(&format!("{value:x?}"));
        self.text(&format!("{value:02X?}"));
    }

    #[track_caller]
    fn display(&mut self, value: &dyn fmt::Display) {
        self.text(&value.to_string());
        self.text(&format!("{value:>100}"));
    }

    /// An error and its causes.
    #[track_caller]
    fn error(&mut self, error: &(dyn Error + 'static)) {
        let mut cause = Some(error);
        while let Some(error) = cause {
            self.debug(&error);
            self.display(&error);
            cause = error.source();
        }
    }

    /// What is logged.
    #[track_caller]
    fn json(&mut self, value: &impl serde::Serialize) {
        self.text(&serde_json::to_string(value).unwrap());
    }
}

/// Two secrets of a key that is being rotated, its record, and a store with it.
struct World {
    old: Token,
    new: Token,
    record: Arc<KeyRecord>,
    manager: KeyManager<MemoryStore>,
}

impl World {
    fn new(grant: keygate::Grant) -> Self {
        let manager = KeyManager::new(KG, MemoryStore::new());
        let permit = authorize_operation(&system(), Create(grant), None, at(0)).unwrap();
        let mut source = rng(1);
        let created =
            block_on(manager.create(permit, text("laptop"), Validity::NEVER_EXPIRES, &mut source, at(0))).unwrap();
        let id = created.token.id();
        let find = || block_on(manager.store().find(id)).unwrap().unwrap();
        let permit = authorize_operation(&system(), Rotate(find()), None, at(0)).unwrap();
        let start = Rotation::Start { overlap: Duration::from_secs(100) };
        let rotated = block_on(manager.rotate(permit, start, &mut source, at(0))).unwrap();
        Self { old: created.token, new: rotated.token, record: find(), manager }
    }

    fn search(&self) -> Search {
        Search::new(&[&self.old, &self.new])
    }

    fn key(&self) -> MatchedKey {
        open(&self.old, &self.record, at(0))
    }
}

#[test]
fn the_search_finds_what_is_planted() {
    let World { old, record, .. } = World::new(personal("ada"));
    let canaries = Canaries::of(&old);
    let secret = &old.expose_secret()[22..54];
    for planted in
        [old.expose_secret(), secret, &secret[..8], &secret[24..], &secret[11..19], &old.expose_secret()[55..]]
    {
        assert!(canaries.is_secret_in(&format!("before {planted} after")), "{planted}");
    }
    assert!(
        !canaries.is_secret_in(&format!("{} {}", &secret[..7], old.public())),
        "a shorter piece, and the public part"
    );
    let bytes = old.digest();
    for planted in [
        bytes.to_string(),
        bytes.to_string()[20..40].to_owned(),
        format!("{:?}", bytes.to_bytes()),
        format!("{:#?}", bytes.to_bytes()),
        format!("{:x?}", bytes.to_bytes()),
        format!("{:02X?}", bytes.to_bytes()),
        serde_json::to_string(&*record).unwrap(),
        serde_json::to_string(bytes.to_bytes().as_slice()).unwrap(),
    ] {
        assert!(canaries.is_digest_in(&planted), "{planted}");
    }
    assert!(!canaries.is_digest_in(&old.public().to_string()));
}

#[test]
fn values_say_nothing() {
    for grant in [personal("ada"), team("core", full("prod"))] {
        let world = World::new(grant.clone());
        let World { old, new, record, manager } = &world;
        let search = &mut world.search();

        // Credentials.
        for token in [old, new] {
            search.debug(token);
            search.debug(&token.public());
            search.display(&token.public());
            search.debug(&token.digest());
            let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
            search.debug(&presented);
            search.debug(&presented.public());
            search.debug(&presented.digest());
            search.debug(&Gate::new(KG).parse(token.expose_secret()).unwrap());
            let sensitive = keygate::http::bearer_header(token).unwrap();
            search.debug(&sensitive);
        }

        // Records, and what becomes of them.
        let parts = RecordParts::from(KeyRecord::clone(record));
        search.debug(record);
        search.debug(&parts);
        search.debug(&parts.previous.unwrap());
        search.stored(&serde_json::to_string(&**record).unwrap());
        search.stored(&serde_json::to_string(&parts).unwrap());
        search.stored(&record.current().to_string());
        search.json(record.grant());
        search.json(&record.status());
        search.json(record.created_by());
        search.json(&Cursor::after(record));
        search.debug(manager);
        search.debug(manager.store());
        search.debug(&BoxedKeyStore::new(MemoryStore::new()));
        search.debug(&BoxedKeyManagementStore::new(MemoryStore::new()));
        let by = ListBy::Owner(grant.owner());
        let page = PageRequest { after: None, limit: 1.try_into().unwrap() };
        search.debug(&block_on(manager.store().list(by, page)).unwrap());

        // Verified, and decided upon.
        let key = &world.key();
        search.debug(key);
        search.debug(&key.grant());
        let call = request("core", call("m1", Some("prod")));
        let deploy = request("other", Action::Deploy);
        for membership in [None, Some(Membership::Member), Some(Membership::Outsider)] {
            for asked in [&call, &deploy] {
                let decision = decide(key, membership, asked, at(1));
                search.debug(&decision);
                match decision.into_result() {
                    Ok(allow) => {
                        search.debug(&allow.attribution());
                        search.debug(&allow);
                        search.debug(&allow.to_authorization());
                    }
                    Err(denial) => {
                        search.error(&denial);
                        search.debug(&denial.requirement(key, asked));
                        search.json(&denial.to_event(key, at(1)));
                        search.debug(&keygate::http::Responses::new("models").unwrap().denied(denial));
                    }
                }
            }
        }
        let mut uses = UsageCounter::new();
        uses.record(key, at(1));
        search.debug(&uses);
        uses.drain().for_each(|event| search.json(&event));
        assert!(search.searched > 200, "{}", search.searched);
    }
}

#[test]
fn permits_and_what_they_make_say_nothing() {
    let world = World::new(team("core", metrics("m1")));
    let search = &mut world.search();
    let key = world.key();
    let actors = [system(), Actor::User(text("ada")), Actor::Key(&key)];
    for actor in &actors {
        search.debug(actor);
        for membership in [None, Some(Membership::Admin), Some(Membership::Member)] {
            match authorize_operation(actor, Revoke(world.record.clone()), membership, at(1)) {
                Ok(permit) => search.debug(&permit),
                Err(denial) => {
                    search.error(&denial);
                    search.json(&actor.to_event(denial, at(1)));
                }
            }
            match authorize_operation(actor, List(world.record.grant().owner()), membership, at(1)) {
                Ok(permit) => search.debug(&permit),
                Err(denial) => search.error(&denial),
            }
        }
    }

    // Whatever mints has a secret of its own, and does not show it either.
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 5);
    let search = &mut Search::new(&[&issued.token]);
    search.debug(&issued);
    search.debug(&issued.key);
    search.debug(&issued.event);
    search.json(&issued.event);
    search.stored(&serde_json::to_string(issued.key.record()).unwrap());

    let permit = authorize_operation(&system(), Rotate(world.record.clone()), None, at(1)).unwrap();
    let rotated = permit.rotate(KG, Rotation::CutOver, &mut rng(6), at(1)).unwrap();
    let search = &mut Search::new(&[&rotated.token, &world.old, &world.new]);
    search.debug(&permit);
    search.debug(&rotated);
    search.debug(&rotated.change);
    search.debug(&rotated.change.previous());
    search.debug(&rotated.event);
    search.json(&rotated.event);
}

#[test]
fn events_of_a_whole_life_say_nothing() {
    let World { old, new, manager, record } = World::new(personal("ada"));
    let search = &mut Search::new(&[&old, &new]);
    let by = |permit| authorize_operation(&system(), permit, None, at(1)).unwrap();
    let find = || block_on(manager.store().find(record.id())).unwrap().unwrap();
    let rename = authorize_operation(&system(), keygate::Rename(find()), None, at(1)).unwrap();
    let disable = authorize_operation(&system(), keygate::Disable(find()), None, at(1)).unwrap();
    let enable = authorize_operation(&system(), keygate::Enable(find()), None, at(1)).unwrap();
    let events = [
        block_on(manager.rename(rename, text("desktop"), at(1))).unwrap(),
        block_on(manager.disable(disable, at(1))).unwrap(),
        block_on(manager.enable(enable, at(1))).unwrap(),
        block_on(manager.end_overlap(by(Rotate(find())), at(1))).unwrap(),
    ];
    let revoke = authorize_operation(&system(), Revoke(find()), None, at(1)).unwrap();
    let last = block_on(manager.revoke(revoke, at(1))).unwrap();
    for event in events.iter().chain([&last]) {
        search.debug(event);
        search.json(event);
    }
    let ids = block_on(manager.store().revoke_all(record.grant().owner(), at(2), Run::Dry)).unwrap();
    search.debug(&ids);
}

#[test]
fn verdicts_say_nothing() {
    let World { old, new, manager, record } = World::new(personal("ada"));
    let search = &mut Search::new(&[&old, &new]);
    let directory = keygate::MemoryDirectory::new();
    directory.set_member(text("ada"), text("core"), Membership::Member);
    search.debug(&directory);
    let gate = Gate::new(KG);
    search.debug(&gate);
    let asked = request("core", Action::Deploy);
    let wrong = Token::generate_secret(KG, KeyKind::Personal, record.id(), &mut rng(9)).unwrap();
    search.canaries.push(Canaries::of(&wrong));
    let garbled = old.expose_secret().replace('_', "-");
    for presented in [old.expose_secret(), new.expose_secret(), wrong.expose_secret(), &garbled, &garbled[3..]] {
        for now in [at(1), at(100)] {
            let verdict = block_on(gate.check(manager.store(), &directory, presented, &asked, now)).unwrap();
            search.debug(&verdict);
            if let Some(event) = verdict.to_event(now) {
                search.debug(&event);
                search.json(&event);
            }
            if let keygate::Verdict::Unauthenticated(unauthenticated) = verdict {
                search.error(&unauthenticated);
                search.text(unauthenticated.as_str());
            }
            if let Some(permit) = block_on(gate.authorize_leak_revocation(manager.store(), presented, now)).unwrap() {
                search.debug(&permit);
            }
        }
    }
    let presented = UnverifiedToken::parse(KG, wrong.expose_secret()).unwrap();
    search.error(&verify(&presented, Some(record), at(1)).unwrap_err());
}

#[test]
fn errors_say_nothing() {
    let token = issue(personal("ada"), Validity::NEVER_EXPIRES, 1).token;
    let search = &mut Search::new(&[&token]);
    let text = token.expose_secret();

    // A token that is mistyped anywhere, cut anywhere, or given to another service.
    for place in 0..text.len() {
        for symbol in ["!", "_", "x", "\u{e9}", ""] {
            let mistyped = format!("{}{symbol}{}", &text[..place], &text[place.saturating_add(1)..]);
            if let Err(error) = UnverifiedToken::parse(KG, &mistyped) {
                search.error(&error);
                search.error(&Gate::new(KG).parse(&mistyped).unwrap_err());
                search.json(&Unauthenticated::NotAToken(error).to_event(at(0)));
            }
        }
        search.error(&UnverifiedToken::parse(KG, &text[..place]).unwrap_err());
    }
    search.error(&UnverifiedToken::parse(Issuer::from_static("acme"), text).unwrap_err());

    // A token where something else belongs: by hand, in a list of keys, in a configuration.
    let long = text.repeat(4);
    for misplaced in [text, &long, &format!("{text} "), &text.replace('_', "\u{e9}")] {
        search.refusal::<Issuer>(misplaced);
        search.refusal::<KeyId>(misplaced);
        search.refusal::<KeyName>(misplaced);
        search.refusal::<EnvironmentName>(misplaced);
        search.refusal::<ModelId>(misplaced);
        search.refusal::<TeamId>(misplaced);
        search.refusal::<UserId>(misplaced);
        search.refusal::<SystemReason>(misplaced);
        search.refusal::<PermissionLevel>(misplaced);
        search.refusal::<KeyKind>(misplaced);
        search.refusal::<SecretDigest>(misplaced);
        search.error(&serde_json::from_value::<ModelScope>(misplaced.into()).unwrap_err());
    }
    // In each of these it was refused at least once; the checksum of a digest is refused too.
    search.refusal::<SecretDigest>(&format!("v1${}", &text[5..]));

    // What can go wrong otherwise.
    let errors: [&(dyn Error + 'static); 13] = [
        &InvalidKey,
        &GenerateError::Exhausted,
        &RotateError::Generate(GenerateError::Stuck),
        &ManageError::<Infallible>::Rotate(RotateError::Generate(GenerateError::Generator)),
        &ManageError::<Infallible>::Generate(GenerateError::Stuck),
        &ManageError::<Infallible>::Refused(Conflict::Changed),
        &ManageError::<ParseTokenError>::Store(ParseTokenError::Malformed),
        &Unavailable::<ParseTokenError, Infallible>::Store(ParseTokenError::Malformed),
        &Unavailable::<Infallible, ParseTokenError>::Directory(ParseTokenError::Malformed),
        &keygate::InvalidRecord::Validity,
        &keygate::InvalidScope::Empty,
        &keygate::http::CredentialError::Malformed,
        &Conflict::NameTaken,
    ];
    for error in errors {
        search.error(error);
    }
    let store = BoxedKeyStore::new(Failing);
    let error: BoxError = block_on(store.find(token.id())).unwrap_err();
    search.error(&error);
    let permit = authorize_operation(&system(), Create(personal("ada")), None, at(0)).unwrap();
    let error =
        authorize_operation(&Actor::User(common::text("bob")), Create(permit.operation().0.clone()), None, at(0));
    search.error(&error.unwrap_err());
    assert!(search.searched > 1000, "{}", search.searched);
}

impl Search {
    /// Searches what a type says when it refuses a text, if it does.
    #[track_caller]
    fn refusal<T>(&mut self, text: &str)
    where
        T: core::str::FromStr<Err: Error + 'static> + serde::de::DeserializeOwned,
    {
        if let Err(error) = text.parse::<T>() {
            self.error(&error);
            let Err(error) = serde_json::from_value::<T>(text.into()) else { panic!("serde accepts it") };
            self.error(&error);
        }
    }
}

/// A store that is down.
struct Failing;

impl KeyStore for Failing {
    type Error = fmt::Error;

    async fn find(&self, _: KeyId) -> Result<Option<Arc<KeyRecord>>, fmt::Error> {
        Err(fmt::Error)
    }
}

/// The causes of an error are told once: no text repeats that of its source.
#[test]
fn causes_are_told_once() {
    let errors: [&(dyn Error + 'static); 4] = [
        &RotateError::Generate(GenerateError::Stuck),
        &ManageError::<Infallible>::Rotate(RotateError::InProgress),
        &Unavailable::<ParseTokenError, Infallible>::Store(ParseTokenError::Malformed),
        &Unauthenticated::NotAToken(ParseTokenError::Malformed),
    ];
    for error in errors {
        let source = error.source().unwrap();
        assert!(!error.to_string().contains(&source.to_string()), "{error}: {source}");
    }
}

/// What a record shows of its digests is that there are some; a public token shows what lists and logs may.
#[test]
fn redaction_leaves_what_is_public() {
    let issued = issue(personal("ada"), Validity::NEVER_EXPIRES, 1);
    let id = issued.token.id();
    let public = DisplayToken::new(KG, KeyKind::Personal, id).to_string();
    assert_eq!(format!("{:?}", issued.token), format!("Token({public}, [redacted])"));
    assert_eq!(format!("{:?}", issued.token.digest()), "SecretDigest([redacted])");
    let record = changed(issued.key.record(), |parts| {
        parts.status = Status::Disabled;
        parts.created_by = Creator::User(text("ada"));
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(5) });
    });
    let said = format!("{record:?}");
    assert_eq!(said.matches("SecretDigest([redacted])").count(), 2);
    assert!(said.contains(id.as_str()) && said.contains("Disabled"));
}
