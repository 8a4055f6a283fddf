//! What stands in the fields of a request behind the layers, and what is refused because it cannot be removed.

use core::{convert::Infallible, future};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use keygate::{
    AuthenticatedKey, Gate, Issuer, KeyKind, KeyManager, MemoryDirectory, MemoryStore, Token, UnixTime, Validity,
    audit::{EventKind, Principal},
    http::{CredentialSources, Responses, take_credential},
    legacy::{LegacyFormat, LegacyParts, StoredHash},
    manage::Import,
    store::Current,
    tower::AuthenticateLayer,
};
use pollster::block_on;
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use regex::bytes::Regex;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use crate::common::{
    KG, full, rng, team,
    world::{Told, World},
};

type Layer = AuthenticateLayer<MemoryStore, MemoryDirectory, Current>;

static FORMER: [Issuer; 1] = [Issuer::from_static("acme")];

struct Setup {
    world: World,
    gate: Arc<Gate<MemoryStore, MemoryDirectory>>,
    /// Two tokens of keys, and one that no key has.
    tokens: [String; 3],
}

impl Setup {
    fn new() -> Self {
        let world = World::new();
        let key = |name| {
            let issued = world.create(name, team("core", full("all")), Validity::NEVER_EXPIRES);
            issued.token.expose_secret().to_owned()
        };
        let unknown = Token::generate(KG, KeyKind::Team, &rng(7)).unwrap();
        let tokens = [key("one"), key("two"), unknown.expose_secret().to_owned()];
        let gate = Arc::new(world.gate.clone().with_issuers(&FORMER).with_legacy(&FORMATS));
        Self { world, gate, tokens }
    }

    fn layer(&self) -> Layer {
        AuthenticateLayer::new(Arc::clone(&self.gate), Responses::new("models").unwrap())
    }
}

/// What the service behind the layer saw, if it was called: the key, and the fields.
type Seen = Option<(Option<String>, HeaderMap)>;

fn send(layer: Layer, request: Request<()>) -> (u16, Seen) {
    let (tell, seen) = mpsc::channel();
    let handler = service_fn(move |request: Request<()>| {
        let key = request.extensions().get::<AuthenticatedKey>().map(|key| key.id().to_string());
        tell.send((key, request.headers().clone())).unwrap();
        future::ready(Ok::<_, Infallible>(Response::new(String::new())))
    });
    let response = block_on(ServiceBuilder::new().layer(layer).service(handler).oneshot(request)).unwrap();
    (response.status().as_u16(), seen.try_recv().ok())
}

fn request(lines: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request
}

/// The values of a field behind the layer.
fn values(seen: &Seen, name: &str) -> Vec<String> {
    let (_, headers) = seen.as_ref().unwrap();
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn no_field_behind_the_layer_holds_the_credential_or_another_token() {
    let setup = Setup::new();
    let [own, other, _] = &setup.tokens;
    let wrong = format!("{}0", &own[..own.len() - 1]);
    let former = own.replace("kg", "acme");
    for run in [own, other, &wrong, &former] {
        let inside = format!("\"x{run}y\"");
        let cases: &[(&str, &[&str], &[&str])] = &[
            // The lines before, and those behind.
            ("x-api-key", &[run], &[]),
            ("x-trace", &[&inside], &[]),
            ("x-trace", &["a", run, "b", &inside, "c"], &["a", "b", "c"]),
            ("referer", &[&format!("https://acme.example/?key={run}&x=1")], &[]),
            ("proxy-authorization", &[&format!("Bearer {run}")], &[]),
            ("x-trace", &["kgt1_wk59pfKL0jFi2YYv"], &["kgt1_wk59pfKL0jFi2YYv"]),
            ("cookie", &[&format!("a=1; key={run}; b=2")], &["a=1; b=2"]),
            ("cookie", &[&format!("key={run}; b=2")], &["b=2"]),
            ("cookie", &[&format!("a=1; key={run}")], &["a=1"]),
            ("cookie", &[&format!("key={run}")], &[]),
            ("cookie", &[&format!("{run};{run}")], &[]),
            ("cookie", &["a=1; b=2", &format!("c={run}"), "d=4"], &["a=1; b=2", "d=4"]),
            ("cookie", &["a=1;b=2 ; c"], &["a=1;b=2 ; c"]),
            ("sec-websocket-protocol", &[&format!("chat, key.{run} ,more")], &["chat,more"]),
            ("sec-websocket-protocol", &[&format!("key.{run}, chat")], &["chat"]),
            // Commas separate nothing in another field, not even where a proxy appended what is behind one.
            ("accept", &[&format!("text/html, {run}")], &[]),
            ("x-forwarded-for", &[&format!("{run}, 203.0.113.7")], &[]),
            ("x-forwarded-for", &[run, "203.0.113.7"], &["203.0.113.7"]),
        ];
        for (name, before, behind) in cases {
            let mut lines: Vec<_> = before.iter().map(|value| (*name, *value)).collect();
            let bearer = format!("Bearer {own}");
            lines.push(("authorization", &bearer));
            lines.push(("user-agent", "curl/8"));
            let (status, seen) = send(setup.layer(), request(&lines));
            assert_eq!(status, 200, "{lines:?}");
            assert_eq!(values(&seen, name), *behind, "{lines:?}");
            assert_eq!(values(&seen, "user-agent"), ["curl/8"]);
            assert!(values(&seen, "authorization").is_empty());
        }
    }
}

/// A service without layers calls a function: it gives what the layer finds, and leaves what stands behind the layer.
#[test]
fn a_credential_is_taken_out_without_layers_as_with_them() {
    let setup = Setup::new();
    let [own, other, unknown] = &setup.tokens;
    let (bearer, cookie) = (format!("Bearer {own}"), format!("a=1; key={other}; b=2"));
    let in_target = format!("/models?key={unknown}");
    let framing = format!("a/b; key={unknown}");
    for (target, lines) in [
        ("/", vec![("authorization", bearer.as_str()), ("cookie", &cookie), ("x-trace", own), ("accept", "*/*")]),
        ("/", vec![("authorization", &bearer), ("x-api-key", own)]),
        ("/", vec![("authorization", &bearer), ("x-api-key", other)]),
        ("/", vec![("authorization", &bearer), ("content-type", &framing)]),
        ("/", vec![("authorization", "Basic eDp5"), ("content-type", &framing)]),
        ("/", vec![("x-trace", own)]),
        (&in_target, vec![("authorization", &bearer)]),
        (&in_target, vec![]),
    ] {
        let mut request = request(&lines);
        *request.uri_mut() = target.parse().unwrap();
        let (uri, mut headers) = (request.uri().clone(), request.headers().clone());
        let sources = CredentialSources::authorization().with_x_api_key();
        let (_, seen) = send(setup.layer().sources(sources.clone()), request);
        let told = setup.world.told.take();
        match take_credential(&uri, &mut headers, &sources, setup.gate.accepted_keys()) {
            Ok(credential) => {
                assert_eq!(credential.expose_secret(), own);
                assert_eq!(format!("{credential:?}"), "Credential { .. }");
                assert_eq!(Some(headers), seen.map(|(_, headers)| headers), "{lines:?}");
            }
            Err(error) => {
                let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
                let EventKind::Refused { reason, .. } = event.kind else { panic!("{event:?}") };
                assert_eq!(reason.as_str(), error.as_str(), "{lines:?}");
                assert!(seen.is_none(), "{lines:?}");
            }
        }
    }
}

/// Equal credentials in both fields are one, and both fields are removed.
#[test]
fn a_credential_that_is_sent_twice_is_removed_twice() {
    let setup = Setup::new();
    let [own, other, _] = &setup.tokens;
    let bearer = format!("Bearer {own}");
    let lines = [("authorization", bearer.as_str()), ("x-api-key", own)];
    let with_x_api_key = || setup.layer().sources(CredentialSources::authorization().with_x_api_key());
    for layer in [setup.layer(), with_x_api_key()] {
        let (status, seen) = send(layer, request(&lines));
        assert_eq!(status, 200);
        assert!(values(&seen, "x-api-key").is_empty() && values(&seen, "authorization").is_empty());
    }
    let lines = [lines[0], ("x-api-key", other)];
    assert_eq!(send(with_x_api_key(), request(&lines)).0, 400);
    // Another system's credential in the other field stays.
    let lines = [("authorization", "Basic eDp5"), ("x-api-key", own)];
    let (status, seen) = send(with_x_api_key(), request(&lines));
    assert_eq!((status, values(&seen, "authorization")), (200, vec!["Basic eDp5".to_owned()]));
    assert!(values(&seen, "x-api-key").is_empty());
}

/// What cannot be removed is refused before anything is looked up, with a valid key too.
#[test]
fn a_token_in_a_framing_field_or_in_the_target_is_misplaced() {
    let setup = Setup::new();
    let [own, _, unknown] = &setup.tokens;
    let bearer = format!("Bearer {own}");
    let framing =
        "host content-length transfer-encoding connection upgrade te trailer expect content-type".split_whitespace();
    for name in framing {
        for layer in [setup.layer(), setup.layer().pass_foreign_on()] {
            let value = format!("a{unknown}");
            for authorization in [bearer.as_str(), "Bearer", "Basic eDp5"] {
                let lines = [("authorization", authorization), (name, &value)];
                let (status, seen) = send(layer.clone(), request(&lines));
                assert!(status == 400 && seen.is_none(), "{name} {authorization}");
                assert_misplaced(&setup);
            }
            let (status, seen) = send(layer, request(&[("authorization", &bearer), (name, "a")]));
            assert_eq!((status, values(&seen, name)), (200, vec!["a".to_owned()]));
            setup.world.told.take();
        }
    }
    for target in [
        format!("/models/{unknown}"),
        format!("/models?key={unknown}"),
        format!("https://{unknown}@acme.example/models"),
        format!("https://acme.example/?{}", unknown.replace("kg", "acme")),
    ] {
        let mut in_target = request(&[("authorization", &bearer)]);
        *in_target.uri_mut() = target.parse::<Uri>().unwrap();
        let (status, seen) = send(setup.layer(), in_target);
        assert!(status == 400 && seen.is_none(), "{target}");
        assert_misplaced(&setup);
        let mut harmless = request(&[("authorization", &bearer)]);
        *harmless.uri_mut() = target.replace(unknown.split('_').nth(1).unwrap(), "x").parse().unwrap();
        assert_eq!(send(setup.layer(), harmless).0, 200, "{target}");
        setup.world.told.take();
    }
}

#[track_caller]
fn assert_misplaced(setup: &Setup) {
    let told = setup.world.told.take();
    let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
    let EventKind::Refused { reason, .. } = event.kind else { panic!("{event:?}") };
    assert_eq!(reason.as_str(), "misplaced");
}

/// The event of a misplaced token names the id that it claims, if the checksum holds, and not that of another token.
#[test]
fn a_misplaced_token_is_told_of_with_the_id_that_it_claims() {
    let setup = Setup::new();
    let [own, _, unknown] = &setup.tokens;
    let (bearer, token, basic) = (format!("Bearer {own}"), format!("Token {unknown}"), format!("Basic {unknown}"));
    let wrong = format!("{}{}", &unknown[..unknown.len() - 1], if unknown.ends_with('0') { '1' } else { '0' });
    let (id, no_id) = (Some(unknown.split('_').nth(1).unwrap()), None);
    let twice = format!("/?a={wrong}&b={unknown}");
    for (target, lines, claimed) in [
        (format!("/?key={unknown}"), vec![("authorization", bearer.as_str())], id),
        (format!("/?key={wrong}"), vec![("authorization", &bearer)], no_id),
        (twice, vec![("authorization", &bearer)], id),
        ("/".to_owned(), vec![("authorization", &bearer), ("content-type", unknown)], id),
        ("/".to_owned(), vec![("authorization", &bearer), ("content-type", &wrong)], no_id),
        ("/".to_owned(), vec![("authorization", &token)], id),
        ("/".to_owned(), vec![("authorization", &basic)], id),
        ("/".to_owned(), vec![("x-api-key", unknown)], id),
        ("/".to_owned(), vec![("proxy-authorization", &wrong)], no_id),
    ] {
        let mut request = request(&lines);
        *request.uri_mut() = target.parse().unwrap();
        assert_eq!(send(setup.layer(), request).0, 400, "{target} {lines:?}");
        let told = setup.world.told.take();
        let [Told::Stranger(event)] = &told[..] else { panic!("{told:?}") };
        let Principal::Unverified { claimed: told, .. } = &event.by else { panic!("{event:?}") };
        assert_eq!(told.as_ref().map(|id| id.as_str()), claimed, "{target} {lines:?}");
    }
}

#[test]
fn a_token_of_ours_is_never_passed_on_as_somebody_elses() {
    let setup = Setup::new();
    let [own, other, _] = &setup.tokens;
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
    let layer = || setup.layer().pass_foreign_on();
    let both = || layer().sources(CredentialSources::authorization().with_x_api_key());
    let foreign = format!("Bearer {jwt}");
    // Passed on, without what is ours.
    for (authorization, x_api_key, expected) in [
        ("Basic eDp5", own.as_str(), 400),
        (foreign.as_str(), own, 200),
        (&foreign, "x", 200),
        (&format!("Bearer a.{own}"), "x", 400),
        (&format!("Token {own}"), "x", 400),
        (&format!("Bearer {own}x"), "x", 401),
    ] {
        let lines =
            [("authorization", authorization), ("x-api-key", x_api_key), ("cookie", &format!("a=1; k={other}"))];
        let (status, seen) = send(layer(), request(&lines));
        assert_eq!(status, expected, "{lines:?}");
        if status == 200 {
            assert_eq!(values(&seen, "authorization"), [authorization]);
            assert_eq!(values(&seen, "x-api-key"), if x_api_key == "x" { vec!["x"] } else { vec![] });
            assert_eq!(values(&seen, "cookie"), ["a=1"]);
            assert_eq!(seen.unwrap().0, None);
        }
    }
    // Beside each other: the one of ours counts, and the other one is passed on.
    let ours = Some(own.split('_').nth(1).unwrap().to_owned());
    for lines in [
        [("authorization", foreign.as_str()), ("x-api-key", own)],
        [("authorization", &format!("Bearer {own}")), ("x-api-key", jwt)],
    ] {
        let (status, seen) = send(both(), request(&lines));
        assert_eq!(status, 200);
        let rest = [values(&seen, "authorization"), values(&seen, "x-api-key")].concat();
        assert!(rest == [foreign.as_str()] || rest == [jwt], "{rest:?}");
        assert_eq!(seen.unwrap().0, ours);
        // Not where nothing is passed on.
        let alone = setup.layer().sources(CredentialSources::authorization().with_x_api_key());
        assert_eq!(send(alone, request(&lines)).0, 400);
    }
    for pair in [[own.as_str(), other], [jwt, "x"], [own, "kgt1_x"]] {
        let bearer = format!("Bearer {}", pair[0]);
        assert_eq!(send(both(), request(&[("authorization", &bearer), ("x-api-key", pair[1])])).0, 400, "{pair:?}");
    }
}

/// A key of another system's making: five parts, with what a token68 has not.
fn parts(text: &str) -> Option<LegacyParts<'_>> {
    let secret = text.strip_prefix("old|")?;
    let hash = StoredHash::from_bytes(secret.as_bytes().first_chunk::<20>()?).ok()?;
    (secret.len() >= 20).then_some(LegacyParts { handle: None, hash })
}

static FORMATS: [LegacyFormat; 1] = [LegacyFormat::custom("old", parts)];

#[test]
fn a_legacy_key_is_found_in_its_field_and_removed_everywhere() {
    let setup = Setup::new();
    for secret in ["a:b*c;d,e=f|0123456789", &"0:".repeat(400)] {
        let old = format!("old|{secret}");
        let keys = KeyManager::with_parts(KG, setup.world.store.clone(), || UnixTime::from_secs(100), rng(3));
        let stored = FORMATS[0].parse(&old).unwrap().legacy_key();
        let name = format!("old-{}", secret.len()).parse().unwrap();
        let import =
            Import::new(stored, team("core", full("all")), name, Validity::NEVER_EXPIRES, UnixTime::from_secs(1));
        block_on(keys.import(&keygate::System::new("import").unwrap(), import)).unwrap();
        let layer = || setup.layer().sources(CredentialSources::authorization().with_legacy_field("x-old").unwrap());
        let lines = [
            ("x-old", old.as_str()),
            ("x-other", &format!("a {old} b")),
            ("x-other", "stays"),
            // The key has the separators in it.
            ("cookie", &format!("a=1; k={old}; b=2")),
            ("sec-websocket-protocol", &format!("chat, {old}")),
            ("x-part", &old[1..]),
        ];
        let (status, seen) = send(layer(), request(&lines));
        assert_eq!(status, 200);
        assert_eq!(values(&seen, "x-other"), ["stays"]);
        assert_eq!(values(&seen, "x-part"), [&old[1..]]);
        assert!(values(&seen, "x-old").is_empty());
        for name in ["cookie", "sec-websocket-protocol"] {
            assert!(!values(&seen, name).concat().contains(&old));
        }
        let (mut headers, sources) =
            (request(&lines).into_parts().0.headers, CredentialSources::authorization().with_legacy_field("x-old"));
        let keys = setup.gate.accepted_keys();
        let taken = take_credential(&Uri::from_static("/"), &mut headers, &sources.unwrap(), keys);
        assert_eq!((taken.unwrap().expose_secret(), &headers), (old.as_str(), &seen.as_ref().unwrap().1));
        // Where it cannot be removed it is misplaced.
        assert_eq!(send(layer(), request(&[("x-old", &old), ("content-type", &format!("a/b; k={old}"))])).0, 400);
        assert_eq!(send(setup.layer(), request(&[("x-old", &old)])).0, 401);
    }
}

/// What `header` and the layers should say, written a second time by expressions.
struct Model {
    run: Regex,
    ours: Regex,
    elses: Regex,
    token68: Regex,
    framing: Regex,
}

impl Model {
    fn new() -> Self {
        let new = |text| Regex::new(text).unwrap();
        Self {
            run: new("(kg|acme)[pt][0-9a-z]_[A-Za-z0-9]{16}_[A-Za-z0-9]{32}_[0-9a-f]{8}"),
            ours: new("(?-u)^(?i:bearer|api-key) +([-A-Za-z0-9._~+/]+=*)$"),
            elses: new("(?-u)^[-!#$%&'*+.^_`|~A-Za-z0-9]+( |$)"),
            token68: new("^[-A-Za-z0-9._~+/]+=*$"),
            framing: new("^(host|content-length|transfer-encoding|connection|upgrade|te|trailer|expect|content-type)$"),
        }
    }

    fn has_run(&self, value: &[u8]) -> bool {
        self.run.is_match(value)
    }

    fn authorization<'v>(&self, value: &'v [u8]) -> Result<&'v [u8], &'static str> {
        if let Some(found) = self.ours.captures(value) {
            return if value.len() > 8192 { Err("malformed") } else { Ok(found.get(1).unwrap().as_bytes()) };
        }
        let scheme = value.split(|byte| *byte == b' ').next().unwrap().to_ascii_lowercase();
        let is_elses = self.elses.is_match(value) && scheme != b"bearer" && scheme != b"api-key";
        Err(if is_elses { "missing" } else { "malformed" })
    }

    fn credential<'v>(&self, headers: &'v HeaderMap, x_api_key: bool, foreign: bool) -> Result<&'v [u8], &'static str> {
        let lines = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>();
        let keys = if x_api_key { lines("x-api-key") } else { Vec::new() };
        let authorization = lines("authorization");
        if authorization.len() > 1 || keys.len() > 1 {
            return Err("multiple");
        }
        let fields = [
            authorization.first().map(|value| self.authorization(value)),
            keys.first().map(|value| {
                if self.token68.is_match(value) && value.len() <= 8192 { Ok(*value) } else { Err("malformed") }
            }),
        ];
        let counting: Vec<_> = fields.into_iter().flatten().filter(|found| *found != Err("missing")).collect();
        if counting.contains(&Err("malformed")) {
            return Err("malformed");
        }
        let mut texts: Vec<_> = counting.into_iter().map(Result::unwrap).collect();
        texts.dedup();
        match &texts[..] {
            [text] => Ok(text),
            [] => {
                let places = ["authorization", "x-api-key", "api-key", "proxy-authorization"];
                let is_misplaced = places.iter().flat_map(|name| lines(name)).any(|value| self.has_run(value));
                Err(if is_misplaced { "misplaced" } else { "missing" })
            }
            _ => {
                texts.retain(|text| begins_as_ours(text));
                match (foreign, &texts[..]) {
                    (true, [text]) => Ok(text),
                    _ => Err("multiple"),
                }
            }
        }
    }
}

fn begins_as_ours(text: &[u8]) -> bool {
    let after = text.strip_prefix(b"kg").or_else(|| text.strip_prefix(b"acme")).unwrap_or_default();
    matches!(after, [b'p' | b't', b'0'..=b'9' | b'a'..=b'z', b'_', ..])
}

/// A request of odd fields: names and values put together from pieces.
fn odd_request(rng: &mut ChaCha20Rng, pieces: &[&str]) -> Request<()> {
    let names = [
        "authorization",
        "authorization",
        "authorization",
        "x-api-key",
        "x-api-key",
        "api-key",
        "proxy-authorization",
        "cookie",
        "sec-websocket-protocol",
        "x-trace",
        "referer",
        "host",
        "content-type",
    ];
    let mut pick = |count: usize| rng.next_u32() as usize % count;
    let mut request = Request::new(());
    if pick(20) == 0 {
        let target = format!("/a?b={}", pieces[pick(4)]);
        *request.uri_mut() = target.parse().unwrap();
    }
    for _ in 0..pick(5) {
        let name = names[pick(names.len())];
        // Two in three are what a client means, the others are anything.
        let mut value = match (pick(3), name) {
            (0, _) => String::new(),
            (_, "authorization" | "proxy-authorization") => format!("Bearer {}", pieces[pick(7)]),
            _ => pieces[pick(7)].to_owned(),
        };
        if value.is_empty() || pick(6) == 0 {
            for _ in 0..=pick(4) {
                value.push_str(pieces[pick(pieces.len())]);
            }
        }
        let mut bytes = value.into_bytes();
        if pick(50) == 0 {
            bytes.push(0xe9);
        }
        if pick(500) == 0 {
            bytes.resize(bytes.len() + 8192, b'a');
        }
        request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_bytes(&bytes).unwrap());
    }
    request
}

#[test]
fn a_hundred_thousand_odd_header_sets_have_documented_outcomes_and_leave_no_secret() {
    let (setup, model, mut rng) = (Setup::new(), Model::new(), ChaCha20Rng::from_seed([9; 32]));
    let [one, two, unknown] = &setup.tokens;
    let wrong = format!("{}0", &one[..one.len() - 1]);
    let former = two.replace("kg", "acme");
    let pieces = [
        one,
        two,
        unknown,
        "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
        &wrong,
        &former,
        one,
        "Bearer ",
        "Api-Key ",
        "bearer  ",
        "Token ",
        "Basic eDp5",
        "x",
        "kgt1_",
        "=",
        ";",
        ", ",
        " ",
        "\t",
        "_",
        "\"",
        "chat",
        "a=1; b=",
        "",
    ]
    .map(AsRef::<str>::as_ref);
    let mut seen_outcomes = BTreeMap::<String, u32>::new();
    for _ in 0..100_000 {
        let request = odd_request(&mut rng, &pieces);
        let (x_api_key, foreign) = (rng.next_u32() % 2 == 0, rng.next_u32() % 2 == 0);
        let headers = request.headers().clone();
        let framed = headers
            .iter()
            .any(|(name, value)| model.framing.is_match(name.as_str().as_bytes()) && model.has_run(value.as_bytes()));
        let credential = model.credential(&headers, x_api_key, foreign);
        let expected = match credential {
            _ if framed || model.has_run(request.uri().to_string().as_bytes()) => "misplaced",
            Err("missing") if foreign && headers.contains_key("authorization") => "passed on",
            Err(error) => error,
            Ok(text) if text == one.as_bytes() || text == two.as_bytes() => "ok",
            Ok(text) if begins_as_ours(text) || !foreign => "invalid key",
            Ok(text) if model.has_run(text) => "misplaced",
            Ok(_) => "passed on",
        };
        let sources = CredentialSources::authorization();
        let sources = if x_api_key { sources.with_x_api_key() } else { sources };
        let layer = setup.layer().sources(sources);
        let (status, seen) = send(if foreign { layer.pass_foreign_on() } else { layer }, request);
        let told = setup.world.told.take_events().pop().map(|event| match event.kind {
            EventKind::Refused { reason, .. } => reason.as_str(),
            other => panic!("{other:?}"),
        });
        let outcome = match (status, &seen, told) {
            (200, Some((Some(_), _)), None) => "ok",
            (200, Some((None, _)), None) => "passed on",
            (400, None, Some(reason @ ("malformed" | "multiple" | "misplaced"))) => reason,
            (401, None, Some("missing")) => "missing",
            (401, None, Some(_)) => "invalid key",
            other => panic!("{headers:?} {other:?}"),
        };
        assert_eq!(outcome, expected, "{headers:?} x-api-key {x_api_key} passing on {foreign}");
        *seen_outcomes.entry(outcome.to_owned()).or_default() += 1;
        let Some((_, behind)) = seen else { continue };
        for (name, value) in &behind {
            assert!(!model.has_run(value.as_bytes()), "{headers:?} leaves {name}: {value:?}");
            if outcome == "ok" {
                let credential = credential.unwrap();
                assert!(!value.as_bytes().windows(credential.len()).any(|part| part == credential));
            }
        }
        // What holds no secret stays.
        for (name, value) in &headers {
            let stays = !model.has_run(value.as_bytes());
            assert!(!stays || behind.get_all(name).iter().any(|other| other == value), "{headers:?} loses {name}");
        }
    }
    println!("{seen_outcomes:?}");
    assert!(seen_outcomes.len() == 7 && seen_outcomes.values().all(|count| *count > 1000), "{seen_outcomes:?}");
}
