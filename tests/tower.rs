//! The layers: who gets through, what the handler sees, and what is told.
#![cfg(all(feature = "tower", feature = "memory"))]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod common;

use core::{
    convert::Infallible,
    fmt,
    sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    task::{Context, Poll},
};
use std::sync::{Arc, mpsc::Receiver};

use common::{at, full, inference, key, personal, rng, system, team, text};
use http::{Request, Response, StatusCode, request::Parts};
use keygate::{
    Action, ActionKind, Asked, Authorization, CachedStore, Create, Directory, EventKind, Gate, Grant, KeyId,
    KeyManagementStore, KeyRecord, KeyStore, MatchedKey, Membership, MemoryDirectory, MemoryStore, Principal, Status,
    TeamId, Token, UnixTime, UserId, Validity, authorize_operation, decide,
    http::{CredentialHeaders, Responses},
    tower::{AuthenticateLayer, AuthorizeLayer, ChannelSink, LayerConfig, Message, Resolve, Unresolved, channel_sink},
};
use pollster::block_on;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

const NOW: UnixTime = UnixTime::from_secs(1000);

#[derive(Debug)]
struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("down")
    }
}

impl core::error::Error for Down {}

/// Keys and directory, counted, and down when told so.
#[derive(Default)]
struct World {
    keys: MemoryStore,
    directory: MemoryDirectory,
    finds: AtomicUsize,
    asked: AtomicUsize,
    is_down: AtomicBool,
    /// Whether keys are known without waiting.
    is_warm: AtomicBool,
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
        match self.keys.find(id).await {
            Ok(found) => Ok(found),
            Err(never) => match never {},
        }
    }

    fn find_now(&self, id: KeyId) -> Option<Option<Arc<KeyRecord>>> {
        self.is_warm.load(Ordering::SeqCst).then(|| self.keys.find_now(id))?
    }
}

impl Directory for World {
    type Error = Down;

    async fn membership(&self, user: UserId, team: TeamId) -> Result<Membership, Down> {
        self.check(&self.asked)?;
        match self.directory.membership(user, team).await {
            Ok(membership) => Ok(membership),
            Err(never) => match never {},
        }
    }
}

/// Stands for a router that matched: the route is in the extensions.
#[derive(Clone)]
enum Route {
    Call(&'static str),
    Deploy(&'static str),
    NotFound,
    NoRule,
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
            Ok(keygate::Request::new(core, Action::Call { model: model.parse().unwrap(), environment }))
        }
        Some(Route::Deploy(team)) => Ok(keygate::Request::new(team.parse().unwrap(), Action::Deploy)),
        Some(Route::NotFound) => Err(Unresolved::NotFound),
        Some(Route::Broken) => Err(Unresolved::Failed(Box::new(Down))),
        Some(Route::NoRule) | None => Err(Unresolved::NoRule),
    }
}

fn not_found() -> Response<String> {
    let mut response = Response::new("nothing here".into());
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

struct Setup {
    world: Arc<World>,
    edge: LayerConfig<ChannelSink>,
    outbox: ChannelSink,
    notes: Receiver<Message>,
}

impl Setup {
    fn new() -> Self {
        Self::with_outbox(100)
    }

    fn with_outbox(capacity: usize) -> Self {
        let (outbox, notes) = channel_sink(capacity);
        let edge = LayerConfig::new(Gate::new(common::KG), Responses::new("models").unwrap(), outbox.clone(), || NOW);
        let world = Arc::new(World::default());
        world.directory.set_member("ada".parse().unwrap(), "core".parse().unwrap(), Membership::Member);
        Self { world, edge, outbox, notes }
    }

    fn key(&self, seed: u8, grant: Grant) -> Token {
        self.key_valid(seed, grant, Validity::NEVER_EXPIRES)
    }

    fn key_valid(&self, seed: u8, grant: Grant, validity: Validity) -> Token {
        let permit = authorize_operation(&system(), Create(grant), None, at(0)).unwrap();
        let name = format!("key-{seed}").parse().unwrap();
        let issued = permit.issue(common::KG, name, validity, &mut rng(seed), at(0)).unwrap();
        block_on(self.world.keys.insert(issued.key)).unwrap().unwrap();
        issued.token
    }

    fn authenticate(&self) -> AuthenticateLayer<Arc<World>, ChannelSink> {
        AuthenticateLayer::new(self.edge.clone(), Arc::clone(&self.world))
    }

    fn authorize(&self) -> AuthorizeLayer<Arc<World>, Routes, ChannelSink> {
        AuthorizeLayer::concealing(self.edge.clone(), Arc::clone(&self.world), Routes, not_found)
    }

    /// Sends a request through both layers to a handler that tells what it saw.
    fn send(&self, request: Request<()>) -> Response<String> {
        self.send_through(self.authenticate(), request)
    }

    fn send_through(
        &self,
        authenticate: AuthenticateLayer<Arc<World>, ChannelSink>,
        request: Request<()>,
    ) -> Response<String> {
        self.send_through_both(authenticate, self.authorize(), request)
    }

    fn send_through_both<R: Resolve>(
        &self,
        authenticate: AuthenticateLayer<Arc<World>, ChannelSink>,
        authorize: AuthorizeLayer<Arc<World>, R, ChannelSink>,
        request: Request<()>,
    ) -> Response<String> {
        let handler = service_fn(|request: Request<()>| async move {
            let authorization = request.extensions().get::<Authorization>().unwrap();
            let saw = format!("{} {:?}", authorization.key().id(), authorization.request().action.kind());
            assert!(!request.headers().contains_key("authorization") && !request.headers().contains_key("x-api-key"));
            Ok::<_, Infallible>(Response::new(saw))
        });
        let service = ServiceBuilder::new().layer(authenticate).layer(authorize).service(handler);
        block_on(service.oneshot(request)).unwrap()
    }

    fn notes(&self) -> Vec<Message> {
        self.notes.try_iter().collect()
    }
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
    let token = setup.key(1, team("core", full("all")));
    let response = setup.send(bearer(&token, Route::Call("m1")));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*response.body(), format!("{} Call", token.id()));
    assert_eq!(setup.notes(), [Message::Touch { key: token.id(), used_at: NOW }]);
    assert_eq!(setup.world.asked.load(Ordering::SeqCst), 0, "a team key has no user to ask about");
}

#[test]
fn standing_is_asked_for_personal_keys_only_and_after_the_status() {
    let setup = Setup::new();
    let token = setup.key(1, personal("ada"));
    assert_eq!(setup.send(bearer(&token, Route::Deploy("core"))).status(), StatusCode::OK);
    assert_eq!(setup.world.asked.load(Ordering::SeqCst), 1);
    let gone = setup.key(2, personal("bob"));
    assert_eq!(setup.send(bearer(&gone, Route::Deploy("core"))).status(), StatusCode::UNAUTHORIZED);
    let expired = setup.key_valid(3, personal("ada"), Validity::until(NOW));
    let asked = setup.world.asked.load(Ordering::SeqCst);
    assert_eq!(setup.send(bearer(&expired, Route::Deploy("core"))).status(), StatusCode::UNAUTHORIZED);
    assert_eq!(setup.world.asked.load(Ordering::SeqCst), asked);
}

#[test]
fn whatever_is_wrong_with_a_credential_has_one_answer() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", full("all")));
    let good = token.expose_secret();
    let wrong = Token::generate_secret(common::KG, token.kind(), token.id(), &mut rng(9)).unwrap();
    let unknown = Token::generate(common::KG, token.kind(), &mut rng(8)).unwrap();
    let other_kind = Token::generate_secret(common::KG, keygate::KeyKind::Personal, token.id(), &mut rng(9)).unwrap();
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
    let notes = setup.notes();
    assert_eq!(notes.len(), texts.len().checked_add(1).unwrap(), "each refusal is told");
    assert!(
        notes
            .iter()
            .all(|note| matches!(note, Message::Refused(event) if matches!(event.by, Principal::Unverified { .. })))
    );
}

#[test]
fn a_failed_look_up_is_neither_an_allow_nor_an_invalid_key() {
    let setup = Setup::new();
    let (team_key, user_key) = (setup.key(1, team("core", full("all"))), setup.key(2, personal("ada")));
    setup.world.is_down.store(true, Ordering::SeqCst);
    let response = setup.send(bearer(&team_key, Route::Call("m1")));
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(setup.notes(), [Message::Failed("down".into())]);
    // The key is known from a cache, and the membership is not.
    setup.world.is_down.store(false, Ordering::SeqCst);
    let cached = CachedStore::new(
        Arc::clone(&setup.world),
        core::time::Duration::from_secs(60),
        10,
        10,
        std::time::Instant::now,
    );
    block_on(cached.find(user_key.id())).unwrap();
    setup.world.is_down.store(true, Ordering::SeqCst);
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let service = ServiceBuilder::new()
        .layer(AuthenticateLayer::new(setup.edge.clone(), Arc::new(cached)))
        .layer(setup.authorize())
        .service(handler);
    let response = block_on(service.oneshot(bearer(&user_key, Route::Deploy("core")))).unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    setup.world.is_down.store(false, Ordering::SeqCst);
    assert_eq!(setup.send(bearer(&user_key, Route::Deploy("core"))).status(), StatusCode::OK, "and it recovers");
}

#[test]
fn what_is_concealed_and_what_is_absent_look_the_same() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", inference("all", "m1")));
    let print = |route| {
        let response = setup.send(bearer(&token, route));
        format!("{:?}", (response.status(), response.headers(), response.body()))
    };
    let absent = print(Route::NotFound);
    assert!(absent.contains("404"));
    assert_eq!(print(Route::Call("m2")), absent);
    let other_team = setup.key(2, team("labs", full("all")));
    let response = setup.send(bearer(&other_team, Route::Call("m1")));
    assert_eq!((response.status(), response.body().as_str()), (StatusCode::NOT_FOUND, "nothing here"));
    assert_eq!(setup.send(bearer(&token, Route::Deploy("core"))).status(), StatusCode::FORBIDDEN);
}

#[test]
fn a_route_of_which_nothing_is_said_is_closed() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", full("all")));
    assert_eq!(setup.send(bearer(&token, Route::NoRule)).status(), StatusCode::FORBIDDEN);
    assert_eq!(setup.send(bearer(&token, Route::Broken)).status(), StatusCode::SERVICE_UNAVAILABLE);
    let refusals = setup.notes().into_iter().filter(|note| matches!(note, Message::Refused(_))).count();
    assert_eq!(refusals, 1, "the refusal at the closed route is told");
}

#[test]
fn proofs_that_came_with_the_request_are_no_proofs() {
    let setup = Setup::new();
    let strong = setup.key(1, team("core", full("all")));
    let seen = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&seen);
    let handler = service_fn(move |request: Request<()>| {
        let extensions = request.extensions();
        let proof = (extensions.get::<MatchedKey>().cloned(), extensions.get::<Authorization>().cloned());
        *keep.lock().unwrap() = Some(proof);
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    let layers = ServiceBuilder::new().layer(setup.authenticate()).layer(setup.authorize());
    block_on(layers.service(handler).oneshot(bearer(&strong, Route::Call("m1")))).unwrap();
    let (key, authorization) = seen.lock().unwrap().take().unwrap();

    let mut forged = request("Bearer x", Route::Call("m1"));
    forged.extensions_mut().insert(key.clone().unwrap());
    forged.extensions_mut().insert(authorization.clone().unwrap());
    assert_eq!(setup.send(forged).status(), StatusCode::UNAUTHORIZED);

    // Without the first layer, the second one lets nobody in.
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let alone = ServiceBuilder::new().layer(setup.authorize()).service(handler);
    let mut forged = bearer(&strong, Route::Call("m1"));
    forged.extensions_mut().insert(authorization.unwrap());
    assert_eq!(block_on(alone.oneshot(forged)).unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn other_credentials_are_passed_on_only_where_asked_for() {
    let setup = Setup::new();
    let jwt = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    let strong = key(team("core", full("all")), Validity::NEVER_EXPIRES, Status::Active, 1);
    let call = keygate::Request::new(text("core"), Action::Deploy);
    let authorization = decide(&strong, None, &call, at(0)).into_result().unwrap().to_authorization();
    // What stands in the extensions already is no proof, and goes no further.
    let request = |value, route| {
        let mut request = request(value, route);
        request.extensions_mut().insert(strong.clone());
        request.extensions_mut().insert(authorization.clone());
        request
    };
    let cases = [("Basic eDp5", true), (jwt, true), ("Bearer kgt1_x", false), ("Bearer", false)];
    for (value, is_passed_on) in cases {
        let handler = service_fn(|request: Request<()>| async move {
            assert!(request.extensions().get::<MatchedKey>().is_none());
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
    // Nothing is not somebody else's.
    let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    let service = ServiceBuilder::new().layer(setup.authenticate().pass_foreign_on()).service(handler);
    let nothing = Request::builder().body(()).unwrap();
    assert_eq!(block_on(service.oneshot(nothing)).unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn x_api_key_counts_where_switched_on() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", full("all")));
    let request = || {
        let builder = Request::builder().header("x-api-key", token.expose_secret()).extension(Route::Call("m1"));
        builder.body(()).unwrap()
    };
    assert_eq!(setup.send(request()).status(), StatusCode::UNAUTHORIZED);
    let layer = setup.authenticate().fields(CredentialHeaders::AuthorizationOrXApiKey);
    assert_eq!(setup.send_through(layer, request()).status(), StatusCode::OK);
}

#[test]
fn plaintext_is_refused_before_anything_is_read() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", full("all")));
    let layer = || setup.authenticate().refuse_plaintext(|parts| !parts.headers.contains_key("x-forwarded-tls"));
    let good = setup.send_through(layer(), bearer(&token, Route::Call("m1")));
    let bad = setup.send_through(layer(), request("Bearer x", Route::Call("m1")));
    let none = setup.send_through(layer(), Request::builder().body(()).unwrap());
    for response in [&good, &bad, &none] {
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!((response.headers(), response.body()), (good.headers(), good.body()));
    }
    assert_eq!(setup.world.finds.load(Ordering::SeqCst), 0);
    let mut encrypted = bearer(&token, Route::Call("m1"));
    encrypted.headers_mut().insert("x-forwarded-tls", "1".parse().unwrap());
    assert_eq!(setup.send_through(layer(), encrypted).status(), StatusCode::OK);
}

#[test]
fn a_full_outbox_drops_with_a_count_and_blocks_nobody() {
    let setup = Setup::with_outbox(1);
    let token = setup.key(1, team("core", full("all")));
    for _ in 0..3 {
        assert_eq!(setup.send(bearer(&token, Route::Call("m1"))).status(), StatusCode::OK);
        assert_eq!(setup.send(bearer(&token, Route::Deploy("labs"))).status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(setup.notes(), [Message::Touch { key: token.id(), used_at: NOW }]);
    assert_eq!((setup.outbox.dropped_touches(), setup.outbox.dropped_refusals()), (2, 3));
    for _ in 0..4 {
        assert_eq!(setup.send(bearer(&token, Route::Broken)).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(setup.notes().len(), 1);
    assert_eq!(setup.outbox.dropped_failures(), 3);
}

#[test]
fn a_refusal_says_who_what_and_why() {
    let setup = Setup::new();
    let token = setup.key(1, team("core", inference("all", "all")));
    setup.send(bearer(&token, Route::Deploy("core")));
    let notes = setup.notes();
    let [Message::Refused(event)] = notes.as_slice() else { panic!("a denied request is no use: {notes:?}") };
    assert_eq!(event.key, Some(token.id()));
    assert!(matches!(event.by, Principal::Key { id, .. } if id == token.id()));
    let asked = Some(Asked::Action(ActionKind::Deploy));
    assert_eq!(event.kind, EventKind::Refused { asked, why: "level_insufficient" });

    let cases: [(Request<()>, &str); 5] = [
        (Request::builder().body(()).unwrap(), "missing"),
        (request("Bearer", Route::NoRule), "malformed"),
        (request("Bearer x", Route::NoRule), "foreign_issuer"),
        (bearer(&token, Route::NoRule), "closed"),
        (bearer(&token, Route::NotFound), "not_found"),
    ];
    for (request, expected) in cases {
        setup.send(request);
        let whys: Vec<_> = setup
            .notes()
            .into_iter()
            .filter_map(|note| match note {
                Message::Refused(event) => Some(event.kind),
                _ => None,
            })
            .collect();
        assert_eq!(whys, [EventKind::Refused { asked: None, why: expected }]);
    }
}

/// A key in memory and a function that resolves: both are asked once, nothing is looked up, and nothing else differs.
#[test]
fn what_needs_no_waiting_is_answered_in_the_same_way() {
    let setup = Setup::new();
    let (user_key, gone) = (setup.key(1, personal("ada")), setup.key(2, personal("bob")));
    let (team_key, narrow) =
        (setup.key(3, team("core", full("all"))), setup.key(4, team("core", inference("all", "m1"))));
    let expired = setup.key_valid(5, team("core", full("all")), Validity::until(NOW));
    let unknown = Token::generate(common::KG, team_key.kind(), &mut rng(8)).unwrap();
    let routes = [
        Route::Call("m1"),
        Route::Call("m2"),
        Route::Deploy("core"),
        Route::Deploy("labs"),
        Route::NotFound,
        Route::NoRule,
        Route::Broken,
    ];
    let print = |response: Response<String>| {
        let notes = setup.notes();
        format!("{:?} {notes:?}", (response.status(), response.headers(), response.body()))
    };
    let mut seen = Vec::new();
    for token in [&user_key, &gone, &team_key, &narrow, &expired, &unknown] {
        for route in &routes {
            let waited = print(setup.send(bearer(token, route.clone())));
            let finds = setup.world.finds.load(Ordering::SeqCst);
            setup.world.is_warm.store(true, Ordering::SeqCst);
            let authorize =
                AuthorizeLayer::concealing(setup.edge.clone(), Arc::clone(&setup.world), resolve, not_found);
            let at_once = print(setup.send_through_both(setup.authenticate(), authorize, bearer(token, route.clone())));
            setup.world.is_warm.store(false, Ordering::SeqCst);
            assert_eq!(at_once, waited);
            assert_eq!(setup.world.finds.load(Ordering::SeqCst), finds, "what is known is not looked up");
            seen.push(waited);
        }
    }
    for status in ["200", "401", "403", "404", "503"] {
        assert!(seen.iter().any(|one| one.starts_with(&format!("({status},"))), "{status}");
    }
}

/// Who is gone does not learn what exists: one answer, whatever was asked for.
#[test]
fn a_deprovisioned_user_gets_one_answer_everywhere() {
    let setup = Setup::new();
    let gone = setup.key(1, personal("bob"));
    let routes = [Route::Call("m1"), Route::Deploy("labs"), Route::NotFound, Route::NoRule];
    for is_function in [false, true] {
        let send = |route: &Route| {
            let request = bearer(&gone, route.clone());
            let (edge, world) = (setup.edge.clone(), Arc::clone(&setup.world));
            let response = if is_function {
                let authorize = AuthorizeLayer::concealing(edge, world, resolve, not_found);
                setup.send_through_both(setup.authenticate(), authorize, request)
            } else {
                setup.send(request)
            };
            format!("{:?}", (response.status(), response.headers(), response.body()))
        };
        let seen: Vec<_> = routes.iter().map(send).collect();
        assert!(seen.iter().all(|one| one.starts_with("(401,") && *one == seen[0]), "{seen:#?}");
        assert_eq!(setup.notes().len(), routes.len(), "each is told");
    }
    // Who is not gone is told what there is not.
    let member = setup.key(2, personal("ada"));
    assert_eq!(setup.send(bearer(&member, Route::NotFound)).status(), StatusCode::NOT_FOUND);
    assert_eq!(setup.send(bearer(&member, Route::NoRule)).status(), StatusCode::FORBIDDEN);
    // Nor does an outage tell what exists: a broken look-up has one answer, too.
    for route in routes {
        setup.world.is_warm.store(true, Ordering::SeqCst);
        setup.world.is_down.store(true, Ordering::SeqCst);
        assert_eq!(setup.send(bearer(&member, route)).status(), StatusCode::SERVICE_UNAVAILABLE);
        setup.world.is_down.store(false, Ordering::SeqCst);
    }
}

/// What ends while a look-up is under way has ended when it responses.
#[test]
fn a_slow_look_up_serves_no_secret_that_ended_meanwhile() {
    static SECONDS: AtomicI64 = AtomicI64::new(100);
    fn clock() -> UnixTime {
        at(SECONDS.load(Ordering::SeqCst))
    }
    /// Answers a hundred seconds later.
    struct Slow(Arc<World>);
    impl KeyStore for Slow {
        type Error = Infallible;

        async fn find(&self, id: KeyId) -> Result<Option<Arc<KeyRecord>>, Infallible> {
            SECONDS.fetch_add(100, Ordering::SeqCst);
            self.0.keys.find(id).await
        }
    }
    impl Directory for Slow {
        type Error = Infallible;

        async fn membership(&self, _: UserId, _: TeamId) -> Result<Membership, Infallible> {
            SECONDS.fetch_add(100, Ordering::SeqCst);
            Ok(Membership::Member)
        }
    }

    let setup = Setup::new();
    let ends_at_150 = setup.key_valid(1, team("core", full("all")), Validity::until(at(150)));
    let ends_at_250 = setup.key_valid(2, personal("ada"), Validity::until(at(250)));
    let lasts = setup.key(3, personal("ada"));
    let edge = LayerConfig::new(Gate::new(common::KG), Responses::new("models").unwrap(), setup.outbox.clone(), clock);
    for (token, expected) in [(ends_at_150, 401), (ends_at_250, 401), (lasts, 200)] {
        SECONDS.store(100, Ordering::SeqCst);
        let store = Arc::new(Slow(Arc::clone(&setup.world)));
        let handler = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
        let service = ServiceBuilder::new()
            .layer(AuthenticateLayer::new(edge.clone(), Arc::clone(&store)))
            .layer(AuthorizeLayer::new(edge.clone(), store, Routes, not_found))
            .service(handler);
        let response = block_on(service.oneshot(bearer(&token, Route::Deploy("core")))).unwrap();
        assert_eq!(response.status().as_u16(), expected);
    }
}

/// Nothing is cloned where nothing is waited for: the service that was polled ready is the one that is called.
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
    let token = setup.key(1, team("core", full("all")));
    for (is_warm, expected) in [(true, 0), (false, 2)] {
        setup.world.is_warm.store(is_warm, Ordering::SeqCst);
        let clones = Arc::new(AtomicUsize::new(0));
        let inner = Ready { is_ready: false, clones: Arc::clone(&clones) };
        let response = if is_warm {
            let authorize = AuthorizeLayer::new(setup.edge.clone(), Arc::clone(&setup.world), resolve, not_found);
            let stack = ServiceBuilder::new().layer(setup.authenticate()).layer(authorize);
            block_on(stack.service(inner).oneshot(bearer(&token, Route::Call("m1"))))
        } else {
            let stack = ServiceBuilder::new().layer(setup.authenticate()).layer(setup.authorize());
            block_on(stack.service(inner).oneshot(bearer(&token, Route::Call("m1"))))
        };
        assert_eq!(response.unwrap().status(), StatusCode::OK);
        assert_eq!(clones.load(Ordering::SeqCst), expected);
    }
}
