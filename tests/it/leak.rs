//! A canary search: whatever can be printed or serialized is, and looked through for a secret that is known here.

use core::{convert::Infallible, error::Error, fmt, time::Duration};
use std::sync::{Arc, mpsc::TryRecvError};

use keygate::{
    Action, ActionName, Actor, EnvironmentName, Incarnation, Issuer, KeyId, KeyKind, KeyName, KeyRecord, LabelName,
    ManageError, Membership, MemoryStore, ModelId, ModelScope, Owner, PermissionLevel, RandomnessError, ResourceId,
    RevocationCause, Rotation, Status, TeamId, TeamRole, Token, Unauthenticated, Unavailable, UserId, Validity,
    audit::{EventId, EventKind, RefusalReason, SystemReason},
    manage::{
        Acting, Create, Import, ImportError, List, MintError, PermitError, Revoke, Rotate, RotateError, Upgrade,
        authorize_operation,
    },
    policy::decide,
    sink::{AuditSink as _, ChannelSink, Message, SinkCapacity, UsageCounter},
    stages::AcceptedKeys,
    store::{
        BoxedError, BoxedKeyManagementStore, BoxedKeyStore, ChangeFeed as _, Conflict, Creator, Cursor,
        KeyManagementStore as _, KeyStore, KeysOf, ListQuery, NotLogged, PreviousSecret, RecordParts, SecretDigest,
        SecretSlot, Touch,
    },
    verify::{DisplayToken, GenerateError, InvalidKey, MatchedKey, ParseTokenError, UnverifiedToken, verify},
};
use pollster::block_on;

use crate::common::{
    self, KG, RULES, at, call, changed, full, issue, metrics, open, personal, request, rng, root, system, team, text,
    world::{Told, World as Service},
};

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

/// Two secrets of a key that is being rotated, its record, and a service with it; it is 100, and the first secret ends
/// at 200.
struct World {
    old: Token,
    new: Token,
    record: Arc<KeyRecord>,
    service: Service,
}

impl World {
    fn new(grant: keygate::Grant) -> Self {
        let service = Service::new();
        service.set_member("ada", "core", TeamRole::Admin);
        let old = service.create("laptop", grant, Validity::NEVER_EXPIRES).token;
        let start = Rotation::Start { overlap: Duration::from_secs(100) };
        let new = block_on(service.keys.rotate(&system(), old.id(), start)).unwrap().token;
        let record = block_on(service.store.find(old.id())).unwrap().unwrap();
        Self { old, new, record, service }
    }

    fn search(&self) -> Search {
        Search::new(&[&self.old, &self.new])
    }

    fn key(&self) -> MatchedKey {
        open(&self.old, &self.record, at(100))
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
        let World { old, new, record, service } = &world;
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
            search.debug(&AcceptedKeys::new(KG).parse(token.expose_secret()).unwrap());
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
        search.json(record.labels());
        search.debug(&service.keys);
        search.debug(&service.store);
        search.debug(&BoxedKeyStore::new(MemoryStore::new()));
        search.debug(&BoxedKeyManagementStore::new(MemoryStore::new()));
        let (keys_of, query) = (KeysOf::Owner(grant.owner()), ListQuery::new());
        search.debug(&block_on(service.store.list(keys_of.clone(), query)).unwrap());
        search.debug(&(keys_of, query));
        search.debug(&block_on(service.store.changes_since(None)).unwrap());
        search.debug(&Touch::new(record.id(), SecretSlot::Previous, at(1)));

        // Verified, and decided upon.
        let key = &world.key();
        search.debug(key);
        search.debug(&key.grant());
        let call = request("core", call("m1", Some("prod")));
        let deploy = request("other", Action::Deploy);
        for membership in [None, Some(TeamRole::Member), Some(TeamRole::Outsider)] {
            for asked in [&call, &deploy] {
                let decision = decide(key, membership.map(Membership::from), asked, at(1));
                search.debug(&decision);
                match decision.into_result() {
                    Ok(allow) => {
                        search.debug(&allow.attribution());
                        search.debug(&allow);
                        let authorization = allow.to_authorization();
                        search.debug(&authorization);
                        search.debug(&authorization.key());
                        search.debug(&Actor::from(&authorization));
                    }
                    Err(denial) => {
                        search.error(&denial);
                        search.debug(&denial.requirement(key, asked));
                        search.debug(&keygate::http::Responses::new("models").unwrap().answer(denial));
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
    let (key, system, ada) = (world.key(), root(), text("ada"));
    for acting in [Acting::System(&system), Acting::User(&ada), Acting::Key(&key)] {
        search.debug(&acting);
        for role in [None, Some(TeamRole::Admin), Some(TeamRole::Member)] {
            let membership = role.map(Membership::from);
            match authorize_operation(KG, acting, Revoke(world.record.clone()), membership, at(100)) {
                Ok(permit) => {
                    search.debug(&permit);
                    let change = permit.revoke(KG, RevocationCause::Unused, &rng(8), at(100)).unwrap();
                    search.debug(&change);
                    search.debug(&change.apply(Some(&world.record)));
                }
                Err(denial) => search.error(&denial),
            }
            match authorize_operation(KG, acting, List(world.record.grant().owner()), membership, at(100)) {
                Ok(permit) => search.debug(&permit),
                Err(denial) => search.error(&denial),
            }
        }
    }

    // Whatever mints has a secret of its own, and does not show it either.
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 5);
    let search = &mut Search::new(&[&minted.token]);
    search.debug(&minted);
    search.debug(&minted.key);
    search.debug(minted.key.event());
    search.json(minted.key.event());
    search.debug(&NotLogged(vec![minted.key.event().clone()]));
    search.stored(&serde_json::to_string(minted.key.record()).unwrap());

    let acting = Acting::System(&system);
    let permit = authorize_operation(KG, acting, Rotate(world.record.clone()), None, at(100)).unwrap();
    let rotated = permit.rotate(KG, Rotation::CutOver, &RULES, &rng(6), at(100)).unwrap();
    let search = &mut Search::new(&[&rotated.token, &world.old, &world.new]);
    search.debug(&rotated);
    search.debug(&rotated.change);
    search.debug(rotated.change.draft());
    search.debug(&rotated.change.apply(Some(&world.record)));
    search.debug(&rotated.change.apply(None));
}

#[test]
fn what_a_manager_answers_says_nothing() {
    let world = World::new(personal("ada"));
    let keys = &world.service.keys;
    let spec = keygate::NewKeySpec::new(personal("ada"), text("second"), Validity::NEVER_EXPIRES);
    let issued = block_on(keys.create(&system(), spec.clone())).unwrap();
    let rotated = block_on(keys.rotate(&system(), issued.record.id(), Rotation::CutOver)).unwrap();
    let search = &mut Search::new(&[&world.old, &world.new, &issued.token, &rotated.token]);
    search.debug(&spec);
    search.debug(&issued);
    search.debug(&rotated);
    search.debug(&block_on(keys.disable(&system(), issued.record.id())).unwrap());
    search.debug(&block_on(keys.disable(&system(), issued.record.id())).unwrap());
    search.error(&block_on(keys.enable(&system(), world.old.id())).unwrap_err());
    search.debug(&block_on(keys.list(&system(), Owner::Personal(text("ada")), ListQuery::new())).unwrap());
    search.debug(&block_on(keys.revoke_leaked([world.old.expose_secret(), issued.token.expose_secret()])));
    assert!(search.searched > 30, "{}", search.searched);
}

#[test]
fn events_of_a_whole_life_say_nothing() {
    let World { old, new, service, record } = World::new(personal("ada"));
    let search = &mut Search::new(&[&old, &new]);
    let (keys, id) = (&service.keys, record.id());
    for change in [
        block_on(keys.rename(&system(), id, text("desktop"))),
        block_on(keys.set_labels(&system(), id, keygate::Labels::new([(text("a"), text("b"))]).unwrap())),
        block_on(keys.disable(&system(), id)),
        block_on(keys.enable(&system(), id)),
        block_on(keys.end_overlap(&system(), id)),
        block_on(keys.revoke(&system(), id, RevocationCause::Unused)),
    ] {
        search.debug(&change.unwrap());
    }
    let ids = block_on(keys.revoke_all(&root(), record.grant().owner(), RevocationCause::Unused)).unwrap();
    search.debug(&ids);
    // Refusals are told, and by whom.
    block_on(keys.rename(&system(), id, text("desktop"))).unwrap_err();
    search.debug(&block_on(service.gate.check(old.expose_secret(), &request("core", Action::Deploy))).unwrap());
    let told = service.told.take();
    assert!(told.iter().any(|told| matches!(told, Told::Event(event) if event.key == Some(id))), "{told:?}");
    for told in told {
        search.debug(&told);
        if let Told::Event(event) | Told::Stranger(event) = told {
            search.json(&event);
        }
    }
    let events = service.store.events();
    assert_eq!(events.len(), 8);
    for event in &events {
        search.debug(event);
        search.json(event);
    }
}

/// A legacy key has a secret as well, and digests of two kinds.
#[test]
fn imports_and_upgrades_say_nothing() {
    use keygate::legacy::{LegacyFormat, Symbols};

    static FORMATS: [LegacyFormat; 1] = [LegacyFormat::opaque("old_", Symbols::Alphanumeric, 32, 32)];
    let service = Service::new();
    let minted = issue(personal("ada"), Validity::NEVER_EXPIRES, 5).token;
    let secret = &minted.expose_secret()[22..54];
    let old = format!("old_{secret}");
    let search = &mut Search::new(&[&minted]);
    let presented = FORMATS[0].parse(&old).unwrap();
    search.debug(&presented);
    let import =
        Import::new(presented.legacy_key(), team("core", full("all")), text("old"), Validity::NEVER_EXPIRES, at(1));
    search.debug(&import);
    let id = block_on(service.keys.import(&root(), import)).unwrap();
    let key = AcceptedKeys::new(KG).with_legacy(&FORMATS).parse(&old).unwrap();
    search.debug(&key);
    let record = block_on(service.store.find(id)).unwrap();
    let key = key.verify(record, at(1)).unwrap();
    search.debug(&key);
    search.debug(&Upgrade::due(&key, &rng(1), at(1)).unwrap());
    service.store.events().iter().for_each(|event| search.json(event));
}

#[test]
fn verdicts_say_nothing() {
    let World { old, new, service, record } = World::new(personal("ada"));
    let search = &mut Search::new(&[&old, &new]);
    search.debug(&service.directory);
    search.debug(&service.gate);
    search.debug(&Incarnation::new(7));
    let asked = request("core", Action::Deploy);
    let wrong = Token::generate_secret(KG, KeyKind::Personal, record.id(), &rng(9)).unwrap();
    search.canaries.push(Canaries::of(&wrong));
    let garbled = old.expose_secret().replace('_', "-");
    for presented in [old.expose_secret(), new.expose_secret(), wrong.expose_secret(), &garbled, &garbled[3..]] {
        for now in [101, 200] {
            service.clock.set(now);
            let verdict = block_on(service.gate.check(presented, &asked)).unwrap();
            search.debug(&verdict);
            match verdict {
                keygate::Verdict::Unauthenticated(unauthenticated) => {
                    search.error(&unauthenticated);
                    search.text(unauthenticated.as_str());
                }
                keygate::Verdict::Allowed(authorization) => {
                    search.debug(&block_on(service.gate.check_again(&authorization)).unwrap());
                }
                _ => panic!("ada may deploy"),
            }
            match block_on(service.gate.authenticate(presented)) {
                Ok(key) => {
                    search.debug(&key);
                    search.debug(&Actor::from(&key));
                }
                Err(error) => search.error(&error),
            }
        }
    }
    for told in service.told.take() {
        search.debug(&told);
        if let Told::Event(event) | Told::Stranger(event) = told {
            search.json(&event);
        }
    }
    let presented = UnverifiedToken::parse(KG, wrong.expose_secret()).unwrap();
    search.error(&verify(&presented, Some(record), at(1)).unwrap_err());
}

#[test]
fn sinks_say_nothing() {
    let World { old, new, service, .. } = World::new(team("core", full("all")));
    let search = &mut Search::new(&[&old, &new]);
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let gate = service.gate.clone().with_sink(sink.clone());
    for team in ["core", "other"] {
        for token in [old.expose_secret(), new.expose_secret(), &old.expose_secret()[1..]] {
            search.debug(&block_on(gate.check(token, &request(team, Action::Deploy))).unwrap());
        }
    }
    let failed = Unavailable::<InvalidKey, Infallible>::Store(InvalidKey);
    search.debug(&Message::Failed(&failed));
    sink.tell(Message::Failed(&failed));
    search.debug(&sink);
    search.debug(&receivers);
    search.debug(&receivers.touches.take());
    search.text(&receivers.failures.try_recv().unwrap());
    let events: Vec<_> = receivers.events.try_iter().chain(receivers.strangers.try_iter()).collect();
    assert_eq!(events.len(), 4);
    assert_eq!(receivers.failures.try_recv(), Err(TryRecvError::Empty));
    for event in events {
        search.debug(&event);
        search.json(&event);
        let EventKind::Refused { reason, .. } = event.kind else { panic!("{event:?}") };
        search.debug(&reason);
    }
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
                let unauthenticated = AcceptedKeys::new(KG).parse(&mistyped).unwrap_err();
                search.error(&unauthenticated);
                search.text(unauthenticated.refusal().as_str());
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
        search.refusal::<ResourceId>(misplaced);
        search.refusal::<ActionName>(misplaced);
        search.refusal::<LabelName>(misplaced);
        search.refusal::<EventId>(misplaced);
        search.refusal::<Creator>(misplaced);
        search.refusal::<Cursor>(misplaced);
        search.refusal::<Status>(misplaced);
        search.refusal::<RevocationCause>(misplaced);
        search.refusal::<RefusalReason>(misplaced);
        search.refusal::<PermissionLevel>(misplaced);
        search.refusal::<KeyKind>(misplaced);
        search.refusal::<SecretDigest>(misplaced);
        search.error(&serde_json::from_value::<ModelScope>(misplaced.into()).unwrap_err());
    }
    // In each of these it was refused at least once; the checksum of a digest is refused too.
    search.refusal::<SecretDigest>(&format!("v1${}", &text[5..]));

    // What can go wrong otherwise.
    type Manage = ManageError<Infallible, Infallible>;
    let errors: [&(dyn Error + 'static); 22] = [
        &InvalidKey,
        &GenerateError::Exhausted,
        &RotateError::Generate(GenerateError::Stuck),
        &Manage::Rotate(RotateError::Generate(GenerateError::Generator)),
        &Manage::Mint(MintError::Generate(GenerateError::Stuck)),
        &Manage::Mint(MintError::ScopeTooLarge),
        &Manage::Import(ImportError::Date(MintError::TimeTooLate)),
        &Manage::Import(ImportError::ExpiresInPast),
        &Manage::Permit(PermitError::TooOld),
        &Manage::Conflict(Conflict::Changed),
        &Manage::ActorInvalid,
        &Manage::UserNotDeprovisioned,
        &ManageError::<ParseTokenError, Infallible>::Store(ParseTokenError::Malformed),
        &ManageError::<Infallible, ParseTokenError>::Directory(ParseTokenError::Malformed),
        &Unavailable::<ParseTokenError, Infallible>::Store(ParseTokenError::Malformed),
        &Unavailable::<Infallible, ParseTokenError>::Directory(ParseTokenError::Malformed),
        &keygate::store::InvalidRecord::Validity,
        &keygate::InvalidScope::Empty,
        &keygate::http::CredentialError::Malformed,
        &keygate::InvalidLabels::TooMany,
        &RandomnessError::new(),
        &Conflict::NameTaken,
    ];
    for error in errors {
        search.error(error);
    }
    let store = BoxedKeyStore::new(Failing);
    let error: BoxedError = block_on(store.find(token.id())).unwrap_err();
    search.error(&error);
    let (bob, create) = (common::text("bob"), Create { grant: personal("ada"), validity: Validity::NEVER_EXPIRES });
    let member = Some(TeamRole::Member.into());
    search.error(&authorize_operation(KG, Acting::User(&bob), create, member, at(0)).unwrap_err());
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
        &ManageError::<Infallible, Infallible>::Rotate(RotateError::InProgress),
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
        parts.previous = Some(PreviousSecret { digest: parts.current, ends_at: at(5), last_used_at: None });
    });
    let said = format!("{record:?}");
    assert_eq!(said.matches("SecretDigest([redacted])").count(), 2);
    assert!(said.contains(id.as_str()) && said.contains("Disabled"));
}
