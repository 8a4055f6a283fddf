//! The calls that are counted, and timed by the bars. Each asserts its answer.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::ready as ready_future,
    hint::black_box,
    pin::pin,
    sync::{Arc, Mutex, RwLock},
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use keygate::{
    Action, Actor, Authorization, EnvironmentScope, Gate, Grant, Issuer, KeyKind, KeyManager, KeyRecord, Labels,
    MemoryStore, ModelId, ModelScope, NewKeySpec, Permission, Randomness, Request, ResourceScope, System, Token,
    UnixTime, Validity, Verdict,
    http::{CredentialSources, Responses, extract_credential},
    manage::{Acting, Create, MintRules, Minted, authorize_operation},
    policy::decide,
    stages::AcceptedKeys,
    store::{KeyStore as _, PreviousSecret, RecordParts, SecretSlot},
    tower::{AuthenticateLayer, AuthorizeLayer},
    verify::{MatchedKey, ParseTokenError, UnverifiedToken, verify},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use sha2::{Digest as _, Sha256};
use tower::{Layer as _, Service as _, service_fn};

use crate::usual;

/// One call, ready to be made.
pub type Work = Box<dyn FnMut()>;

/// A call and its name.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub prepare: fn() -> Work,
}

/// How many times [`GENERATE`] and its floor are made in one call: a draw may be made again.
pub const GENERATED: u64 = 16;
/// How many keys the store of [`PIPELINE`] has.
pub const STORED: usize = 1000;

pub const HASH: Scenario = Scenario { name: "hash", prepare: hash };
pub const COMPRESS: Scenario = Scenario { name: "hash/compress", prepare: compress };
pub const PARSE: Scenario = Scenario { name: "parse/accept", prepare: parse };
pub const VERIFY: Scenario =
    Scenario { name: "parse_and_verify/current", prepare: || parse_and_verify(SecretSlot::Current) };
pub const PREVIOUS: Scenario =
    Scenario { name: "parse_and_verify/previous", prepare: || parse_and_verify(SecretSlot::Previous) };
pub const UNKNOWN: Scenario = Scenario { name: "parse_and_verify/unknown_id", prepare: unknown_id };
pub const WRONG_CHECKSUM: Scenario = Scenario { name: "reject/checksum", prepare: wrong_checksum };
/// What is refused before the hash, by how far it gets.
pub const MALFORMED: [Scenario; 6] = [
    Scenario { name: "reject/empty", prepare: || reject(String::new(), ParseTokenError::ForeignIssuer) },
    Scenario { name: "reject/jwt", prepare: || reject("eyJhbGciOi.".repeat(50), ParseTokenError::ForeignIssuer) },
    Scenario { name: "reject/version", prepare: || altered(3, "2", ParseTokenError::UnsupportedVersion) },
    Scenario { name: "reject/length", prepare: || reject(token_text().repeat(100), ParseTokenError::Malformed) },
    Scenario { name: "reject/first_symbol", prepare: || altered(5, "-", ParseTokenError::Malformed) },
    Scenario { name: "reject/last_symbol", prepare: || altered(62, "g", ParseTokenError::Malformed) },
];
pub const SCOPES: [Scenario; 4] = [
    Scenario { name: "scope/1", prepare: || scope(1) },
    Scenario { name: "scope/10", prepare: || scope(10) },
    Scenario { name: "scope/1000", prepare: || scope(1000) },
    Scenario { name: "scope/100000", prepare: || scope(100_000) },
];
pub const DECISIONS: [Scenario; 4] = [
    Scenario { name: "decide/1", prepare: || decision(1) },
    Scenario { name: "decide/10", prepare: || decision(10) },
    Scenario { name: "decide/1000", prepare: || decision(1000) },
    Scenario { name: "decide/100000", prepare: || decision(100_000) },
];
/// The same limits, by a list of actions and resources.
pub const CUSTOM: Scenario = Scenario { name: "decide/custom", prepare: || custom_decision(10) };
pub const RANDOM_AND_HASH: Scenario = Scenario { name: "generate/floor", prepare: random_and_hash };
pub const GENERATE: Scenario = Scenario { name: "generate", prepare: generate };
/// From the header to a decision, by the stages.
pub const PIPELINE: Scenario = Scenario { name: "pipeline", prepare: pipeline };
/// The same by the front door, which makes a proof that outlives the request, and tells a sink.
pub const GATE: Scenario = Scenario { name: "pipeline/gate", prepare: gate };
/// The same by both layers of `tower`, around a service that does nothing, with the fields that a usual client sends.
pub const LAYERS: Scenario = Scenario { name: "pipeline/layers", prepare: layers };
/// As [`PIPELINE`], built straight on the usual crates.
pub const USUAL_PIPELINE: Scenario = Scenario { name: "pipeline/usual_crates", prepare: usual_pipeline };

/// All of them.
#[must_use]
pub fn all() -> Vec<Scenario> {
    [
        &[HASH, COMPRESS, PARSE, VERIFY, PREVIOUS, UNKNOWN, WRONG_CHECKSUM] as &[_],
        &MALFORMED,
        &SCOPES,
        &DECISIONS,
        &[CUSTOM],
        &[RANDOM_AND_HASH, GENERATE, PIPELINE, GATE, LAYERS, USUAL_PIPELINE],
    ]
    .concat()
}

/// What OpenAI's client for Python sends beside the key.
const USUAL_FIELDS: [(&str, &str); 14] = [
    ("host", "api.example.com"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate"),
    ("connection", "keep-alive"),
    ("content-length", "143"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/Python 2.8.0"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-async", "false"),
    ("x-stainless-lang", "python"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-package-version", "2.8.0"),
    ("x-stainless-runtime", "CPython"),
    ("x-stainless-runtime-version", "3.11.2"),
];
/// Whose tokens these are.
pub const KG: Issuer = Issuer::from_static("kg");
/// When all of this takes place.
pub const NOW: UnixTime = UnixTime::from_secs(1_750_000_000);

/// The floor: one SHA-256 over the 55 bytes that a token's checksum and digest are made of.
fn hash() -> Work {
    let token = token_text();
    let body = token[..55].to_owned();
    let expected: [u8; 32] = Sha256::digest(&body).into();
    Box::new(move || {
        let hash: [u8; 32] = Sha256::digest(black_box(body.as_bytes())).into();
        assert!(hash[..8] == expected[..8]);
        black_box(hash);
    })
}

/// The floor's floor: the compression of one block, without padding and without bytes in and out.
fn compress() -> Work {
    let block = [[7; 64]];
    Box::new(move || {
        let mut state = black_box([1; 8]);
        sha2::block_api::compress256(&mut state, black_box(&block));
        assert_ne!(state[0], 1);
    })
}

fn parse() -> Work {
    let token = token();
    Box::new(move || {
        let presented = UnverifiedToken::parse(KG, black_box(token.expose_secret())).unwrap();
        assert_eq!(presented.kind(), KeyKind::Team);
        black_box(presented);
    })
}

fn parse_and_verify(slot: SecretSlot) -> Work {
    let Minted { token, key, .. } = mint(caller_of(1));
    let previous = Token::generate_secret(KG, token.kind(), token.id(), &rng(2)).unwrap();
    let mut parts = RecordParts::from(key.record().clone());
    let ends_at = NOW.saturating_add(Duration::from_secs(60));
    parts.previous = Some(PreviousSecret { digest: previous.digest(), ends_at, last_used_at: None });
    let record = Arc::new(KeyRecord::try_from(parts).unwrap());
    let presented = if slot == SecretSlot::Current { token } else { previous };
    Box::new(move || {
        let parsed = UnverifiedToken::parse(KG, black_box(presented.expose_secret())).unwrap();
        let key = verify(&parsed, Some(black_box(&record).clone()), black_box(NOW)).unwrap();
        assert_eq!(key.slot(), slot);
        let _ = black_box(key);
    })
}

fn unknown_id() -> Work {
    let token = token();
    Box::new(move || {
        let parsed = UnverifiedToken::parse(KG, black_box(token.expose_secret())).unwrap();
        assert!(verify(&parsed, black_box(None), black_box(NOW)).is_err());
    })
}

fn wrong_checksum() -> Work {
    let text = token_text();
    let other = if text.ends_with('0') { "1" } else { "0" };
    altered(62, other, ParseTokenError::ChecksumMismatch)
}

/// A token that differs in one symbol.
fn altered(place: usize, symbol: &str, expected: ParseTokenError) -> Work {
    let mut text = token_text();
    text.replace_range(place..=place, symbol);
    reject(text, expected)
}

fn reject(text: String, expected: ParseTokenError) -> Work {
    Box::new(move || assert_eq!(UnverifiedToken::parse(KG, black_box(&text)).unwrap_err(), expected))
}

/// The look-ups in both scopes without the decision around them.
fn scope(size: u32) -> Work {
    let (grant, request) = (caller_of(size), call(size.midpoint(0)));
    Box::new(move || {
        let (permission, action) = (black_box(&grant).permission().unwrap(), &black_box(&request).action);
        let environment = action.environment().unwrap();
        assert!(permission.environments().contains(environment));
        assert!(permission.models().contains(action.model().unwrap()));
    })
}

/// A decision for a key with that many models.
#[must_use]
pub fn decision(size: u32) -> Work {
    let (key, request) = (key(caller_of(size)), call(size.midpoint(0)));
    Box::new(move || assert!(decide(black_box(&key), None, black_box(&request), black_box(NOW)).is_allowed()))
}

/// A decision for a key that lists `call`, and as many resources.
#[must_use]
pub fn custom_decision(size: u32) -> Work {
    let environments = ["production", "staging"].map(|name| name.parse().unwrap());
    let permission = Permission::custom(
        ["call".parse().unwrap()],
        EnvironmentScope::only(environments).unwrap(),
        ResourceScope::only((0..size).map(|number| model(number).as_str().parse().unwrap())).unwrap(),
    );
    let (key, request) = (key(Grant::team("core".parse().unwrap(), permission.unwrap())), call(size.midpoint(0)));
    Box::new(move || assert!(decide(black_box(&key), None, black_box(&request), black_box(NOW)).is_allowed()))
}

/// What making a token cannot do without: the random bytes, and the hash.
fn random_and_hash() -> Work {
    let rng = rng(3);
    Box::new(move || {
        for _ in 0..GENERATED {
            let (mut id, mut body) = ([0; 12], [0; 55]);
            rng.fill(&mut id).unwrap();
            rng.fill(&mut body[..24]).unwrap();
            black_box(id);
            let hash: [u8; 32] = Sha256::digest(black_box(&body)).into();
            black_box(hash);
        }
    })
}

fn generate() -> Work {
    let rng = rng(3);
    Box::new(move || {
        for _ in 0..GENERATED {
            let token = Token::generate(KG, KeyKind::Team, &rng).unwrap();
            assert_eq!(token.expose_secret().len(), 63);
        }
    })
}

/// From the header fields to the decision, with a look-up among many keys.
fn pipeline() -> Work {
    let store = MemoryStore::new();
    let tokens: Vec<_> = (0..STORED).map(|number| stored(&store, number)).collect();
    let headers = headers(&tokens[STORED / 2]);
    let (keys, request, sources) = (AcceptedKeys::new(KG), call(0), CredentialSources::authorization());
    Box::new(move || {
        let credential = extract_credential(black_box(&headers), &sources, keys).unwrap();
        let presented = keys.parse(credential).unwrap();
        let record = ready(store.find(presented.id())).unwrap();
        let key = presented.verify(record, black_box(NOW)).unwrap();
        assert!(decide(&key, None, black_box(&request), black_box(NOW)).is_allowed());
    })
}

fn gate() -> Work {
    let store = MemoryStore::new();
    let tokens: Vec<_> = (0..STORED).map(|number| stored(&store, number)).collect();
    let headers = headers(&tokens[STORED / 2]);
    let (gate, request) = (Gate::with_clock(KG, store, || black_box(NOW)), call(0));
    let sources = CredentialSources::authorization();
    Box::new(move || {
        let credential = extract_credential(black_box(&headers), &sources, gate.accepted_keys()).unwrap();
        let verdict = ready(gate.check(credential, black_box(&request))).unwrap();
        assert!(matches!(verdict, Verdict::Allowed(_)));
    })
}

fn layers() -> Work {
    let store = MemoryStore::new();
    let tokens: Vec<_> = (0..STORED).map(|number| stored(&store, number)).collect();
    let (gate, request) = (Arc::new(Gate::with_clock(KG, store, || black_box(NOW))), call(0));
    let answers = Responses::new("bench").unwrap();
    let authorize =
        AuthorizeLayer::new(
            Arc::clone(&gate),
            answers.clone(),
            move |_: &mut http::request::Parts| Ok(request.clone()),
        );
    let inner = service_fn(|request: http::Request<()>| {
        let is_proven = request.extensions().get::<Authorization>().is_some();
        ready_future(Ok::<_, Infallible>(http::Response::new(is_proven.to_string())))
    });
    let service = AuthenticateLayer::new(gate, answers).layer(authorize.layer(inner));
    // Making one is not what is counted.
    let mut requests: Vec<_> = (0..2)
        .map(|_| {
            let mut request = http::Request::post("/v1/chat/completions").body(()).unwrap();
            *request.headers_mut() = headers(&tokens[STORED / 2]);
            for (name, value) in USUAL_FIELDS {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            request
        })
        .collect();
    Box::new(move || {
        let response = ready(service.clone().call(requests.pop().unwrap())).unwrap();
        assert_eq!(response.body(), "true");
    })
}

fn usual_pipeline() -> Work {
    let (store, mut records) = (MemoryStore::new(), HashMap::new());
    let tokens: Vec<_> = (0..STORED).map(|number| stored(&store, number)).collect();
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    for token in &tokens {
        let record = usual::Record {
            kind: 't',
            team: "core".to_owned(),
            // Behind the algorithm.
            current: *token.digest().to_bytes().last_chunk().unwrap(),
            previous: None,
            is_active: true,
            not_before: None,
            expires_at: None,
            environments: names(&["production", "staging"]),
            models: names(&["model-000000"]),
        };
        records.insert(token.id().as_str().to_owned(), Arc::new(record));
    }
    let (headers, records) = (headers(&tokens[STORED / 2]), RwLock::new(records));
    let call = usual::Call { team: "core", model: "model-000000", environment: "production" };
    Box::new(move || {
        let answer = usual::check(black_box(&headers), &records, black_box(&call), black_box(NOW.as_secs()));
        assert_eq!(answer, Some(true));
    })
}

fn headers(token: &Token) -> HeaderMap {
    let value = format!("Bearer {}", token.expose_secret());
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(&value).unwrap())])
}

/// Adds a key to a store, one that may call one model.
pub fn stored(store: &MemoryStore, number: usize) -> Token {
    store_key(store, number, caller_of(1))
}

/// Adds a key to a store, one that may do everything.
pub fn stored_unrestricted(store: &MemoryStore, number: usize) -> Token {
    let permission = Permission::full(EnvironmentScope::All);
    store_key(store, number, Grant::team("core".parse().unwrap(), permission))
}

fn store_key(store: &MemoryStore, number: usize, grant: Grant) -> Token {
    let keys = KeyManager::with_parts(KG, store.clone(), || NOW, rng(number.try_into().unwrap()));
    let spec = NewKeySpec::new(grant, format!("key-{number}").parse().unwrap(), Validity::NEVER_EXPIRES);
    ready(keys.create(&Actor::system("a benchmark").unwrap(), spec)).unwrap().token
}

/// Runs a future that never waits.
///
/// # Panics
///
/// If it does.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

/// A key that may call `size` models in two environments.
#[must_use]
pub fn caller_of(size: u32) -> Grant {
    let environments = ["production", "staging"].map(|name| name.parse().unwrap());
    let permission = Permission::inference_only(
        EnvironmentScope::only(environments).unwrap(),
        ModelScope::only((0..size).map(model)).unwrap(),
    );
    Grant::team("core".parse().unwrap(), permission)
}

/// A request for one of the models.
#[must_use]
pub fn call(number: u32) -> Request {
    let action = Action::call(model(number), Some("production".parse().unwrap()));
    Request::new("core".parse().unwrap(), action)
}

/// One of many models.
#[must_use]
pub fn model(number: u32) -> ModelId {
    format!("model-{number:06}").parse().unwrap()
}

/// A key that was just verified.
pub fn key(grant: Grant) -> MatchedKey {
    let Minted { token, key, .. } = mint(grant);
    let presented = UnverifiedToken::parse(KG, token.expose_secret()).unwrap();
    verify(&presented, Some(Arc::new(key.record().clone())), NOW).unwrap()
}

/// A key that was just made, and that ends.
pub fn mint(grant: Grant) -> Minted {
    let (start, end) = (UnixTime::from_secs(1_700_000_000), UnixTime::from_secs(1_800_000_000));
    let validity = Validity::new(Some(start), Some(end)).unwrap();
    let system = System::new("a benchmark").unwrap();
    let permit = authorize_operation(KG, Acting::System(&system), Create { grant, validity }, None, NOW).unwrap();
    let rules = MintRules::new().with_max_scope_members(usize::MAX);
    permit.issue(KG, ("a-key".parse().unwrap(), Labels::NONE), &rules, &rng(1), NOW).unwrap()
}

fn token() -> Token {
    Token::generate(KG, KeyKind::Team, &rng(1)).unwrap()
}

fn token_text() -> String {
    token().expose_secret().to_owned()
}

fn rng(seed: u64) -> Mutex<ChaCha20Rng> {
    Mutex::new(ChaCha20Rng::seed_from_u64(seed))
}
