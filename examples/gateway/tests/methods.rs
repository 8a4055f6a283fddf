//! What axum's router does with a layer around its routes, and with one around their methods.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::MatchedPath,
    http::{HeaderValue, Method, Request, StatusCode, request::Parts},
    routing::post,
};
use keygate::{
    Action, Actor, EnvironmentScope, Gate, Grant, Issuer, KeyManager, MemoryStore, NewKeySpec, Permission, Validity,
    http::Responses,
    tower::{AuthenticateLayer, AuthorizeLayer, Unresolved},
};
use pollster::block_on;
use tower::{Layer, ServiceExt};

const ACME: Issuer = Issuer::from_static("acme");

/// What the routes ask for; it knows the methods of one route, and not those of the other.
fn resolve(parts: &mut Parts) -> Result<keygate::Request, Unresolved> {
    let route = parts.extensions.get::<MatchedPath>().cloned();
    match (&parts.method, route.as_ref().map(MatchedPath::as_str)) {
        (&Method::POST, _) => Ok(keygate::Request::new("core".parse().unwrap(), Action::Deploy)),
        (_, Some("/known")) => Err(Unresolved::MethodNotAllowed(HeaderValue::from_static("POST"))),
        _ => Err(Unresolved::NoRule),
    }
}

#[test]
fn another_method_than_a_route_has_is_405() {
    let store = MemoryStore::new();
    let grant = Grant::team("core".parse().unwrap(), Permission::full(EnvironmentScope::All));
    let spec = NewKeySpec::new(grant, "key".parse().unwrap(), Validity::NEVER_EXPIRES);
    let keys = KeyManager::new(ACME, store.clone());
    let token = block_on(keys.create(&Actor::system("test").unwrap(), spec)).unwrap().token;

    let (gate, responses) = (Arc::new(Gate::new(ACME, store)), Responses::new("models").unwrap());
    let authorize = AuthorizeLayer::new(Arc::clone(&gate), responses.clone(), resolve);
    let handler = || post(async || "served");
    let around_methods = Router::new()
        .route("/known", handler().route_layer(authorize.clone()))
        .route("/unknown", handler().route_layer(authorize.clone()));
    let around_routes = Router::new().route("/known", handler()).route("/unknown", handler()).route_layer(authorize);
    for (router, path, expected) in [
        (&around_methods, "/known", StatusCode::METHOD_NOT_ALLOWED),
        // The router answers: the layer is called for methods only that the route has.
        (&around_methods, "/unknown", StatusCode::METHOD_NOT_ALLOWED),
        // The layer answers, by the resolver's word.
        (&around_routes, "/known", StatusCode::METHOD_NOT_ALLOWED),
        // Nobody knows: closed.
        (&around_routes, "/unknown", StatusCode::FORBIDDEN),
    ] {
        let service = AuthenticateLayer::new(Arc::clone(&gate), responses.clone()).layer(router.clone());
        let send = |method: Method| {
            let bearer = format!("Bearer {}", token.expose_secret());
            let request = Request::builder().method(method).uri(path).header("authorization", bearer);
            block_on(service.clone().oneshot(request.body(Body::empty()).unwrap())).unwrap()
        };
        assert_eq!(send(Method::POST).status(), StatusCode::OK, "{path}");
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            let response = send(method);
            assert_eq!(response.status(), expected, "{path}");
            assert!(expected == StatusCode::FORBIDDEN || response.headers()["allow"] == "POST", "{path}");
        }
    }
}
