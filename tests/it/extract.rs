//! What a handler of axum gets, and what it gets where a layer was forgotten.

use axum_core::{
    extract::{FromRequest as _, FromRequestParts, Request},
    response::IntoResponse as _,
};
use keygate::{AuthenticatedKey, Authorization, Validity, Verdict, axum::MissingLayer};
#[cfg(feature = "testing")]
use keygate::{Reason, testing};
use pollster::block_on;

use crate::common::{call, full, request, team, world::World};

fn extract<T: FromRequestParts<()>>(extension: impl FnOnce(&mut Request)) -> Result<T, T::Rejection> {
    let mut request = Request::new(axum_core::body::Body::empty());
    extension(&mut request);
    block_on(T::from_request(request, &()))
}

#[test]
fn a_handler_gets_what_the_layers_put_there() {
    let world = World::new();
    let issued = world.create("key", team("core", full("all")), Validity::NEVER_EXPIRES);
    let key = block_on(world.gate.authenticate(issued.token.expose_secret())).unwrap();
    let extracted: AuthenticatedKey = extract(|request| drop(request.extensions_mut().insert(key.clone()))).unwrap();
    assert_eq!(extracted.id(), issued.record.id());
    let Verdict::Allowed(allowed) = world.check(&issued.token, &request("core", call("m1", None))) else {
        panic!("a full key may call");
    };
    let extracted: Authorization = extract(|request| drop(request.extensions_mut().insert(allowed.clone()))).unwrap();
    assert_eq!(extracted.request(), allowed.request());
    // One is not the other: an authenticated key is no decision.
    let refused = extract::<Authorization>(|request| drop(request.extensions_mut().insert(key)));
    assert_eq!(refused.unwrap_err(), MissingLayer::Authorize);
}

#[test]
fn where_a_layer_was_forgotten_the_handler_is_not_reached() {
    for (missing, layer) in [
        (extract::<AuthenticatedKey>(|_| ()).unwrap_err(), "AuthenticateLayer"),
        (extract::<Authorization>(|_| ()).unwrap_err(), "AuthorizeLayer"),
    ] {
        assert_eq!(missing.to_string(), format!("`{layer}` is not in front of this route"));
        assert_eq!(missing.into_response().status(), 500);
    }
}

/// Proofs for the tests of a handler are those that the policy gives.
#[cfg(feature = "testing")]
#[test]
fn proofs_for_tests_are_decided() {
    let (grant, may) = (team("core", full("all")), request("core", call("m1", None)));
    let key = testing::authenticated_key(grant.clone());
    let extracted: AuthenticatedKey = extract(|request| drop(request.extensions_mut().insert(key))).unwrap();
    assert_eq!(*extracted.grant(), grant);
    assert_eq!(testing::authorization(grant.clone(), &may).unwrap().request(), &may);
    let denial = testing::authorization(grant, &request("labs", call("m1", None))).unwrap_err();
    assert_eq!(denial.reason(), Reason::OtherTeam);
}
