//! The layers: who gets through, what the handler sees, and what is told.

use core::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use keygate::{
    Action, AuthenticatedKey, Authorization, CachedStore, Gate, Grant, Issuer, KeyId, KeyKind, KeyManager, KeyRecord,
    Membership, MemoryDirectory, MemoryStore, NewKeySpec, Reason, RevocationCause, Status, TeamId, TeamRole, Token,
    UserId, UserStatus, Validity,
    audit::{Attempt, Event, EventKind, Principal, RefusalReason},
    http::{CredentialSources, Refusal, Responses},
    policy::decide,
    sink::{ChannelSink, SinkCapacity, SinkReceivers},
    store::{Directory, KeyLookup, KeyStore, Remembered},
    tower::{AuthenticateLayer, AuthorizeLayer, Resolve, Unresolved},
};
use pollster::block_on;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::common::{
    KG, RULES, TestClock, at, full, inference, key, personal, request as wanted, rng, system, team, text,
    world::{Recorder, Told},
};

const NOW: i64 = 1000;

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl core::error::Error for Down {}

/// Keys and directory, counted, and down when told so; each look-up may take time.
#[derive(Clone, Default)]
struct World {
    keys: MemoryStore,
    directory: MemoryDirectory,
    finds: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
}

impl World {
    fn check(&self, count: &AtomicUsize) -> Result<(), Down> {
        count.fetch_add(1, Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) { Err(Down) } else { Ok(()) }
    }
}

impl KeyStore for World {
    type Error = Down;

    async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Down> {
        self.check(&self.finds)?;
        Ok(sure(self.keys.find(id).await))
    }
}

impl Directory for World {
    type Error = Down;

    async fn user(&self, user: &UserId) -> Result<UserStatus, Down> {
        self.check(&self.asked)?;
        Ok(sure(self.directory.user(user).await))
    }

    async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Down> {
        self.check(&self.asked)?;
        Ok(sure(self.directory.membership(user, team).await))
    }
}

fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Stands for a router that matched: the route is in the extensions.
#[derive(Clone)]
enum Route {
    Call(&'static str),
    Deploy(&'static str),
    NotFound,
    NoRule,
    OtherMethod,
    Broken,
}

struct Routes;

impl Resolve for Routes {
    async fn resolve(&self, parts: &mut Parts) -> Result<keygate::Request, Unresolved> {
        resolve(parts)
    }
}

fn resolve(parts: &mut Parts) -> Result<keygate::Request, Unresolved> {
    let core: TeamId = "core".parse().unwrap();
    match parts.extensions.get::<Route>() {
        Some(Route::Call(model)) => {
            let environment = Some("production".parse().unwrap());
            Ok(keygate::Request::new(core, Action::call(model.parse().unwrap(), environment)))
        }
        Some(Route::Deploy(team)) => Ok(keygate::Request::new(team.parse().unwrap(), Action::Deploy)),
        Some(Route::NotFound) => Err(Unresolved::NotFound),
        Some(Route::OtherMethod) => Err(Unresolved::MethodNotAllowed(HeaderValue::from_static("POST"))),
        Some(Route::Broken) => Err(Unresolved::Failed(Box::new(Down))),
        Some(Route::NoRule) | None => Err(Unresolved::NoRule),
    }
}

fn responses() -> Responses {
    Responses::new("models").unwrap()
}

type TestGate = Gate<World, World>;

struct Setup {
    world: World,
    clock: TestClock,
    told: Recorder,
    gate: Arc<TestGate>,
    keys: KeyManager<MemoryStore, MemoryDirectory>,
}

impl Setup {
    fn new() -> Self {
        let (world, clock, told) = (World::default(), TestClock::new(0), Recorder::default());
        let gate = Gate::with_clock(KG, world.clone(), clock.reader()).with_directory(world.clone());
        let keys = KeyManager::with_parts(KG, world.keys.clone(), clock.reader(), rng(1))
            .with_directory(world.directory.clone())
            .with_rules(RULES);
        world.directory.set_member(text("ada"), text("core"), TeamRole::Member);
        Self { gate: Arc::new(gate.with_sink(told.clone())), world, clock, told, keys }
    }

    fn key(&self, name: &str, grant: Grant) -> Token {
        self.key_valid(name, grant, Validity::NEVER_EXPIRES)
    }

    /// Creates a key at 0; afterwards it is `NOW`.
    fn key_valid(&self, name: &str, grant: Grant, validity: Validity) -> Token {
        self.clock.set(0);
        let issued = block_on(self.keys.create(&system(), NewKeySpec::new(grant, text(name), validity))).unwrap();
        self.clock.set(NOW);
        issued.token
    }

    /// Creates a key of bob, who is deprovisioned then.
    fn key_of_one_who_is_gone(&self) -> Token {
        self.world.directory.set_member(text("bob"), text("core"), TeamRole::Admin);
        let token = self.key("gone", personal("bob"));
        self.world.directory.deprovision(&text("bob"));
        token
    }

    fn authenticate(&self) -> AuthenticateLayer<World, World, keygate::store::Current> {
        AuthenticateLayer::new(Arc::clone(&self.gate), responses())
    }

    fn authorize(&self) -> AuthorizeLayer<World, World, keygate::store::Current, Routes> {
        AuthorizeLayer::new(Arc::clone(&self.gate), responses(), Routes).hiding()
    }

    /// Sends a request through both layers to a handler that tells what it saw.
    fn send(&self, request: Request<()>) -> Response<String> {
        self.send_through(self.authenticate(), request)
    }

    fn send_through(
        &self,
        authenticate: AuthenticateLayer<World, World, keygate::store::Current>,
        request: Request<()>,
    ) -> Response<String> {
        let service = ServiceBuilder::new().layer(authenticate).layer(self.authorize()).service_fn(handle);
        block_on(service.oneshot(request)).unwrap()
    }

    /// Sends a request through the first layer alone, to a handler that says which key it was given.
    fn send_through_one(&self, request: Request<()>) -> Response<String> {
        send_through_one(self.authenticate(), request)
    }

    fn events(&self) -> Vec<Event> {
        self.told.take_events()
    }
}

fn send_through_one<S, D, M>(layer: AuthenticateLayer<S, D, M>, request: Request<()>) -> Response<String>
where
    S: KeyLookup<M> + 'static,
    D: Directory + 'static,
    M: 'static,
{
    let handler = service_fn(|request: Request<()>| async move {
        let key = request.extensions().get::<AuthenticatedKey>();
        Ok::<_, Infallible>(Response::new(key.map_or("nobody".into(), |key| key.id().to_string())))
    });
    block_on(ServiceBuilder::new().layer(layer).service(handler).oneshot(request)).unwrap()
}

async fn handle(request: Request<()>) -> Result<Response<String>, Infallible> {
    let authorization = request.extensions().get::<Authorization>().unwrap();
    let saw = format!("{} {:?}", authorization.key().id(), authorization.request().action.kind());
    assert!(!request.headers().contains_key("authorization") && !request.headers().contains_key("x-api-key"));
    assert!(request.extensions().get::<AuthenticatedKey>().is_some());
    Ok(Response::new(saw))
}

/// The reason of a refusal, and what was attempted.
fn refusal(event: Event) -> (RefusalReason, Option<Attempt>) {
    let EventKind::Refused { attempt, reason, .. } = event.kind else { panic!("{event:?}") };
    (reason, attempt)
}

fn request(authorization: &str, route: Route) -> Request<()> {
    Request::builder().header("authorization", authorization).extension(route).body(()).unwrap()
}

fn bearer(token: &Token, route: Route) -> Request<()> {
    request(&format!("Bearer {}", token.expose_secret()), route)
}

#[test]
fn an_allowed_request_reaches_the_handler_with_its_proof_and_without_its_credential() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let response = setup.send(bearer(&token, Route::Call("m1")));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*response.body(), format!("{} Call", token.id()));
    let told = setup.told.take();
    let [Told::Touch(touch), Told::Allowed(authorization)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((touch.id, touch.used_at, authorization.key().id()), (token.id(), at(NOW), token.id()));
    assert_eq!(setup.world.asked.load(Ordering::SeqCst), 0, "a team key has no user to ask about");
}

/// Twice at most for one request: whether there is such a user, and what they are in the team.
#[test]
fn the_directory_is_asked_for_personal_keys_only() {
    let setup = Setup::new();
    let (mine, gone) = (setup.key("key", personal("ada")), setup.key_of_one_who_is_gone());
    let asked = || setup.world.asked.swap(0, Ordering::SeqCst);
    assert_eq!(setup.send(bearer(&mine, Route::Deploy("core"))).status(), StatusCode::OK);
    assert_eq!(asked(), 2);
    assert_eq!(setup.send(bearer(&gone, Route::Deploy("core"))).status(), StatusCode::UNAUTHORIZED);
    assert_eq!(asked(), 1);
    let expired = setup.key_valid("expired", personal("ada"), Validity::until(at(NOW)));
    assert_eq!(setup.send(bearer(&expired, Route::Deploy("core"))).status(), StatusCode::UNAUTHORIZED);
    assert!(asked() <= 1, "an expired key is refused whatever its user is");
}

#[test]
fn whatever_is_wrong_with_a_credential_has_one_answer() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let good = token.expose_secret();
    let wrong = Token::generate_secret(KG, token.kind(), token.id(), &rng(9)).unwrap();
    let unknown = Token::generate(KG, token.kind(), &rng(8)).unwrap();
    let other_kind = Token::generate_secret(KG, KeyKind::Personal, token.id(), &rng(9)).unwrap();
    let texts = [
        wrong.expose_secret().to_owned(),
        unknown.expose_secret().to_owned(),
        other_kind.expose_secret().to_owned(),
        good.replace("kgt1_", "kgt2_"),
        good.replace("kgt1_", "acmet1_"),
        format!("{good}0"),
        good.chars().rev().collect(),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".into(),
        "x".into(),
    ];
    let print = |response: &Response<String>| format!("{:?}", (response.status(), response.headers(), response.body()));
    let expected = print(&setup.send(request("Bearer x", Route::Call("m1"))));
    for text in &texts {
        assert_eq!(print(&setup.send(request(&format!("Api-Key {text}"), Route::Call("m1")))), expected);
    }
    assert_eq!(setup.world.finds.load(Ordering::SeqCst), 3, "only the three well-formed ones were looked up");
    let told = setup.told.take();
    assert_eq!(told.len(), texts.len().checked_add(1).unwrap(), "each refusal is told, as a stranger's");
    let is_stranger = |told: &Told| matches!(told, Told::Stranger(Event { by: Principal::Unverified { .. }, .. }));
    assert!(told.iter().all(is_stranger), "{told:?}");
}

#[test]
fn a_failed_look_up_is_neither_an_allow_nor_an_invalid_key() {
    let setup = Setup::new();
    let (team_key, user_key) = (setup.key("key", team("core", full("all"))), setup.key("key", personal("ada")));
    let is_down = |is_down| setup.world.is_down.store(is_down, Ordering::SeqCst);
    is_down(true);
    let response = setup.send(bearer(&team_key, Route::Call("m1")));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(matches!(&setup.told.take()[..], [Told::Failed(_)]));
    // The key is known from a cache, and its user is not.
    is_down(false);
    let cache = CachedStore::new(setup.world.clone(), Duration::from_secs(60));
    block_on(KeyLookup::<Remembered>::look_up(&cache, user_key.id())).unwrap();
    let cached = Gate::with_clock(KG, cache, setup.clock.reader()).with_directory(setup.world.clone());
    is_down(true);
    let layer = AuthenticateLayer::new(Arc::new(cached), responses());
    let response = send_through_one(layer.clone(), bearer(&user_key, Route::Deploy("core")));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    is_down(false);
    let response = send_through_one(layer, bearer(&user_key, Route::Deploy("core")));
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, user_key.id().as_str()));
    assert_eq!(setup.send(bearer(&user_key, Route::Deploy("core"))).status(), StatusCode::OK, "and it recovers");
}

#[test]
fn what_is_hidden_and_what_is_absent_look_the_same() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", inference("all", "m1")));
    let print = |route| {
        let response = setup.send(bearer(&token, route));
        format!("{:?}", (response.status(), response.headers(), response.body()))
    };
    let absent = print(Route::NotFound);
    assert!(absent.contains("404"));
    assert_eq!(print(Route::Call("m2")), absent);
    let other_team = setup.key("key", team("labs", full("all")));
    let response = setup.send(bearer(&other_team, Route::Call("m1")));
    assert_eq!(format!("{:?}", (response.status(), response.headers(), response.body())), absent);
    assert_eq!(setup.send(bearer(&token, Route::Deploy("core"))).status(), StatusCode::FORBIDDEN);
    // A service that hides nothing says what it is.
    let open = AuthorizeLayer::new(Arc::clone(&setup.gate), responses(), resolve);
    let service = ServiceBuilder::new().layer(setup.authenticate()).layer(open).service_fn(handle);
    let response = block_on(service.oneshot(bearer(&token, Route::Call("m2")))).unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

/// Neither a layer nor its service shows what it holds.
#[test]
fn layers_are_shown_by_their_names() {
    let setup = Setup::new();
    let (authenticate, authorize) = (setup.authenticate(), setup.authorize());
    assert_eq!(format!("{authenticate:?} {authorize:?}"), "AuthenticateLayer { .. } AuthorizeLayer { .. }");
    let services = (authenticate.layer(service_fn(handle)), authorize.layer(service_fn(handle)));
    assert_eq!(format!("{services:?}"), "(Authenticate { .. }, Authorize { .. })");
}

#[test]
fn a_route_without_a_rule_is_closed() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    assert_eq!(setup.send(bearer(&token, Route::NoRule)).status(), StatusCode::FORBIDDEN);
    let told: Vec<_> = setup.events().into_iter().map(refusal).collect();
    assert_eq!(told, [(RefusalReason::CLOSED, None)]);
    assert_eq!(setup.send(bearer(&token, Route::Broken)).status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(matches!(&setup.told.take()[..], [Told::Failed(_)]));
}

#[test]
fn proofs_that_came_with_the_request_are_no_proofs() {
    let setup = Setup::new();
    let strong = setup.key("key", team("core", full("all")));
    let seen = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&seen);
    let handler = service_fn(move |request: Request<()>| {
        let extensions = request.extensions();
        let proof = (extensions.get::<AuthenticatedKey>().cloned(), extensions.get::<Authorization>().cloned());
        *keep.lock().unwrap() = Some(proof);
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    let layers = ServiceBuilder::new().layer(setup.authenticate()).layer(setup.authorize());
    block_on(layers.service(handler).oneshot(bearer(&strong, Route::Call("m1")))).unwrap();
    let (key, authorization) = seen.lock().unwrap().take().unwrap();

    let mut forged = request("Bearer x", Route::Call("m1"));
    forged.extensions_mut().insert(key.unwrap());
    forged.extensions_mut().insert(authorization.clone().unwrap());
    assert_eq!(setup.send(forged).status(), StatusCode::UNAUTHORIZED);

    // Without the first layer, the second one lets nobody in.
    let alone = ServiceBuilder::new().layer(setup.authorize()).service_fn(handle);
    let mut forged = bearer(&strong, Route::Call("m1"));
    forged.extensions_mut().insert(authorization.unwrap());
    assert_eq!(block_on(alone.oneshot(forged)).unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn other_credentials_are_passed_on_only_where_asked_for() {
    let setup = Setup::new();
    let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    let strong = key(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active, 1);
    let deploy = wanted("core", Action::Deploy);
    let authorization = decide(&strong, None, &deploy, at(0)).into_result().unwrap().to_authorization();
    // What stands in the extensions already is no proof, and goes no further.
    let request = |value, route| {
        let mut request = request(value, route);
        request.extensions_mut().insert(authorization.key().clone());
        request.extensions_mut().insert(authorization.clone());
        request
    };
    let cases = [("Basic eDp5", true), (jwt, true), ("Bearer kgt1_x", false), ("Bearer", false)];
    for (value, is_passed_on) in cases {
        let handler = service_fn(|request: Request<()>| async move {
            assert!(request.extensions().get::<AuthenticatedKey>().is_none());
            assert!(request.extensions().get::<Authorization>().is_none());
            Ok::<_, Infallible>(Response::new(String::from(request.headers()["authorization"].to_str().unwrap())))
        });
        let layer = setup.authenticate().pass_foreign_on();
        let service = ServiceBuilder::new().layer(layer.clone()).service(handler);
        let response = block_on(service.oneshot(request(value, Route::NoRule))).unwrap();
        assert_eq!(response.status() == StatusCode::OK && response.body() == value, is_passed_on, "{value}");
        // Behind both layers nobody gets in without a key of ours.
        assert!(setup.send_through(layer, request(value, Route::Call("m1"))).status().is_client_error());
        assert!(setup.send(request(value, Route::Call("m1"))).status().is_client_error());
    }
    // Nothing is not another system's.
    let nothing = Request::builder().body(()).unwrap();
    let response = send_through_one(setup.authenticate().pass_foreign_on(), nothing);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn x_api_key_counts_where_switched_on() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let request = || {
        let builder = Request::builder().header("x-api-key", token.expose_secret()).extension(Route::Call("m1"));
        builder.body(()).unwrap()
    };
    assert_eq!(setup.send(request()).status(), StatusCode::BAD_REQUEST, "misplaced");
    let layer = setup.authenticate().sources(CredentialSources::authorization().with_x_api_key());
    assert_eq!(setup.send_through(layer, request()).status(), StatusCode::OK);
}

#[test]
fn plaintext_is_refused_before_anything_is_read() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let layer = || setup.authenticate().refuse_plaintext(|parts| !parts.headers.contains_key("x-forwarded-tls"));
    let good = setup.send_through(layer(), bearer(&token, Route::Call("m1")));
    let bad = setup.send_through(layer(), request("Bearer x", Route::Call("m1")));
    let none = setup.send_through(layer(), Request::builder().body(()).unwrap());
    for response in [&good, &bad, &none] {
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!((response.headers(), response.body()), (good.headers(), good.body()));
    }
    assert_eq!(setup.world.finds.load(Ordering::SeqCst), 0);
    let told = setup.told.take();
    assert!(told.len() == 3 && told.iter().all(|told| matches!(told, Told::Stranger(_))), "{told:?}");
    let mut encrypted = bearer(&token, Route::Call("m1"));
    encrypted.headers_mut().insert("x-forwarded-tls", "1".parse().unwrap());
    assert_eq!(setup.send_through(layer(), encrypted).status(), StatusCode::OK);
}

/// A log that nobody reads holds up no request: what does not fit is counted.
#[test]
fn a_full_sink_drops_with_a_count_and_blocks_nobody() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let mut capacity = SinkCapacity::default();
    (capacity.events, capacity.strangers, capacity.failures, capacity.touches) = (1, 1, 1, 1);
    let (sink, receivers) = ChannelSink::new(capacity);
    let gate = Gate::clone(&setup.gate).with_sink(sink.clone());
    let setup = Setup { gate: Arc::new(gate), ..setup };
    for _ in 0..3 {
        assert_eq!(setup.send(bearer(&token, Route::Call("m1"))).status(), StatusCode::OK);
        assert_eq!(setup.send(bearer(&token, Route::Deploy("labs"))).status(), StatusCode::NOT_FOUND);
        assert_eq!(setup.send(bearer(&token, Route::Broken)).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(setup.send(request("Bearer x", Route::NoRule)).status(), StatusCode::UNAUTHORIZED);
    }
    let SinkReceivers { events, strangers, failures, touches, .. } = receivers;
    assert_eq!(touches.take().len(), 1, "the three of one key are one");
    assert_eq!((events.try_iter().count(), strangers.try_iter().count(), failures.try_iter().count()), (1, 1, 1));
    let lost = sink.lost();
    assert_eq!((lost.events, lost.strangers, lost.failures, lost.touches), (2, 2, 2, 0));
    assert_eq!(sink.allowed(), 3);
    let of = |name: &str| name.parse::<RefusalReason>().unwrap();
    assert!(sink.refused().any(|count| count == (of("other_team"), 3)));
    assert!(sink.strangers().any(|count| count == (of("foreign_issuer"), 3)));
    // Nor does one whose reader is gone.
    drop((events, strangers, failures, touches));
    assert_eq!(setup.send(bearer(&token, Route::Call("m1"))).status(), StatusCode::OK);
    assert_eq!(setup.send(bearer(&token, Route::Deploy("labs"))).status(), StatusCode::NOT_FOUND);
    assert_eq!(sink.lost().events, 3);
}

#[test]
fn a_refusal_says_who_what_and_why() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", inference("all", "all")));
    setup.send(bearer(&token, Route::Deploy("core")));
    let told = setup.told.take();
    let [Told::Event(event)] = &told[..] else { panic!("a denied request is no use: {told:?}") };
    assert_eq!((event.key, event.owner.clone()), (Some(token.id()), Some(keygate::Owner::Team(text("core")))));
    assert!(matches!(event.by, Principal::Key { id, user: None, .. } if id == token.id()));
    let (reason, attempt) = refusal(event.clone());
    assert_eq!(reason, Reason::LevelInsufficient.into());
    assert_eq!(attempt, Some(Attempt::request(&wanted("core", Action::Deploy))));
    // Of a personal key, its user; of a call, the model and the environment.
    let mine = setup.key("key", personal("ada"));
    setup.send(bearer(&mine, Route::Deploy("labs")));
    let [event] = <[Event; 1]>::try_from(setup.events()).unwrap();
    assert_eq!(event.by.user(), Some(&text("ada")));
    let narrow = setup.key("narrow", team("core", inference("all", "m2")));
    setup.send(bearer(&narrow, Route::Call("m1")));
    let [event] = <[Event; 1]>::try_from(setup.events()).unwrap();
    let (_, attempt) = refusal(event);
    let Some(Attempt::Request { team, action, model, environment, resource, .. }) = attempt else { panic!() };
    assert_eq!((team.as_str(), action.as_str(), resource), ("core", "call", None));
    assert_eq!((model, environment), (Some(text("m1")), Some(text("production"))));

    let cases: [(Request<()>, &str); 5] = [
        (Request::builder().body(()).unwrap(), "missing"),
        (request("Bearer", Route::NoRule), "malformed"),
        (request("Bearer x", Route::NoRule), "foreign_issuer"),
        (bearer(&token, Route::NoRule), "closed"),
        (bearer(&token, Route::NotFound), "not_found"),
    ];
    for (request, expected) in cases {
        setup.send(request);
        let told: Vec<_> = setup.events().into_iter().map(refusal).collect();
        assert_eq!(told, [(expected.parse().unwrap(), None)]);
    }
}

/// What passed the first layer is usable: a handler behind it alone serves nobody who is gone, and no key that ended.
#[test]
fn behind_the_first_layer_alone_a_key_is_usable() {
    let setup = Setup::new();
    let (mine, ours) = (setup.key("key", personal("ada")), setup.key("key", team("core", full("all"))));
    let gone = setup.key_of_one_who_is_gone();
    let [disabled, revoked] = ["disabled", "revoked"].map(|name| setup.key(name, personal("ada")));
    block_on(setup.keys.disable(&system(), disabled.id())).unwrap();
    block_on(setup.keys.revoke(&system(), revoked.id(), RevocationCause::Requested)).unwrap();
    let early = setup.key_valid("early", personal("ada"), Validity::starting_at(at(NOW + 1)));
    let expired = setup.key_valid("expired", team("core", full("all")), Validity::until(at(NOW)));
    let last = setup.key_valid("last", team("core", full("all")), Validity::until(at(NOW + 1)));
    for usable in [&mine, &ours, &last] {
        let response = setup.send_through_one(bearer(usable, Route::NoRule));
        assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, usable.id().as_str()));
    }
    assert!(setup.events().is_empty());
    let unusable = [
        (&gone, "owner_deprovisioned"),
        (&disabled, "disabled"),
        (&revoked, "revoked"),
        (&early, "not_yet_valid"),
        (&expired, "expired"),
    ];
    for (token, reason) in unusable {
        let response = setup.send_through_one(bearer(token, Route::NoRule));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{reason}");
        assert!(response.body().contains(&format!("\"reason\":\"{reason}\"")), "told to who has the secret");
        // Apart from those of valid keys, and yet it is said whose key it was.
        let told = setup.told.take();
        let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
        assert!(matches!(event.by, Principal::Key { id, .. } if id == token.id()));
        assert_eq!(refusal(event.clone()), (reason.parse().unwrap(), None));
    }
    // One who left and came back gets no old key back.
    setup.world.directory.set_member(text("bob"), text("core"), TeamRole::Admin);
    assert_eq!(setup.send_through_one(bearer(&gone, Route::NoRule)).status(), StatusCode::UNAUTHORIZED);
    let new = setup.key("new", personal("bob"));
    assert_eq!(setup.send_through_one(bearer(&new, Route::NoRule)).status(), StatusCode::OK);
}

/// A proof is of the issuer that it was made for: no key of another one passes, unless it is accepted by name.
#[test]
fn a_key_of_another_issuer_is_a_strangers() {
    static PREVIOUS: [Issuer; 1] = [Issuer::from_static("prev")];
    let setup = Setup::new();
    let prev = KeyManager::with_parts(PREVIOUS[0], setup.world.keys.clone(), || at(0), rng(5));
    let spec = NewKeySpec::new(team("core", full("all")), text("old"), Validity::NEVER_EXPIRES);
    let old = block_on(prev.create(&system(), spec)).unwrap().token;
    setup.clock.set(NOW);
    for response in [setup.send_through_one(bearer(&old, Route::NoRule)), setup.send(bearer(&old, Route::Call("m1")))] {
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    // Nor does a token of this issuer open a record of that one.
    let guess = Token::generate_secret(KG, KeyKind::Team, old.id(), &rng(9)).unwrap();
    assert_eq!(setup.send_through_one(bearer(&guess, Route::NoRule)).status(), StatusCode::UNAUTHORIZED);
    // A proof of another gate is looked up again by this one, which does not know the issuer.
    let other = Gate::with_clock(PREVIOUS[0], setup.world.clone(), setup.clock.reader());
    let proof = block_on(other.authenticate(old.expose_secret())).unwrap();
    let mut forged = request("Bearer x", Route::Call("m1"));
    forged.headers_mut().clear();
    forged.extensions_mut().insert(proof);
    let alone = ServiceBuilder::new().layer(setup.authorize()).service_fn(handle);
    assert_ne!(block_on(alone.oneshot(forged)).unwrap().status(), StatusCode::OK);

    let both = Gate::clone(&setup.gate).with_issuers(&PREVIOUS);
    let layer = AuthenticateLayer::new(Arc::new(both), responses());
    let response = send_through_one(layer, bearer(&old, Route::NoRule));
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::OK, old.id().as_str()));
}

/// Who is gone does not learn what exists: one answer, whatever was asked for.
#[test]
fn a_deprovisioned_user_gets_one_answer_everywhere() {
    let setup = Setup::new();
    let gone = setup.key_of_one_who_is_gone();
    let routes = [Route::Call("m1"), Route::Deploy("labs"), Route::NotFound, Route::NoRule, Route::Broken];
    let send = |route: &Route| {
        let response = setup.send(bearer(&gone, route.clone()));
        format!("{:?}", (response.status(), response.headers(), response.body()))
    };
    let seen: Vec<_> = routes.iter().map(send).collect();
    assert!(seen.iter().all(|one| one.starts_with("(401,") && *one == seen[0]), "{seen:#?}");
    assert_eq!(setup.events().len(), routes.len(), "each is told");
    // Who is not gone is told what there is not.
    let member = setup.key("member", personal("ada"));
    assert_eq!(setup.send(bearer(&member, Route::NotFound)).status(), StatusCode::NOT_FOUND);
    assert_eq!(setup.send(bearer(&member, Route::NoRule)).status(), StatusCode::FORBIDDEN);
    // Nor does an outage tell what exists: a broken look-up has one answer, too.
    for route in routes {
        setup.world.is_down.store(true, Ordering::SeqCst);
        assert_eq!(setup.send(bearer(&member, route)).status(), StatusCode::SERVICE_UNAVAILABLE);
        setup.world.is_down.store(false, Ordering::SeqCst);
    }
}

/// What ends while a look-up is under way has ended when it answers.
#[test]
fn a_slow_look_up_serves_no_secret_that_ended_meanwhile() {
    /// Answers twenty seconds later.
    struct Slow(World, TestClock);
    impl KeyStore for Slow {
        type Error = Infallible;

        async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            self.1.advance(20);
            self.0.keys.find(id).await
        }
    }
    impl Directory for Slow {
        type Error = Infallible;

        async fn user(&self, user: &UserId) -> Result<UserStatus, Infallible> {
            self.1.advance(20);
            self.0.directory.user(user).await
        }

        async fn membership(&self, user: &UserId, team: &TeamId) -> Result<Membership, Infallible> {
            self.1.advance(20);
            self.0.directory.membership(user, team).await
        }
    }

    let setup = Setup::new();
    // The key is found at 120, its user at 140, and the membership at 160.
    let until = |name, grant, end| setup.key_valid(name, grant, Validity::until(at(end)));
    let cases = [
        (until("key-110", team("core", full("all")), 110), 401),
        (until("key-121", team("core", full("all")), 121), 200),
        (until("key-130", personal("ada"), 130), 401),
        (until("key-150", personal("ada"), 150), 401),
        (until("key-161", personal("ada"), 161), 200),
        (setup.key("lasts", personal("ada")), 200),
    ];
    for (token, expected) in cases {
        let slow = || Slow(setup.world.clone(), setup.clock.clone());
        let gate = Arc::new(Gate::with_clock(KG, slow(), setup.clock.reader()).with_directory(slow()));
        setup.clock.set(100);
        let service = ServiceBuilder::new()
            .layer(AuthenticateLayer::new(Arc::clone(&gate), responses()))
            .layer(AuthorizeLayer::new(gate, responses(), Routes))
            .service_fn(handle);
        let response = block_on(service.oneshot(bearer(&token, Route::Deploy("core")))).unwrap();
        assert_eq!(response.status().as_u16(), expected, "{}", token.public());
    }
}

/// A key that was authenticated a minute before it is decided about is looked up again.
#[test]
fn what_waits_between_the_layers_is_looked_up_again() {
    for (seconds, expected) in [(59, StatusCode::OK), (60, StatusCode::UNAUTHORIZED)] {
        let setup = Setup::new();
        let token = setup.key("key", team("core", full("all")));
        let (keys, clock, id) = (setup.keys.clone(), setup.clock.clone(), token.id());
        // Stands between the layers: the key is revoked meanwhile, and time goes by.
        let slow = tower::util::MapRequestLayer::new(move |request: Request<()>| {
            block_on(keys.revoke(&system(), id, RevocationCause::Leaked)).unwrap();
            clock.advance(seconds);
            request
        });
        let layers = ServiceBuilder::new().layer(setup.authenticate()).layer(slow).layer(setup.authorize());
        let response = block_on(layers.service_fn(handle).oneshot(bearer(&token, Route::Call("m1")))).unwrap();
        assert_eq!(response.status(), expected, "{seconds}");
    }
}

/// The service that was polled ready is the one that is called.
#[test]
fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    struct Ready {
        is_ready: bool,
        clones: Arc<AtomicUsize>,
    }
    impl Clone for Ready {
        fn clone(&self) -> Self {
            self.clones.fetch_add(1, Ordering::SeqCst);
            Self { is_ready: false, clones: Arc::clone(&self.clones) }
        }
    }
    impl Service<Request<()>> for Ready {
        type Response = Response<String>;
        type Error = Infallible;
        type Future = core::future::Ready<Result<Response<String>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.is_ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<()>) -> Self::Future {
            assert!(core::mem::take(&mut self.is_ready), "called without being ready");
            core::future::ready(Ok(Response::new(String::new())))
        }
    }

    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let clones = Arc::new(AtomicUsize::new(0));
    let inner = || Ready { is_ready: false, clones: Arc::clone(&clones) };
    let stack = ServiceBuilder::new().layer(setup.authenticate()).layer(setup.authorize());
    let response = block_on(stack.service(inner()).oneshot(bearer(&token, Route::Call("m1"))));
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    assert_eq!(clones.swap(0, Ordering::SeqCst), 2, "once for each layer that waits");
}

/// A place that was reserved by being polled ready is free again where the request is refused, before the answer is
/// sent.
#[test]
fn a_refusal_gives_the_inner_services_place_back() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", inference("all", "m1")));
    let one_place = tower::limit::GlobalConcurrencyLimitLayer::new(1);
    let missing = || Request::builder().body(()).unwrap();
    let cases = [
        (missing(), StatusCode::UNAUTHORIZED),
        (request("Bearer", Route::NoRule), StatusCode::BAD_REQUEST),
        (request("Bearer x", Route::NoRule), StatusCode::UNAUTHORIZED),
        (bearer(&token, Route::NotFound), StatusCode::NOT_FOUND),
        (bearer(&token, Route::Call("m2")), StatusCode::NOT_FOUND),
    ];
    for (request, status) in cases {
        let mut service = ServiceBuilder::new()
            .layer(setup.authenticate())
            .layer(setup.authorize())
            .layer(one_place.clone())
            .service_fn(handle);
        let mut other = service.clone();
        let mut context = Context::from_waker(Waker::noop());
        let future = block_on(service.ready()).unwrap().call(request);
        assert!(Service::<Request<()>>::poll_ready(&mut other, &mut context).is_pending(), "the place is taken");
        let mut future = core::pin::pin!(future);
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut context) else { panic!("nothing waits here") };
        assert_eq!(response.status(), status);
        // Neither the service nor the future is dropped yet.
        assert!(Service::<Request<()>>::poll_ready(&mut other, &mut context).is_ready(), "{status}");
        drop(service);
    }
}

/// A service that was called is not held until its answer is there: it may release something when it is dropped.
#[test]
fn a_service_that_was_called_is_let_go() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", inference("all", "m1")));
    let held = Arc::new(());
    let in_service = Arc::clone(&held);
    let mut service =
        ServiceBuilder::new().layer(setup.authenticate()).layer(setup.authorize()).service_fn(move |_: Request<()>| {
            let _in_service = &in_service;
            core::future::pending::<Result<Response<String>, Infallible>>()
        });
    let future = block_on(service.ready()).unwrap().call(bearer(&token, Route::Call("m1")));
    let mut future = core::pin::pin!(future);
    assert_eq!(Arc::strong_count(&held), 3, "here, in the service and in the future");
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(Arc::strong_count(&held), 2, "here and in the service");
}

/// A service makes each answer itself, from what was refused and from the request, and in a body of its own.
#[test]
fn a_service_answers_in_its_own_way() {
    #[derive(Debug, Eq, PartialEq)]
    struct Body(String);

    let setup = Setup::new();
    let token = setup.key("key", team("core", inference("all", "m1")));
    let answered = Arc::new(AtomicUsize::new(0));
    // A function that holds state.
    let counter = Arc::clone(&answered);
    let answer = move |refusal: &Refusal, parts: &Parts| {
        counter.fetch_add(1, Ordering::SeqCst);
        let text = format!("{} {} {}", parts.method, refusal.kind(), refusal.reason().unwrap_or("-"));
        Response::builder().status(refusal.status()).body(Body(text)).unwrap()
    };
    let authenticate = AuthenticateLayer::new(Arc::clone(&setup.gate), answer.clone());
    let authorize = AuthorizeLayer::new(Arc::clone(&setup.gate), answer, Routes);
    let cases = [
        (Request::builder().body(()).unwrap(), 401, "GET missing_credential -"),
        (request("Bearer", Route::NoRule), 400, "GET invalid_request malformed"),
        (request(&format!("Token {}", token.expose_secret()), Route::NoRule), 400, "GET invalid_request misplaced"),
        (request("Bearer x", Route::NoRule), 401, "GET invalid_token -"),
        (bearer(&token, Route::NoRule), 403, "GET insufficient_scope -"),
        (bearer(&token, Route::NotFound), 404, "GET not_found -"),
        (bearer(&token, Route::OtherMethod), 405, "GET method_not_allowed -"),
        (bearer(&token, Route::Call("m2")), 403, "GET insufficient_scope model_not_in_scope"),
        (bearer(&token, Route::Broken), 503, "GET unavailable -"),
        (bearer(&token, Route::Call("m1")), 200, "served"),
    ];
    let count = cases.len();
    for (request, status, body) in cases {
        let service = ServiceBuilder::new().layer(authenticate.clone()).layer(authorize.clone());
        let served = service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body("served".into()))));
        let response = block_on(service.service(served).oneshot(request)).unwrap();
        assert_eq!((response.status().as_u16(), response.into_body()), (status, Body(body.into())));
    }
    assert_eq!(answered.load(Ordering::SeqCst), count.checked_sub(1).unwrap());
}

/// Another method than a route has is no question of what the key may do; nobody is served by it.
#[test]
fn another_method_is_405_and_not_403() {
    let setup = Setup::new();
    let token = setup.key("key", team("core", full("all")));
    let response = setup.send(bearer(&token, Route::OtherMethod));
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "POST");
    let told: Vec<_> = setup.events().into_iter().map(refusal).collect();
    assert_eq!(told, [(RefusalReason::CLOSED, None)]);
    // Without a key there is nothing to learn.
    let response = setup.send(request("Bearer x", Route::OtherMethod));
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}
