//! Tokens that an independent implementation made and unmade: `vectors/token-v1.json`.

use keygate::{
    Issuer,
    verify::{ParseTokenError, UnverifiedToken},
};
use serde_json::Value;

const VECTORS: &str = include_str!("../vectors/token-v1.json");

fn vectors(list: &str) -> Vec<Value> {
    let mut vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors["format"], 1);
    match vectors[list].take() {
        Value::Array(list) => list,
        _ => panic!("no list `{list}`"),
    }
}

/// The issuer and the token of a vector, parsed.
fn parse(vector: &Value) -> Result<UnverifiedToken, ParseTokenError> {
    let issuer: Issuer = text(vector, "issuer").parse().unwrap();
    UnverifiedToken::parse(issuer, text(vector, "token"))
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

#[test]
fn accepts_what_another_implementation_made() {
    let accept = vectors("accept");
    assert_eq!(accept.len(), 48);
    for vector in &accept {
        let token = parse(vector).unwrap_or_else(|error| panic!("{vector}: {error}"));
        assert_eq!(token.kind().as_str(), text(vector, "kind"), "{vector}");
        assert_eq!(token.id().as_str(), text(vector, "key_id"), "{vector}");
        assert_eq!(token.public().to_string(), text(vector, "display"), "{vector}");
        assert_eq!(token.digest().to_string(), format!("v1${}", text(vector, "stored_digest_hex")), "{vector}");
    }
}

#[test]
fn rejects_what_another_implementation_unmade_for_the_same_reason() {
    let reject = vectors("reject");
    assert_eq!(reject.len(), 202);
    for vector in &reject {
        let error = match text(vector, "error") {
            "checksum_mismatch" => ParseTokenError::ChecksumMismatch,
            "foreign_issuer" => ParseTokenError::ForeignIssuer,
            "malformed" => ParseTokenError::Malformed,
            "unsupported_version" => ParseTokenError::UnsupportedVersion,
            other => panic!("unknown error `{other}`"),
        };
        assert_eq!(parse(vector).map(|token| token.public()), Err(error), "{vector}");
    }
}
