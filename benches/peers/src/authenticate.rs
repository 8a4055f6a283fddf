//! From what was presented to who that is.

use std::{
    hint::black_box,
    time::{Duration, SystemTime},
};

use api_keys_simplified::{ApiKeyManagerV0, Environment, ExposeSecret as _, KeyStatus, SecureString};
use biscuit_auth::{AuthorizerLimits, Biscuit, KeyPair, builder::AuthorizerBuilder};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use keygate_bench_instructions::{Scenario, Work, scenario};
use macaroon::{Format, Macaroon, MacaroonKey, Verifier};
use prefixed_api_key::{PrefixedApiKey, PrefixedApiKeyController};
use serde::{Deserialize, Serialize};

/// 48 MiB and more instructions than can be counted one by one.
pub const ARGON2: &str = "api-keys-simplified 0.5, Argon2id";
pub const JWT: &str = "jsonwebtoken 11, HS256, decode and validate";
pub const PREFIXED: &str = "prefixed-api-key 0.3, parse and check";

pub fn accept() -> Vec<Scenario> {
    vec![
        Scenario { name: "keygate, both secrets compared", prepare: scenario::VERIFY.prepare },
        Scenario { name: "sha2 0.11 over the same bytes, and nothing else", prepare: scenario::HASH.prepare },
        Scenario { name: PREFIXED, prepare: prefixed },
        Scenario { name: ARGON2, prepare: simplified },
        Scenario { name: JWT, prepare: jwt },
        Scenario { name: "macaroon 0.3, three caveats", prepare: macaroon },
        Scenario { name: "biscuit-auth 6, parse, verify, authorize", prepare: biscuit },
    ]
}

pub fn reject() -> Vec<Scenario> {
    vec![
        Scenario { name: "keygate, wrong checksum", prepare: scenario::WRONG_CHECKSUM.prepare },
        Scenario { name: "keygate, wrong symbol", prepare: scenario::MALFORMED[5].prepare },
        Scenario { name: "api-keys-simplified 0.5, wrong checksum", prepare: simplified_mistyped },
    ]
}

fn prefixed() -> Work {
    let controller = PrefixedApiKeyController::configure().prefix("kg".to_owned()).seam_defaults().finalize().unwrap();
    let (key, hash) = controller.try_generate_key_and_hash().unwrap();
    let text = key.to_string();
    Box::new(move || {
        let key = PrefixedApiKey::from_string(black_box(&text)).unwrap();
        assert!(controller.check_hash(&key, black_box(&hash)));
    })
}

fn simplified() -> Work {
    let manager = ApiKeyManagerV0::init_default_config("kg").unwrap();
    let key = manager.generate(Environment::production()).unwrap();
    let (text, hash) = (key.key().expose_secret().to_owned(), key.expose_hash().hash().to_owned());
    Box::new(move || {
        let presented = SecureString::from(black_box(&text).clone());
        assert!(matches!(manager.verify(&presented, &hash), Ok(KeyStatus::Valid)));
    })
}

fn simplified_mistyped() -> Work {
    let manager = ApiKeyManagerV0::init_default_config("kg").unwrap();
    let mut text = manager.generate(Environment::production()).unwrap().key().expose_secret().to_owned();
    let last = if text.pop() == Some('0') { '1' } else { '0' };
    text.push(last);
    Box::new(move || {
        let presented = SecureString::from(black_box(&text).clone());
        assert!(matches!(manager.verify_checksum(&presented), Ok(false)));
    })
}

/// The claims that an access token has to have: RFC 9068, section 2.2.
#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    exp: u64,
    aud: String,
    sub: String,
    client_id: String,
    iat: u64,
    jti: String,
}

fn jwt() -> Work {
    let secret = [7; 32];
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = Claims {
        iss: "https://issuer.example".to_owned(),
        exp: now + 3600,
        aud: "https://models.example".to_owned(),
        sub: "core".to_owned(),
        client_id: "wk59pfKL0jFi2YYv".to_owned(),
        iat: now,
        jti: "LBpEGbpRuHrzDSVdqUC8".to_owned(),
    };
    let token = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(&secret)).unwrap();
    let key = DecodingKey::from_secret(&secret);
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[&claims.iss]);
    validation.set_audience(&[&claims.aud]);
    Box::new(move || {
        let decoded = jsonwebtoken::decode::<Claims>(black_box(&token), &key, &validation).unwrap();
        assert_eq!(decoded.claims.client_id, "wk59pfKL0jFi2YYv");
        black_box(decoded);
    })
}

fn macaroon() -> Work {
    macaroon::initialize().unwrap();
    let key = MacaroonKey::generate(b"a secret of the service");
    let mut made = Macaroon::create(Some("kg".into()), &key, "wk59pfKL0jFi2YYv".into()).unwrap();
    let caveats = ["team = core", "environment = production", "model = model-000000"];
    let mut verifier = Verifier::default();
    for caveat in caveats {
        made.add_first_party_caveat(caveat.into());
        verifier.satisfy_exact(caveat.into());
    }
    let token = made.serialize(Format::V2).unwrap();
    Box::new(move || {
        let presented = Macaroon::deserialize(black_box(&token)).unwrap();
        verifier.verify(&presented, &key, Vec::new()).unwrap();
    })
}

fn biscuit() -> Work {
    let root = KeyPair::new();
    let code = r#"team("core"); right("model-000000", "production");"#;
    let token = Biscuit::builder().code(code).unwrap().build(&root).unwrap().to_base64().unwrap();
    let public = root.public();
    let request = r#"model("model-000000"); environment("production");
        allow if team("core"), model($m), environment($e), right($m, $e);"#;
    // The limit is a millisecond where none is given, which a busy machine may need for anything.
    let limits = AuthorizerLimits { max_time: Duration::from_secs(60), ..AuthorizerLimits::default() };
    let authorizer = AuthorizerBuilder::new().code(request).unwrap().set_limits(limits);
    Box::new(move || {
        let presented = Biscuit::from_base64(black_box(&token), public).unwrap();
        authorizer.clone().build(&presented).unwrap().authorize().unwrap();
    })
}
