//! Behind the layer: legacy keys and tokens side by side, and one answer for whatever opens nothing.

use core::convert::Infallible;

use http::{Request, Response, StatusCode};
use keygate::{AuthenticatedKey, audit::Event, http::Responses, tower::AuthenticateLayer};
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::*;

/// What comes back for a credential, and what is told; a handler that is reached says which key it was shown.
fn ask(world: &World, passes_foreign: bool, credential: &str) -> (Response<String>, Vec<Event>) {
    world.told.take();
    let gate = Arc::new(world.at(at(200)).gate.clone());
    let layer = AuthenticateLayer::new(gate, Responses::new("models").unwrap());
    let layer = if passes_foreign { layer.pass_foreign_on() } else { layer };
    let handler = service_fn(async |request: Request<()>| {
        let key = request.extensions().get::<AuthenticatedKey>();
        assert_eq!(key.is_none(), request.headers().contains_key(AUTHORIZATION), "what is ours is taken away");
        let said = key.map_or("nobody".into(), |key| format!("{} {}", key.id(), key.matched().algorithm()));
        Ok::<_, Infallible>(Response::new(said))
    });
    let request = Request::builder().header(AUTHORIZATION, format!("Api-Key {credential}")).body(()).unwrap();
    let response = block_on(ServiceBuilder::new().layer(layer).service(handler).oneshot(request)).unwrap();
    (response, world.told.take_events())
}

#[test]
fn both_are_let_through_and_the_rest_gets_one_answer() {
    let world = World::new();
    let old = prefix_secret(1);
    let id = world.import(&old, "old", batch());
    let token = world.issue("batch", batch());
    for passes_foreign in [false, true] {
        assert_eq!(*ask(&world, passes_foreign, &old).0.body(), format!("{id} sha512-v1"));
        assert_eq!(*ask(&world, passes_foreign, &token).0.body(), format!("{} v1", &token[5..21]));

        let wrong_secret = format!("{}{}", &old[..9], &prefix_secret(2)[9..]);
        let mut refused = vec![
            wrong_secret.clone(),
            prefix_secret(3),
            "old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf".to_owned(),
            format!("{}00000000", &token[..token.len() - 8]),
            token.replace("kgt1", "kgp1"),
        ];
        // What no format reads may be another system's.
        let others = ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln".to_owned(), old[..40].to_owned(), "x".to_owned()];
        if passes_foreign {
            assert!(others.iter().all(|text| *ask(&world, true, text).0.body() == "nobody"));
        } else {
            refused.extend(others);
        }
        let answer = |text: &String| {
            let response = ask(&world, passes_foreign, text).0;
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{text}");
            format!("{response:?}")
        };
        let first = answer(&wrong_secret);
        assert!(refused.iter().all(|text| answer(text) == first));
    }
    world.revoke(id, at(150));
    let (response, events) = ask(&world, true, &old);
    assert!(response.body().contains("\"reason\":\"revoked\""), "told to who has the secret");
    let [event] = &events[..] else { panic!("{events:?}") };
    assert!(matches!(event.by, Principal::Key { id: by, slot: SecretSlot::Current, .. } if by == id));
}
