//! Where a credential may stand, and what stands there: header fields in, one credential or an error out.

use http::{HeaderMap, HeaderName, HeaderValue};
use keygate::{
    Issuer,
    http::{CredentialError, CredentialSources, InvalidSource, extract_credential},
    stages::AcceptedKeys,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

use CredentialError::{Malformed, Misplaced, Missing, Multiple};

use crate::common::KG;

const KEYS: AcceptedKeys = AcceptedKeys::new(KG);
/// A token, its checksum right.
const K: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const OFF: CredentialSources = CredentialSources::authorization();

fn on() -> CredentialSources {
    OFF.with_x_api_key()
}

/// What is found, as text, so that tables of both are short.
fn found(lines: &[(&str, &str)], sources: &CredentialSources) -> String {
    let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    match extract_credential(&headers(&lines), sources, KEYS) {
        Ok(text) => format!("ok {text}"),
        Err(error) => error.as_str().to_owned(),
    }
}

fn headers(lines: &[(&str, &[u8])]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal name");
        headers.append(name, HeaderValue::from_bytes(value).expect("a legal value"));
    }
    headers
}

#[test]
fn one_authorization_line_is_read_by_its_grammar() {
    let long = |length: usize| [b"Bearer ".as_slice(), &vec![b'a'; length - 7]].concat();
    let cases: &[(&[u8], Result<&str, CredentialError>)] = &[
        // The scheme: any case, interchangeable.
        (b"Bearer x", Ok("x")),
        (b"bearer x", Ok("x")),
        (b"BEARER x", Ok("x")),
        (b"Api-Key x", Ok("x")),
        (b"aPI-kEY x", Ok("x")),
        // Another system's.
        (b"Basic eDp5", Err(Missing)),
        (b"Basic", Err(Missing)),
        (b"Bearerx y", Err(Missing)),
        (b"Digest username=\"x\", realm=\"y\"", Err(Missing)),
        (b"Bearer-x", Err(Missing)),
        (b"apikey x", Err(Missing)),
        // No scheme, or something but a space behind it.
        (b"", Err(Malformed)),
        (b" Bearer x", Err(Malformed)),
        (b"Bearer\tx", Err(Malformed)),
        (b"Basic\tx", Err(Malformed)),
        (b"Bearer,x", Err(Malformed)),
        (b"Bearer=x", Err(Malformed)),
        (b"\"Bearer\" x", Err(Malformed)),
        (b"\xc3\xa9 x", Err(Malformed)),
        // One or more spaces and one token68 to the very end.
        (b"Bearer", Err(Malformed)),
        (b"Bearer ", Err(Malformed)),
        (b"Bearer    x", Ok("x")),
        (b"Bearer x ", Err(Malformed)),
        (b"Bearer x\t", Err(Malformed)),
        (b"Bearer \tx", Err(Malformed)),
        (b"Bearer x y", Err(Malformed)),
        // The same symbol twice, in a credential that is longer than what is looked at in one step.
        (b"Bearer aaaaaaaa,,aaaaaaaa", Err(Malformed)),
        // A bad symbol in the first step only, and in the last one only.
        (b"Bearer ,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Err(Malformed)),
        (b"Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,", Err(Malformed)),
        (b"Bearer x, Bearer y", Err(Malformed)),
        (b"Bearer aZ09-._~+/==", Ok("aZ09-._~+/==")),
        (b"Bearer =", Err(Malformed)),
        (b"Bearer x=y", Err(Malformed)),
        (b"Bearer \"x\"", Err(Malformed)),
        (b"Bearer x\xc3\xa9", Err(Malformed)),
        (b"Bearer x:y", Err(Malformed)),
    ];
    for (value, expected) in cases {
        let headers = headers(&[("Authorization", value)]);
        let text = String::from_utf8_lossy(value);
        assert_eq!(extract_credential(&headers, &OFF, KEYS), *expected, "{text:?}");
        assert_eq!(extract_credential(&headers, &on(), KEYS), *expected, "{text:?}");
    }
    assert!(extract_credential(&headers(&[("authorization", &long(8192))]), &OFF, KEYS).is_ok());
    assert_eq!(extract_credential(&headers(&[("authorization", &long(8193))]), &OFF, KEYS), Err(Malformed));
    // Somebody else's may be of any length.
    let basic = [b"Basic ".as_slice(), &vec![b'a'; 9000]].concat();
    assert_eq!(extract_credential(&headers(&[("authorization", &basic)]), &OFF, KEYS), Err(Missing));
}

#[test]
fn lines_are_counted_whatever_they_say_and_fields_by_what_they_hold() {
    let (bearer, basic, key) = (("authorization", "Bearer x"), ("authorization", "Basic x"), ("x-api-key", "y"));
    let none = ("authorization", "Bearer");
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        // The lines, then what is found where `X-Api-Key` does not count, and where it does.
        (&[], "missing", "missing"),
        (&[bearer, bearer], "multiple", "multiple"),
        (&[bearer, basic], "multiple", "multiple"),
        (&[basic, basic], "multiple", "multiple"),
        (&[none, none], "multiple", "multiple"),
        (&[key], "missing", "ok y"),
        (&[key, key], "missing", "multiple"),
        (&[bearer, key, key], "ok x", "multiple"),
        (&[none, key, key], "malformed", "multiple"),
        (&[bearer, bearer, ("x-api-key", "y z")], "multiple", "multiple"),
        // One credential in both fields is one.
        (&[bearer, ("x-api-key", "x")], "ok x", "ok x"),
        (&[("authorization", "api-key   x=="), ("x-api-key", "x==")], "ok x==", "ok x=="),
        (&[bearer, key], "ok x", "multiple"),
        (&[bearer, ("x-api-key", "X")], "ok x", "multiple"),
        // Somebody else's in the one, ours in the other.
        (&[basic, key], "missing", "ok y"),
        (&[basic, ("x-api-key", "y z")], "missing", "malformed"),
        // One that is malformed is no second one.
        (&[none, key], "malformed", "malformed"),
        (&[bearer, ("x-api-key", "y z")], "ok x", "malformed"),
        (&[bearer, ("x-api-key", "")], "ok x", "malformed"),
        (&[("x-api-key", " y")], "missing", "malformed"),
        (&[("x-api-key", "Bearer y")], "missing", "malformed"),
        (&[("cookie", "authorization=x")], "missing", "missing"),
    ];
    for (lines, off, on_too) in cases {
        assert_eq!((found(lines, &OFF).as_str(), found(lines, &on()).as_str()), (*off, *on_too), "{lines:?}");
    }
}

/// A token of ours in a place that does not count is told of, and is no absence.
#[test]
fn a_token_where_it_does_not_count_is_misplaced() {
    let wrong = format!("{}0", &K[..K.len() - 1]);
    let later = K.replace("kgt1_", "kgpz_");
    for run in [K, &wrong, &later] {
        let runs = [
            ("authorization", run.to_owned()),
            ("authorization", format!("Token {run}")),
            ("authorization", format!("ApiKey {run}")),
            ("authorization", format!("Bearer{run}")),
            ("authorization", format!("Basic eDp5, Bearer {run}")),
            ("authorization", format!("Basic {run}{run}")),
            ("api-key", format!("x{run}x")),
            ("proxy-authorization", format!("Bearer {run}")),
        ];
        for (name, value) in &runs {
            assert_eq!(found(&[(name, value)], &OFF), "misplaced", "{name}: {value}");
            assert_eq!(found(&[(name, value)], &on()), "misplaced", "{name}: {value}");
            // Where something else counts, it is not absent.
            if *name != "authorization" {
                assert_eq!(found(&[(name, value), ("authorization", "Bearer x")], &OFF), "ok x");
                assert_eq!(found(&[(name, value), ("authorization", "Bearer")], &OFF), "malformed");
            }
        }
        assert_eq!(found(&[("x-api-key", run)], &OFF), "misplaced");
        assert_eq!(found(&[("x-api-key", run)], &on()), format!("ok {run}"));
        assert_eq!(found(&[("x-api-key", run), ("authorization", "Basic x")], &OFF), "misplaced");
        // What does not begin with a scheme is malformed, whatever it holds.
        assert_eq!(found(&[("authorization", &format!(" {run}"))], &OFF), "malformed");
        // Elsewhere it is not looked for.
        for name in ["cookie", "x-token", "sec-websocket-protocol"] {
            assert_eq!(found(&[(name, run)], &OFF), "missing");
        }
    }
    let no_runs = [
        &K[1..],
        &K[..K.len() - 1],
        &K.replace("kgt1_", "kgx1_"),
        &K.replace("kgt1_", "kgt-_"),
        &K.replace("kgt1_", "acmet1_"),
        &K.replace('_', "-"),
        &K.replace('w', "+"),
        &K.replace("de91", "DE91"),
    ];
    for text in no_runs {
        assert_eq!(found(&[("authorization", &format!("Token {text}"))], &OFF), "missing", "{text}");
    }
    // Each issuer that is accepted counts.
    static FORMER: [Issuer; 1] = [Issuer::from_static("acme")];
    let keys = KEYS.with_issuers(&FORMER);
    for issuer in ["kg", "acme"] {
        let value = format!("Token {}", K.replace("kg", issuer));
        let headers = headers(&[("authorization", value.as_bytes())]);
        assert_eq!(extract_credential(&headers, &OFF, keys), Err(Misplaced));
    }
}

#[test]
fn a_service_says_what_else_counts() {
    let of = |sources: Result<CredentialSources, InvalidSource>| sources.unwrap();
    let longest = format!("key.{}", "x".repeat(8188));
    let longest_found = longest.replace("key.", "ok ");
    let cases: &[(CredentialSources, &str, &str, &str)] = &[
        (of(OFF.with_field("API-Key")), "api-key", "x", "ok x"),
        (of(OFF.with_field("api-key")), "api-key", "x:y", "malformed"),
        (of(OFF.with_field("api-key")), "api-key", "Bearer x", "malformed"),
        (of(OFF.with_field("api-key")), "x-api-key", "x", "missing"),
        (of(OFF.with_field("x-api-key")), "x-api-key", "x", "ok x"),
        (of(OFF.with_scheme("Token")), "authorization", "token x", "ok x"),
        (of(OFF.with_scheme("Token")), "authorization", "Token", "malformed"),
        (of(OFF.with_scheme("Token")), "authorization", "Token x y", "malformed"),
        (of(OFF.with_scheme("Token")), "authorization", "Bearer x", "ok x"),
        (of(OFF.with_scheme("Token")), "authorization", "Tokens x", "missing"),
        (OFF.with_bare_authorization(), "authorization", "x", "ok x"),
        (OFF.with_bare_authorization(), "authorization", "a/b==", "ok a/b=="),
        (OFF.with_bare_authorization(), "authorization", K, &format!("ok {K}")),
        (OFF.with_bare_authorization(), "authorization", "Bearer x", "ok x"),
        (OFF.with_bare_authorization(), "authorization", "Bearer", "malformed"),
        (OFF.with_bare_authorization(), "authorization", "Basic x", "missing"),
        (OFF.with_bare_authorization(), "authorization", "x:y", "malformed"),
        (OFF.with_bare_authorization(), "authorization", "", "malformed"),
        (OFF.with_bare_authorization(), "authorization", " x", "malformed"),
        (of(OFF.with_legacy_field("x-old-key")), "x-old-key", "17|x:y*z=a", "ok 17|x:y*z=a"),
        (of(OFF.with_legacy_field("x-old-key")), "x-old-key", "x y", "malformed"),
        (of(OFF.with_legacy_field("x-old-key")), "x-old-key", "", "malformed"),
        (of(OFF.with_legacy_field("x-old-key")), "x-old-key", &"k".repeat(8192), &format!("ok {}", "k".repeat(8192))),
        (of(OFF.with_legacy_field("x-old-key")), "x-old-key", &"k".repeat(8193), "malformed"),
        (of(on().with_legacy_field("x-api-key")), "x-api-key", "a:b", "ok a:b"),
        (of(OFF.with_legacy_field("x-api-key")).with_x_api_key(), "x-api-key", "a:b", "malformed"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "chat,key.x", "ok x"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "key.x \t, chat", "ok x"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "chat", "missing"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "KEY.x", "missing"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "key.", "malformed"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "key.x y", "malformed"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", "key.x, key.x", "multiple"),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", &longest, &longest_found),
        (of(OFF.with_subprotocol("key.")), "sec-websocket-protocol", &format!("{longest}x"), "malformed"),
    ];
    for (sources, name, value, expected) in cases {
        assert_eq!(found(&[(name, value)], sources), *expected, "{name}: {value}");
    }
    // A list may stand in several lines, and still has one member of ours.
    let websocket = of(OFF.with_subprotocol("key."));
    let (chat, ours) = (("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "key.x"));
    assert_eq!(found(&[chat, ours], &websocket), "ok x");
    assert_eq!(found(&[ours, chat, ours], &websocket), "multiple");
    // Whatever counts counts together.
    let all = of(of(of(on().with_field("api-key")).with_scheme("Token")).with_subprotocol("key."));
    let lines = [("authorization", "Token x"), ("x-api-key", "x"), ("api-key", "x"), ours];
    assert_eq!(found(&lines, &all), "ok x");
    for other in ["authorization", "x-api-key", "api-key", "sec-websocket-protocol"] {
        let value = match other {
            "authorization" => "Bearer y",
            "sec-websocket-protocol" => "key.y",
            _ => "y",
        };
        let lines: Vec<_> =
            lines.iter().map(|(name, old)| (*name, if *name == other { value } else { *old })).collect();
        assert_eq!(found(&lines, &all), "multiple", "{other}");
    }
}

#[test]
fn no_field_counts_that_frames_a_message_or_has_a_grammar_of_its_own() {
    let refused = "host content-length transfer-encoding connection upgrade te trailer expect content-type authorization \
                   cookie proxy-authorization sec-websocket-protocol";
    for name in refused.split_whitespace().chain(["", "api key", "a:b", "\u{e9}"]) {
        assert_eq!(OFF.with_field(name), Err(InvalidSource::Field), "{name}");
        assert_eq!(OFF.with_legacy_field(&name.to_uppercase()), Err(InvalidSource::Field), "{name}");
    }
    for name in ["api-key", "X-Old-Key", "x-goog-api-key", "apikey"] {
        assert!(OFF.with_field(name).is_ok() && OFF.with_legacy_field(name).is_ok());
    }
    let longest = "x".repeat(64);
    for text in ["", "a b", "a,b", "a=", "\u{e9}", &"x".repeat(65)] {
        assert_eq!(OFF.with_scheme(text), Err(InvalidSource::Scheme), "{text}");
        assert_eq!(OFF.with_subprotocol(text), Err(InvalidSource::Subprotocol), "{text}");
    }
    for text in ["Token", "ApiKey", "key.", &longest] {
        assert!(OFF.with_scheme(text).is_ok() && OFF.with_subprotocol(text).is_ok());
    }
    assert_eq!(CredentialSources::default(), OFF);
}

/// What `credential` should say, written a second time and in another way.
fn naive(value: &[u8]) -> Result<&str, CredentialError> {
    let text: String = value.iter().map(|byte| char::from(*byte)).collect();
    let is_tchar = |symbol: char| symbol.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(symbol);
    let scheme: String = text.chars().take_while(|symbol| is_tchar(*symbol)).collect();
    let rest = &text[scheme.len()..];
    if scheme.is_empty() || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(Malformed);
    }
    if !["bearer", "api-key"].contains(&scheme.to_lowercase().as_str()) {
        return Err(Missing);
    }
    let token = rest.trim_start_matches(' ');
    let symbols = token.trim_end_matches('=');
    let is_legal = |symbol: char| symbol.is_ascii_alphanumeric() || "-._~+/".contains(symbol);
    if rest.is_empty() || symbols.is_empty() || !symbols.chars().all(is_legal) || value.len() > 8192 {
        return Err(Malformed);
    }
    Ok(core::str::from_utf8(&value[value.len() - token.len()..]).expect("ASCII"))
}

#[test]
fn a_hundred_thousand_odd_values_have_documented_outcomes() {
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    let pieces: &[&[u8]] =
        &[b"Bearer", b"Api-Key", b"bearer", b"Basic", b" ", b"  ", b"\t", b"=", b",", b"kgt1_x", b"\xff", b"\"", b"a"];
    let mut seen = [0_u32; 5];
    for _ in 0..100_000 {
        let mut value = if rng.next_u32() % 2 == 0 { b"Bearer ".to_vec() } else { Vec::new() };
        for _ in 0..rng.next_u32() % 6 {
            match rng.next_u32() % 256 {
                0..32 => value.push((rng.next_u32() % 256) as u8),
                32 => value.extend(core::iter::repeat_n(b'a', (rng.next_u32() % 5000) as usize)),
                _ => value.extend(pieces[rng.next_u32() as usize % pieces.len()]),
            }
        }
        let Ok(legal) = HeaderValue::from_bytes(&value) else {
            seen[3] += 1;
            continue;
        };
        let mut headers = HeaderMap::new();
        headers.insert("authorization", legal);
        let outcome = extract_credential(&headers, &OFF, KEYS);
        assert_eq!(outcome, naive(&value), "{:?}", String::from_utf8_lossy(&value));
        seen[match outcome {
            Ok(_) => 0,
            Err(Malformed) => 1,
            Err(Missing) => 2,
            Err(Misplaced | Multiple) => 4,
        }] += 1;
    }
    let [outcomes @ .., multiple] = seen;
    assert_eq!(multiple, 0, "there is one line, and no token in it");
    assert!(outcomes.iter().all(|count| *count > 1000), "the generator reaches every outcome: {outcomes:?}");
}

#[test]
fn names_for_logs_are_as_documented() {
    let names = [Malformed, Misplaced, Missing, Multiple].map(CredentialError::as_str);
    assert_eq!(names, ["malformed", "misplaced", "missing", "multiple"]);
}
