//! Reading: vectors of another implementation, the grammar of stored hashes, and any text.

use std::sync::LazyLock;

use super::formats::{BASE64, HEX, NUMBERED, OPAQUE, PREFIX_256, PREFIX_512, hex};
use super::{KG, common::text};
use keygate::{
    Unauthenticated,
    legacy::{InvalidHash, InvalidLegacyKey, LegacyFormat, LegacyParts, StoredHash, Symbols},
    stages::AcceptedKeys,
    verify::ParseTokenError,
};
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../vectors/legacy-v1.json");

/// A version 4 UUID, whose SHA-1 was stored. Of one text only, since nothing else here computes SHA-1.
fn uuid(text: &str) -> Option<LegacyParts<'_>> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let is_this = |vector: &&Value| vector["format"] == "custom_uuid" && vector["text"] == text;
    let stored = vectors.get("accept")?.as_array()?.iter().find(is_this)?.get("stored")?.as_str()?;
    Some(LegacyParts { handle: None, hash: stored.parse().ok()? })
}

fn format(name: &Value) -> LegacyFormat {
    match name.as_str().unwrap() {
        "prefix_secret_sha256" => PREFIX_256,
        "prefix_secret_sha512" => PREFIX_512,
        "opaque_alphanumeric" => OPAQUE,
        "opaque_base64url" => BASE64,
        "opaque_hex" => HEX,
        "custom_uuid" => LegacyFormat::custom("uuid-sha1", uuid),
        "custom_handle" => NUMBERED,
        other => panic!("no format `{other}`"),
    }
}

#[test]
fn what_another_implementation_derived() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors["version"], 1);
    let accept = vectors["accept"].as_array().unwrap();
    assert_eq!(accept.len(), 84);
    let mut draws = 0;
    for vector in accept {
        let format = format(&vector["format"]);
        let presented = format.parse(vector["text"].as_str().unwrap()).unwrap();
        assert_eq!(presented.id().as_str(), vector["key_id"], "{vector}");
        assert_eq!(presented.legacy_key().id(), presented.id());
        assert_eq!(presented.legacy_key().digest().to_string(), vector["digest_of_text"], "{vector}");
        // Of the row.
        let stored = format.stored(vector["handle"].as_str(), text(vector["stored"].as_str().unwrap())).unwrap();
        assert_eq!(stored.id(), presented.id(), "{vector}");
        assert_eq!(stored.digest().to_string(), vector["digest_of_hash"], "{vector}");
        draws = draws.max(vector["draws"].as_u64().unwrap());
    }
    assert!(draws > 2, "some id is of a later hash");

    let reject = vectors["reject"].as_array().unwrap();
    assert_eq!(reject.len(), 49);
    for vector in reject {
        let presented = format(&vector["format"]).parse(vector["text"].as_str().unwrap());
        assert_eq!(presented.unwrap_err(), InvalidLegacyKey::Text, "{vector}");
    }
}

/// Prefixes with each symbol in the middle. They live as long as the program, as those of a service do.
static PREFIXES: LazyLock<Vec<(char, String)>> =
    LazyLock::new(|| ('\0'..='\u{100}').map(|symbol| (symbol, format!("o{symbol}d"))).collect());

/// In a constant, what is refused here is an error of compilation.
#[test]
fn formats_have_room_for_112_bits_and_fit_a_header_field() {
    let is_legal = |prefix, symbols, min, max| {
        std::panic::catch_unwind(|| LegacyFormat::opaque(prefix, symbols, min, max)).is_ok()
    };
    for (symbols, count) in [(Symbols::Alphanumeric, 62_f64), (Symbols::Base64Url, 64.0), (Symbols::Hex, 16.0)] {
        // As few symbols as have the bits.
        let min = (1..).find(|length| f64::from(*length) * count.log2() >= 112.0).unwrap() as usize;
        assert_eq!(symbols.min_length(), min, "{symbols:?}");
        assert!(is_legal("", symbols, min, min));
        assert!(!is_legal("", symbols, min - 1, 40));
        assert!(!is_legal("", symbols, min + 1, min));
        for (prefix, max, expected) in
            [("", 1024, true), ("", 1025, false), ("old:", 1020, true), ("old:", 1021, false)]
        {
            assert_eq!(is_legal(prefix, symbols, min, max), expected, "{prefix} {max}");
        }
        assert!(!is_legal("old_", symbols, min, usize::MAX));
    }
    for (symbol, prefix) in &*PREFIXES {
        assert_eq!(is_legal(prefix.as_str(), Symbols::Hex, 40, 40), symbol.is_ascii_graphic(), "{symbol:?}");
    }
    for (length, expected) in [(0, false), (1, true), (32, true), (33, false)] {
        let name = &"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"[..length];
        assert_eq!(std::panic::catch_unwind(|| LegacyFormat::custom(name, anything)).is_ok(), expected, "{length}");
    }
}

#[test]
fn formats_say_what_they_read() {
    let said = [PREFIX_512, OPAQUE, NUMBERED].map(|format| format!("{format:?}"));
    let expected = [
        "LegacyFormat(prefix.secret, Sha512)",
        "LegacyFormat(\"old_live_\" and 24 to 32 of Alphanumeric)",
        "LegacyFormat(custom, \"numbered\")",
    ];
    assert_eq!(said, expected);
    assert_eq!(format!("{:?}", text::<StoredHash>(&"5c".repeat(32))), "StoredHash([redacted])");
}

/// Different keys, different ids; of different formats too, though their handles be equal.
#[test]
fn ids_are_of_format_and_handle() {
    let hash = || text::<StoredHash>(&"5c".repeat(32));
    let other = LegacyFormat::custom("another", |_| None);
    let ids = [
        PREFIX_256.stored(Some("12345678"), hash()),
        PREFIX_256.stored(Some("12345679"), hash()),
        NUMBERED.stored(Some("12345678"), hash()),
        other.stored(Some("12345678"), hash()),
        HEX.stored(None, hash()),
        NUMBERED.stored(None, hash()),
    ]
    .map(|legacy_key| legacy_key.unwrap().id());
    for (place, id) in ids.iter().enumerate() {
        assert!(!ids[..place].contains(id), "{place}");
    }
    // The prefix alone finds the key, whatever the hash; and of opaque keys all of one kind are in one space.
    let again = PREFIX_256.stored(Some("12345678"), text(&"00".repeat(32))).unwrap();
    assert_eq!(again.id(), ids[0]);
    assert_eq!(OPAQUE.stored(None, hash()).unwrap().id(), ids[4]);
}

#[test]
fn rows_that_do_not_fit_their_format() {
    let hash = |bytes: usize| text::<StoredHash>(&"5c".repeat(bytes));
    let long = "9".repeat(129);
    for (format, handle, length, expected) in [
        (PREFIX_512, Some("12345678"), 64, None),
        (PREFIX_512, Some("12345678"), 32, Some(InvalidLegacyKey::Hash)),
        (PREFIX_256, Some("12345678"), 32, None),
        (PREFIX_256, Some("12345678"), 64, Some(InvalidLegacyKey::Hash)),
        (PREFIX_512, None, 64, Some(InvalidLegacyKey::Handle)),
        (PREFIX_512, Some(""), 64, Some(InvalidLegacyKey::Handle)),
        (PREFIX_512, Some("1234567"), 64, Some(InvalidLegacyKey::Handle)),
        (PREFIX_512, Some("123456789"), 64, Some(InvalidLegacyKey::Handle)),
        (PREFIX_512, Some("1234567."), 64, Some(InvalidLegacyKey::Handle)),
        (OPAQUE, None, 32, None),
        (OPAQUE, None, 64, Some(InvalidLegacyKey::Hash)),
        (OPAQUE, Some("12345678"), 32, Some(InvalidLegacyKey::Handle)),
        (NUMBERED, Some("1"), 48, None),
        (NUMBERED, Some("1"), 16, None),
        (NUMBERED, None, 48, None),
        (NUMBERED, Some(""), 48, Some(InvalidLegacyKey::Handle)),
        (NUMBERED, Some(long.as_str()), 48, Some(InvalidLegacyKey::Handle)),
    ] {
        assert_eq!(format.stored(handle, hash(length)).err(), expected, "{format:?} {handle:?} {length}");
    }
}

/// All symbols are looked at, whatever they are, so one that is wrong must not make up for another.
#[test]
fn two_wrong_symbols_are_wrong() {
    for (format, key) in [
        (PREFIX_512, super::prefix_secret(1)),
        (OPAQUE, format!("old_live_{}", "a".repeat(24))),
        (BASE64, format!("old-{}", "-".repeat(43))),
        (HEX, "5c".repeat(20)),
    ] {
        assert!(format.parse(&key).is_ok());
        for second in 0..key.len() {
            for first in 0..=second {
                let mut other = key.clone();
                other.replace_range(first..=first, "~");
                other.replace_range(second..=second, "~");
                assert!(format.parse(&other).is_err(), "{other}");
            }
        }
    }
}

#[test]
fn stored_hashes() {
    let (sha256, sha512) = ("5c".repeat(32), "0f".repeat(64));
    for accepted in [
        &sha256,
        &sha512,
        &format!("sha256$${sha256}"),
        &format!("sha512$${sha512}"),
        &"5c".repeat(16),
        &"5c".repeat(20),
        &"5c".repeat(48),
    ] {
        assert!(accepted.parse::<StoredHash>().is_ok(), "{accepted}");
    }
    let refused = [
        ("", InvalidHash::Length),
        ("5c", InvalidHash::Length),
        (&"5c".repeat(15), InvalidHash::Length),
        (&"5c".repeat(65), InvalidHash::Length),
        (&format!("{sha256}0"), InvalidHash::Length),
        (&format!("sha256$${sha512}"), InvalidHash::Length),
        (&format!("sha512$${sha256}"), InvalidHash::Length),
        (&"5c".repeat(5000), InvalidHash::Length),
        (&sha256.to_uppercase(), InvalidHash::Digits),
        (&sha256.replace("5c", "5g"), InvalidHash::Digits),
        (&format!("sha512$$ {}", &sha512[1..]), InvalidHash::Digits),
        (&"\u{e9}".repeat(32), InvalidHash::Digits),
        (&format!("sha512$salt${sha512}"), InvalidHash::Salted),
        (&format!("sha256$salt${sha256}"), InvalidHash::Salted),
        (&format!("sha512${sha512}"), InvalidHash::Salted),
        (&format!("sha1$${}", &sha256[..40]), InvalidHash::Tag),
        (&format!("SHA512$${sha512}"), InvalidHash::Tag),
        (&format!("$$${sha512}"), InvalidHash::Tag),
        // crypt(3) and PHC, Django, Werkzeug, passlib.
        ("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG", InvalidHash::Slow),
        ("argon2$argon2id$v=19$m=102400,t=2,p=8$c2FsdA$aGFzaA", InvalidHash::Slow),
        ("pbkdf2_sha256$600000$salt$aGFzaA==", InvalidHash::Slow),
        ("pbkdf2_sha1$600000$salt$aGFzaA==", InvalidHash::Slow),
        ("pbkdf2:sha256:600000$salt$0123", InvalidHash::Slow),
        ("$pbkdf2-sha256$29000$salt$aGFzaA", InvalidHash::Slow),
        ("$2b$12$LQv3c1yqBWVHxkd0LHAkCOYz6TtxMQJqhN8/LewKyNiLXCbnF2D2e", InvalidHash::Slow),
        ("$2a$10$abc", InvalidHash::Slow),
        ("$2y$10$abc", InvalidHash::Slow),
        ("bcrypt$$2b$12$abc", InvalidHash::Slow),
        ("bcrypt_sha256$$2b$12$abc", InvalidHash::Slow),
        ("scrypt$16384$salt$8$1$aGFzaA==", InvalidHash::Slow),
        ("scrypt:32768:8:1$salt$0123", InvalidHash::Slow),
        ("$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E", InvalidHash::Slow),
        ("$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D", InvalidHash::Slow),
        ("$6$rounds=5000$usesomesillystri$D4IrlXatmP7rx3P3InaxBeoomnAihCKR", InvalidHash::Slow),
        ("$5$salt$hash", InvalidHash::Slow),
        ("$1$salt$hash", InvalidHash::Slow),
        ("$y$j9T$salt$hash", InvalidHash::Slow),
        ("$Argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", InvalidHash::Slow),
        ("$2$10$abc", InvalidHash::Slow),
        ("$s0$e0801$salt$hash", InvalidHash::Slow),
        // phpass, Drupal, Mosquitto, Dovecot, OpenLDAP.
        ("$P$B12345678", InvalidHash::Slow),
        ("$H$912345678", InvalidHash::Slow),
        ("$S$D12345678", InvalidHash::Slow),
        ("PBKDF2$sha256$901$salt$hash", InvalidHash::Slow),
        ("{PBKDF2-SHA512}10000$salt$hash", InvalidHash::Slow),
        ("{ARGON2}$argon2id$v=19", InvalidHash::Slow),
        ("{x-pbkdf2}AAAnEAAAAB", InvalidHash::Slow),
        ("{CRYPT}$2y$10$abc", InvalidHash::Slow),
        ("sha1$salt$0123", InvalidHash::Salted),
        ("md5$salt$0123", InvalidHash::Salted),
    ];
    for (refused, expected) in refused {
        let error = refused.parse::<StoredHash>().unwrap_err();
        assert_eq!(error, expected, "{refused}");
        assert!(refused.len() < 8 || !error.to_string().contains(&refused[..8]), "{error}");
    }
    for length in [15, 65, 0] {
        assert_eq!(StoredHash::from_bytes(&vec![1; length]).unwrap_err(), InvalidHash::Length);
    }
    assert!([16, 64].iter().all(|length| StoredHash::from_bytes(&vec![1; *length]).is_ok()));
}

/// The words say why, and what to do.
#[test]
fn a_slow_hash_is_refused_in_these_words() {
    assert_eq!(
        InvalidHash::Slow.to_string(),
        "a slow hash would be computed for each request: import the key when it is presented, or replace it"
    );
}

/// Takes everything for a key.
fn anything(text: &str) -> Option<LegacyParts<'_>> {
    Some(LegacyParts { handle: Some(&text[..1]), hash: StoredHash::from_bytes(&[1; 32]).ok()? })
}

#[test]
fn a_token_is_a_token_whatever_the_formats() {
    static GREEDY: [LegacyFormat; 1] = [LegacyFormat::custom("greedy", anything)];
    let keys = AcceptedKeys::new(KG).with_legacy(&GREEDY);
    let body = "_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_";
    for (text, expected) in [
        (format!("kgp1{body}2845041d"), None),
        (format!("kgp1{body}2845041e"), Some(ParseTokenError::ChecksumMismatch)),
        (format!("kgp2{body}2845041d"), Some(ParseTokenError::UnsupportedVersion)),
        (format!("kgp1{body}2845041"), Some(ParseTokenError::Malformed)),
        ("kgt1_malformed_malformed".to_owned(), Some(ParseTokenError::Malformed)),
    ] {
        assert_eq!(keys.parse(&text).err(), expected.map(Unauthenticated::NotAToken), "{text}");
    }
    let id = keys.parse(&format!("kgp1{body}2845041d")).unwrap().id();
    assert_eq!(id.as_str(), "wk59pfKL0jFi2YYv", "and not that of the format");
    // What begins otherwise is the format's, unless it is too short or too long for any.
    assert!(keys.parse(&format!("kgx1{body}2845041d")).is_ok());
    assert!(keys.parse(&"x".repeat(18)).is_ok() && keys.parse(&"x".repeat(1024)).is_ok());
    for none in ["x".repeat(17), "x".repeat(1025), "\u{e9}".repeat(20), format!("{} ", "x".repeat(20)), String::new()] {
        assert_eq!(keys.parse(&none).err(), Some(Unauthenticated::NotAToken(ParseTokenError::ForeignIssuer)), "{none}");
    }
}

#[test]
fn the_first_format_that_reads_a_text_counts() {
    const WIDE: LegacyFormat = LegacyFormat::opaque("", Symbols::Base64Url, 19, 64);
    static NARROW_FIRST: [LegacyFormat; 2] = [NUMBERED, WIDE];
    let (key, numbered) = (super::prefix_secret(1), format!("7~{}", "a".repeat(40)));
    let keys = AcceptedKeys::new(KG).with_legacy(&NARROW_FIRST);
    let wide = "old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf";
    assert_eq!(keys.parse(wide).unwrap().id(), WIDE.parse(wide).unwrap().id());
    assert_eq!(keys.parse(&numbered).unwrap().id(), NUMBERED.parse(&numbered).unwrap().id());
    assert!(keys.parse(&key).unwrap_err().is_other_issuer(), "none reads it");
    // Both read this one.
    static BOTH: [LegacyFormat; 2] = [LegacyFormat::custom("first", anything), WIDE];
    let first = AcceptedKeys::new(KG).with_legacy(&BOTH).parse(wide).unwrap().id();
    assert_eq!(first, BOTH[0].parse(wide).unwrap().id());
    assert_ne!(first, WIDE.parse(wide).unwrap().id());
}

/// The shapes once more, in another way.
fn is_of(format: usize, text: &str) -> bool {
    let all = |text: &str, symbols: &str| text.chars().all(|one| symbols.contains(one));
    let alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    match format {
        0 => {
            let parts: Vec<_> = text.split('.').collect();
            let [prefix, secret] = parts[..] else { return false };
            prefix.len() == 8 && secret.len() == 32 && all(prefix, alphanumeric) && all(secret, alphanumeric)
        }
        1 => text
            .strip_prefix("old_live_")
            .is_some_and(|rest| (24..=32).contains(&rest.len()) && all(rest, alphanumeric)),
        2 => text.len() == 40 && all(text, "0123456789abcdef"),
        _ => false,
    }
}

proptest! {
    #[test]
    fn texts_are_read_by_their_shape(
        text in prop_oneof![
            "[A-Za-z0-9]{7,9}[.]?[A-Za-z0-9._-]{31,33}",
            "old_live_[A-Za-z0-9_]{22,34}",
            "[0-9a-fA-F]{38,42}",
            "[0-9a-f]{39}.",
            any::<String>(),
        ],
    ) {
        for (place, format) in [PREFIX_512, OPAQUE, HEX].iter().enumerate() {
            prop_assert_eq!(format.parse(&text).is_ok(), is_of(place, &text), "{:?}", format);
        }
    }

    /// Row and text of a key have one id, and no change of the text opens what the row stored.
    #[test]
    fn a_row_is_of_its_text_alone(key in "[A-Za-z0-9]{8}[.][A-Za-z0-9]{32}", place in 0_usize..41, symbol in "[A-Za-z0-9]") {
        use sha2::{Digest as _, Sha512};
        let hash = text(&hex(&Sha512::digest(&key)));
        let stored = PREFIX_512.stored(Some(&key[..8]), hash).unwrap();
        prop_assert_eq!(PREFIX_512.parse(&key).unwrap().id(), stored.id());
        let mut other = key.clone();
        other.replace_range(place..=place, &symbol);
        if other != key && place != 8 {
            let other = PREFIX_512.parse(&other).unwrap();
            prop_assert_eq!(other.id() == stored.id(), place > 8);
            prop_assert!(other.legacy_key().digest() != PREFIX_512.parse(&key).unwrap().legacy_key().digest());
        }
    }

    #[test]
    fn stored_hashes_are_read_or_refused(text in prop_oneof!["[0-9a-f]{0,140}", "(sha512|sha256|x)?[$]{0,3}[0-9a-f]{60,130}", any::<String>()]) {
        let read = text.parse::<StoredHash>();
        let bare = |text: &str| {
            text.len() % 2 == 0 && (32..=128).contains(&text.len()) && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
        };
        let tagged = |tag, length| text.strip_prefix(tag).is_some_and(|rest: &str| rest.len() == length && bare(rest));
        prop_assert_eq!(read.is_ok(), bare(&text) || tagged("sha256$$", 64) || tagged("sha512$$", 128));
    }
}
