//! Tokens in other people's text: what is found, what is redacted, and that no secret is left.

mod failing;
mod model;

use core::{fmt::Write as _, iter};
use std::{borrow::Cow, io, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use keygate::{
    Issuer, KeyKind, Token,
    scan::{Pattern, Scanner},
};
use proptest::{collection::vec, prelude::*, sample::Index};
use regex::bytes::Regex;

use crate::common::{KG, rng, text};

static SCANNER: Scanner = Scanner::new(KG);

/// A token of each kind: `T` and `P` in the tables.
const T: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const P: &str = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_2845041d";
const SECRET: &str = "LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1";

/// What a finder says of a text: where, and which.
fn found(scanner: &Scanner, text: &[u8]) -> Vec<(usize, usize, String)> {
    let entry = |found: keygate::scan::TokenMatch<'_>| {
        assert_eq!(found.expose_secret().as_bytes(), &text[found.range()]);
        assert!(found.expose_secret().starts_with(&found.public().to_string()));
        let public = format!("{}{}1_{}", found.issuer(), found.kind().symbol(), found.id());
        assert_eq!(found.public().to_string(), public);
        (found.range().start, found.range().end, public)
    };
    scanner.find(text).map(entry).collect()
}

/// Where tokens are found.
fn places(text: impl AsRef<[u8]>) -> Vec<(usize, usize)> {
    places_of(&SCANNER, text)
}

fn places_of(scanner: &Scanner, text: impl AsRef<[u8]>) -> Vec<(usize, usize)> {
    found(scanner, text.as_ref()).into_iter().map(|(start, end, _)| (start, end)).collect()
}

#[test]
fn a_token_is_found_whatever_is_beside_it() {
    let around = [
        "",
        " ",
        "\n",
        "\t",
        "\0",
        "\"",
        "'",
        "`",
        "=",
        ":",
        ",",
        ";",
        ".",
        "/",
        "\\",
        "-",
        "+",
        "@",
        "#",
        "$",
        "%",
        "&",
        "?",
        "!",
        "|",
        "~",
        "^",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<",
        ">",
        "\u{e9}",
        "\u{200b}",
        "\u{1f511}",
        "\u{ff3f}",
        "\u{661}",
        // Escapes in a notebook, in JSON, in a URL and in a mail; colours in a terminal.
        "\\n",
        "\\t",
        "\\r\\n",
        "\\u000a",
        "%20",
        "%3D",
        "=3D",
        "=20",
        "\x1b[32m",
        "\x1b[0m",
        "\x1b[1;31m",
        // Words, parts of tokens, and other tokens.
        "_",
        "x",
        "0",
        "KEY",
        "kg",
        "kgt1_",
        "kgt1",
        "wk59pfKL0jFi2YYv_",
        "de913c61",
        "_de913c61",
        SECRET,
        T,
        P,
    ];
    for (before, after) in around.iter().flat_map(|before| around.iter().map(move |after| (before, after))) {
        let text = format!("{before}{T}{after}");
        let token = (before.len(), before.len() + T.len(), "kgt1_wk59pfKL0jFi2YYv".to_owned());
        assert!(found(&SCANNER, text.as_bytes()).contains(&token), "{before:?} {after:?}");
    }
}

#[test]
fn a_token_is_found_beside_every_byte() {
    for byte in 0..=u8::MAX {
        assert_eq!(places([&[byte], T.as_bytes()].concat()), [(1, 64)], "{byte:#x}");
        assert_eq!(places([T.as_bytes(), &[byte]].concat()), [(0, 63)], "{byte:#x}");
    }
}

#[test]
fn the_search_goes_on_behind_the_end_of_a_token() {
    let text = format!("{T} {P}\n{T}{P}");
    let places: Vec<_> = SCANNER.find(&text).map(|found| (found.range(), found.kind())).collect();
    assert_eq!(
        places,
        [
            (0..63, KeyKind::Team),
            (64..127, KeyKind::Personal),
            (128..191, KeyKind::Team),
            (191..254, KeyKind::Personal),
        ]
    );
}

/// The checksum ends with what the issuer of another token begins with: these bytes belong to the first one.
#[test]
fn tokens_do_not_overlap() {
    for shared in 1..=8 {
        let tokens = (0..=u8::MAX).map(|seed| Token::generate(KG, KeyKind::Team, &rng(seed)).unwrap());
        let shares =
            |token: &Token| token.expose_secret()[63 - shared..].starts_with(|symbol: char| symbol.is_alphabetic());
        let first = tokens.into_iter().find(shares).unwrap();
        let issuer: Issuer = text(&format!("{}zz", &first.expose_secret()[63 - shared..]));
        let second = Token::generate(issuer, KeyKind::Team, &rng(1)).unwrap();
        let text = format!("{}{}", first.expose_secret(), &second.expose_secret()[shared..]);
        assert_eq!(places_of(&SCANNER.clone().with_issuer(issuer), &text), [(0, 63)], "{shared}");
        assert_eq!(places_of(&Scanner::new(issuer), &text), [(63 - shared, text.len())], "{shared}");
    }
}

/// What looks like a token and is none hides no token that begins in it.
#[test]
fn a_token_is_found_that_begins_in_a_near_one() {
    let near = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03w";
    for before in
        [&T[..62], &T[..54], &T[..53], near, "kgt1_wk59pfKL0jFi2YYv_", "kgt1_wk59pfKL0jFi2YYv", "kgt1_kgt1_kgp1_"]
    {
        assert_eq!(places(format!("{before}{T}")), [(before.len(), before.len() + 63)], "{before}");
    }
    // With eight symbols of its id, the near one is whole but for its checksum.
    let token = (0..=u8::MAX)
        .map(|seed| Token::generate(KG, KeyKind::Team, &rng(seed)).unwrap())
        .find(|token| token.id().as_str().starts_with(|symbol: char| "0123456789abcdef".contains(symbol)))
        .unwrap();
    let text = format!("kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03w{}", token.expose_secret());
    assert_eq!(places(text), [(50, 113)]);
}

/// In the table, `{T}` stands for the token.
#[test]
fn what_is_no_token_is_not_found() {
    for text in [
        String::new(),
        T[..62].into(),
        T[1..].into(),
        T.replace("kgt1", "kgt2"),
        T.replace("kgt1", "kgx1"),
        T.replace("kgt1", "kgt"),
        T.replace("wk59", "wk5-"),
        T.replace("wk59", "wk5_"),
        T.replace("PM1_", "PM1-"),
        T.replace("de913c61", "DE913C61"),
        T.replace("de913c61", "de913c6g"),
        T.replace("kg", "acme"),
        T.replace("kg", "KG"),
    ] {
        for text in [text.clone(), format!("\"{text}\""), format!("{text}{text}")] {
            assert_eq!(places(&text), [], "{text}");
        }
    }
}

/// A wrong checksum: a mistyped token, or an invented one.
#[test]
fn what_nobody_issued_is_not_found() {
    for (from, to) in [("LBpE", "LBpF"), ("wk59", "wk58"), ("de91", "de90"), ("kgt1", "kgp1")] {
        let text = T.replacen(from, to, 1);
        assert_eq!(places(&text), [], "{text}");
        assert_eq!(places(format!("{text}{T}")), [(63, 126)], "{text}");
    }
}

/// The page on leaks lists these. What reads them has to decode them first.
#[test]
fn what_is_encoded_is_not_found() {
    let utf16 = |to: fn(u16) -> [u8; 2]| T.encode_utf16().flat_map(to).collect::<Vec<_>>();
    for text in [
        // Base64, from each of the three places that a text can have in it.
        BASE64.encode(T).into_bytes(),
        BASE64.encode(format!("x{T}")).into_bytes(),
        BASE64.encode(format!("xx{T}")).into_bytes(),
        // Escapes inside the token: of percents, entities, JSON, quoted-printable, and letters as numbers.
        T.replace('_', "%5F").into_bytes(),
        T.replacen("_", "&#95;", 1).into_bytes(),
        T.replacen("_", "&lowbar;", 1).into_bytes(),
        T.replacen("_", "\\u005f", 1).into_bytes(),
        T.replacen("_", "=5F", 1).into_bytes(),
        T.replacen("_", "\\_", 1).into_bytes(),
        T.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        // UTF-16, of either order.
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        // Broken: by a line, by a soft hyphen, by a colour, and by what joins two strings.
        format!("{}\n{}", &T[..30], &T[30..]).into_bytes(),
        format!("{}=\r\n{}", &T[..30], &T[30..]).into_bytes(),
        format!("{}\u{ad}{}", &T[..30], &T[30..]).into_bytes(),
        format!("{}\x1b[0m{}", &T[..30], &T[30..]).into_bytes(),
        format!("{}\" + \"{}", &T[..30], &T[30..]).into_bytes(),
    ] {
        assert_eq!(places(&text), [], "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn issuers_that_begin_or_end_alike() {
    let issuers = ["kg", "akg", "kgt1", "t1"];
    let [first, others @ ..] = issuers.map(text::<Issuer>);
    let scanner = others.into_iter().fold(Scanner::new(first), Scanner::with_issuer);
    for issuer in issuers {
        let token = Token::generate(text(issuer), KeyKind::Personal, &rng(1)).unwrap();
        let said: Vec<_> = scanner.find(token.expose_secret()).map(|found| found.issuer()).collect();
        assert_eq!(said, [text::<Issuer>(issuer)]);
        let redacted = format!("{}_[redacted]", token.public());
        assert_eq!(scanner.redact(token.expose_secret()), redacted);
        // One that is looked for twice is found once.
        let twice = scanner.clone().with_issuer(text(issuer));
        assert_eq!(twice.find(token.expose_secret()).count(), 1);
    }
    // The checksum tells `akg` from `kg` with something before it.
    let glued = format!("a{T}");
    for scanner in [&scanner, &SCANNER] {
        let said: Vec<_> = scanner.find(&glued).map(|found| (found.range(), found.issuer())).collect();
        assert_eq!(said, [(1..64, KG)]);
        assert_eq!(scanner.redact(&glued), "akgt1_wk59pfKL0jFi2YYv_[redacted]");
    }
}

/// From one end of the longest token to the other.
#[test]
fn the_longest_issuer() {
    let scanner = Scanner::new(text("a234567890")).with_issuer(KG);
    let token = T.replacen("kg", "a234567890", 1);
    assert_redacts(&scanner, &format!("x{token}x"), "xa234567890t1_wk59pfKL0jFi2YYv_[redacted]x");
}

/// In the table, `{T}` stands for the token, `{D}` for what is shown of it, and `{S}` for its secret.
#[test]
fn redaction_is_wider_than_finding() {
    for (text, expected) in [
        ("", ""),
        ("{T}", "{D}_[redacted]"),
        ("key={T};", "key={D}_[redacted];"),
        ("{T} {T}", "{D}_[redacted] {D}_[redacted]"),
        // Glued: before, behind, to another, and to another by a separator.
        ("x{T}", "x{D}_[redacted]"),
        ("\\n{T}\\n", "\\n{D}_[redacted]\\n"),
        ("\\t{T}", "\\t{D}_[redacted]"),
        ("%20{T}%20", "%20{D}_[redacted]%20"),
        ("%3D{T}", "%3D{D}_[redacted]"),
        ("=3D{T}", "=3D{D}_[redacted]"),
        ("\x1b[32m{T}\x1b[0m", "\x1b[32m{D}_[redacted]\x1b[0m"),
        ("0_{T}", "0_{D}_[redacted]"),
        ("{T}x", "{D}_[redacted]x"),
        ("{T}_x", "{D}_[redacted]_x"),
        ("{T}0", "{D}_[redacted]0"),
        ("{T}{T}", "{D}_[redacted]{D}_[redacted]"),
        ("{T}_{T}", "{D}_[redacted]_{D}_[redacted]"),
        // Cut off: what there is of a secret goes.
        ("{D}_{S}_de913c6", "{D}_[redacted]"),
        ("{D}_{S}_", "{D}_[redacted]"),
        ("{D}_{S}", "{D}_[redacted]"),
        ("{D}_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM", "{D}_[redacted]"),
        ("{D}_LBpEG...", "{D}_[redacted]..."),
        ("{D}_L", "{D}_[redacted]"),
        ("{D}_L\u{e9}", "{D}_[redacted]\u{e9}"),
        ("{D}_LBpE_de913c61", "{D}_[redacted]_de913c61"),
        // Mistyped, or of another version.
        ("{D}_{S}_00000000", "{D}_[redacted]"),
        ("{D}_{S}_DE913C61", "{D}_[redacted]"),
        ("{D}_{S}-de913c61", "{D}_[redacted]-de913c61"),
        ("kgt2_wk59pfKL0jFi2YYv_{S}_de913c61", "kgt2_wk59pfKL0jFi2YYv_[redacted]"),
        ("kgtz_wk59pfKL0jFi2YYv_{S}_de913c61", "kgtz_wk59pfKL0jFi2YYv_[redacted]"),
        // More than a secret has: the rest is not of it.
        ("{D}_{S}abc", "{D}_[redacted]abc"),
        // One begins in another's secret, or in its checksum. The second secret goes whole.
        ("{D}_kgt1_wk59pfKL0jFi2YYv_{S}_de913c61", "{D}_[redacted]_wk59pfKL0jFi2YYv_[redacted]"),
        ("{D}_LBpE{T}", "{D}_[redacted]_wk59pfKL0jFi2YYv_[redacted]"),
        ("{D}_{S}_{T}", "{D}_[redacted]_wk59pfKL0jFi2YYv_[redacted]"),
        ("{D}_{S}_0123{T}", "{D}_[redacted]_wk59pfKL0jFi2YYv_[redacted]"),
        // No secret: nothing to hide.
        ("{D}", "{D}"),
        ("{D}_", "{D}_"),
        ("{D}_-", "{D}_-"),
        ("{D}_[redacted]", "{D}_[redacted]"),
        ("{S}_de913c61", "{S}_de913c61"),
        // Nobody's.
        ("KGT1_wk59pfKL0jFi2YYv_{S}_de913c61", "KGT1_wk59pfKL0jFi2YYv_{S}_de913c61"),
        ("kgT1_wk59pfKL0jFi2YYv_{S}_de913c61", "kgT1_wk59pfKL0jFi2YYv_{S}_de913c61"),
        ("kgtA_wk59pfKL0jFi2YYv_{S}_de913c61", "kgtA_wk59pfKL0jFi2YYv_{S}_de913c61"),
        ("kgt1_wk59pfKL0jFi2YY_{S}_de913c61", "kgt1_wk59pfKL0jFi2YY_{S}_de913c61"),
        ("kgt1_wk59pfKL0jFi2YYvv_{S}_de913c61", "kgt1_wk59pfKL0jFi2YYvv_{S}_de913c61"),
        ("k\u{e9}gt1_wk59pfKL0jFi2YYv_{S}", "k\u{e9}gt1_wk59pfKL0jFi2YYv_{S}"),
    ] {
        let spelled = |text: &str| text.replace("{T}", T).replace("{D}", &T[..21]).replace("{S}", SECRET);
        assert_redacts(&SCANNER, &spelled(text), &spelled(expected));
    }
}

/// Redacts in every way there is, and in pieces of every size.
#[track_caller]
fn assert_redacts(scanner: &Scanner, text: &str, expected: &str) {
    let redacted = scanner.redact(text);
    assert_eq!(redacted, expected);
    assert_eq!(matches!(redacted, Cow::Borrowed(_)), text == expected, "what is whole is lent");
    let bytes = scanner.redact_bytes(text.as_bytes());
    assert_eq!(bytes, expected.as_bytes());
    assert_eq!(matches!(bytes, Cow::Borrowed(_)), text == expected);
    // Once is enough.
    assert_eq!(scanner.redact(expected), expected);
    for size in 1..=text.len() {
        let cuts: Vec<_> = (0..text.len()).step_by(size).collect();
        assert_eq!(String::from_utf8(in_pieces(scanner, text.as_bytes(), &cuts)).unwrap(), expected, "by {size}");
        assert_eq!(in_texts(scanner, text, &cuts), expected, "by {size}");
    }
}

/// Writes bytes, cut where it is said.
fn in_pieces(scanner: &Scanner, text: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut writer = scanner.writer(Vec::new());
    for (start, end) in iter::once(&0).chain(cuts).zip(cuts.iter().chain([&text.len()])) {
        io::Write::write_all(&mut writer, &text[*start..*end]).unwrap();
    }
    writer.into_inner()
}

/// Writes text, cut at the next boundary between characters.
fn in_texts(scanner: &Scanner, text: &str, cuts: &[usize]) -> String {
    let mut writer = scanner.writer(String::new());
    let cuts: Vec<_> = cuts.iter().map(|cut| (*cut..).find(|cut| text.is_char_boundary(*cut)).unwrap()).collect();
    for (start, end) in iter::once(&0).chain(&cuts).zip(cuts.iter().chain([&text.len()])) {
        writer.write_str(&text[*start..*end]).unwrap();
    }
    writer.into_inner()
}

#[test]
fn a_writer_holds_nothing_back() {
    let mut writer = SCANNER.writer(String::new());
    let mut seen = String::new();
    for (piece, shown) in [
        ("Password:", "Password:"),
        ("kgt1_wk59", "kgt1_wk59"),
        ("", ""),
        ("pfKL0jFi2YYv_", "pfKL0jFi2YYv_"),
        ("LBpEGbpR", "[redacted]"),
        ("uHrzDSVdqUC8DwRDe03wkPM1", ""),
        ("_de91", ""),
        ("3c61", ""),
        ("x", "x"),
    ] {
        writer.write_str(piece).unwrap();
        seen.push_str(shown);
        assert_eq!(writer.inner(), &seen, "{piece}");
    }
    assert_eq!(writer.into_inner(), seen);
}

/// Notes what comes in one write.
#[derive(Default)]
struct Writes(Vec<String>);

impl io::Write for Writes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl core::fmt::Write for Writes {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.push(text.to_owned());
        Ok(())
    }
}

/// A logger that hands over a whole event has it written whole, so that no other thread's is in the middle of it.
#[test]
fn each_write_is_one_write() {
    let long = format!("{T} ").repeat(10_000);
    let events = ["nothing to hide\n", &format!("{T} {P} and {T}\n"), &T[..30], &T[30..40], &T[40..], T, &long, "\n"];
    let (mut written, mut formatted) = (SCANNER.writer(Writes::default()), SCANNER.writer(Writes::default()));
    for event in events {
        io::Write::write_all(&mut written, event.as_bytes()).unwrap();
        formatted.write_str(event).unwrap();
    }
    // What is left out completely is no write: the rest of the third event's secret.
    let shown: Vec<_> = [0, 1, 2, 5, 6, 7].map(|event| SCANNER.redact(events[event]).into_owned()).into();
    assert_eq!(written.into_inner().0, shown);
    assert_eq!(formatted.into_inner().0, shown);
}

/// Takes a few bytes at a time, and is interrupted every third time.
#[derive(Default)]
struct Reluctant {
    taken: Vec<u8>,
    calls: usize,
    flushed: usize,
}

impl io::Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls % 3 == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        // All of a mark, so that a retry does not repeat it.
        let taken = if bytes == b"[redacted]" { bytes } else { &bytes[..bytes.len().min(5)] };
        self.taken.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushed += 1;
        Ok(())
    }
}

#[test]
fn a_writer_that_takes_little_or_fails_gets_all_the_same() {
    let text = format!("{T} and {P} and so on {}", "and on ".repeat(100));
    let mut writer = SCANNER.writer(Reluctant::default());
    // Interruptions stay inside, and what it did not take is not searched again.
    assert_eq!(io::Write::write(&mut writer, text.as_bytes()).unwrap(), text.len());
    io::Write::flush(&mut writer).unwrap();
    let inner = writer.into_inner();
    assert_eq!(String::from_utf8(inner.taken).unwrap(), SCANNER.redact(&text));
    assert_eq!(inner.flushed, 1);
}

/// Megabytes, in which a token lies across each place where an implementation might cut.
#[test]
fn a_long_text_in_one_piece() {
    let filler = "INFO all is well with the models of the team core, said kgt1_ to nobody\n";
    for shift in 0..70 {
        let mut text = filler.repeat(2_000);
        for place in [64 * 1024, 2 * 64 * 1024] {
            text.replace_range(place - shift..place - shift + T.len() + 1, &format!("={T}"));
        }
        let written = in_pieces(&SCANNER, text.as_bytes(), &[]);
        assert_eq!(String::from_utf8(written).unwrap(), SCANNER.redact(&text));
        assert_eq!(SCANNER.redact(&text).matches("[redacted]").count(), 2);
    }
}

#[test]
fn nothing_that_is_printed_holds_the_secret() {
    let text = format!("key={T}");
    let found = SCANNER.find(&text).next().unwrap();
    assert_eq!(format!("{found:?}"), "TokenMatch { range: 4..67, public: kgt1_wk59pfKL0jFi2YYv, .. }");
    let mut writer = SCANNER.writer(String::new());
    writer.write_str(&text[..40]).unwrap();
    let said = format!("{writer:?}");
    assert!(said.contains("Issuer(kg)") && !said.contains("LBpE"), "{said}");
}

/// Texts that are hard for a finder: tokens, cut and whole, their parts, and what may stand between them.
fn hard() -> impl Strategy<Value = Vec<u8>> {
    let token = (0..ISSUERS.len(), any::<bool>(), 0..4_u8).prop_map(|(issuer, is_team, seed)| {
        let kind = if is_team { KeyKind::Team } else { KeyKind::Personal };
        let token = Token::generate(text(ISSUERS[issuer]), kind, &rng(seed)).unwrap();
        token.expose_secret().as_bytes().to_vec()
    });
    let cut = (token.clone(), any::<Index>(), any::<Index>()).prop_map(|(token, start, end)| {
        let (start, end) = (start.index(token.len()), end.index(token.len()));
        token[start.min(end)..start.max(end)].to_vec()
    });
    let mistyped = (token.clone(), any::<Index>(), any::<u8>()).prop_map(|(mut token, place, byte)| {
        let place = place.index(token.len());
        token[place] = byte;
        token
    });
    let piece = prop_oneof![
        4 => token,
        4 => cut,
        2 => mistyped,
        3 => proptest::sample::select(vec!["_", " ", "kg", "t1_", "p1_", "kgp2_", "\u{e9}", "=", "0", "a"])
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => "[A-Za-z0-9]{16}_?".prop_map(String::into_bytes),
        2 => "[A-Za-z0-9]{32}_?".prop_map(String::into_bytes),
        1 => "[0-9a-f]{8}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..80),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const ISSUERS: [&str; 4] = ["kg", "akg", "kgt1", "t1"];

/// One to four issuers.
fn scanners() -> impl Strategy<Value = (Vec<&'static str>, Scanner)> {
    proptest::sample::subsequence(ISSUERS.to_vec(), 1..=4).prop_map(|issuers| {
        let scanner = Scanner::new(text(issuers[0]));
        let scanner = issuers[1..].iter().fold(scanner, |scanner, issuer| scanner.with_issuer(text(issuer)));
        (issuers, scanner)
    })
}

static EXPRESSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(&Pattern::new(KG).to_string()).unwrap());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn finding_is_what_the_model_says(text in hard(), (issuers, scanner) in scanners()) {
        prop_assert_eq!(found(&scanner, &text), model::find(&issuers, &text));
    }

    #[test]
    fn redacting_is_what_the_model_says(text in hard(), (issuers, scanner) in scanners()) {
        let redacted = scanner.redact_bytes(&text);
        prop_assert_eq!(&*redacted, &*model::redact(&issuers, &text));
        prop_assert_eq!(matches!(redacted, Cow::Borrowed(_)), redacted == text);
        if let Ok(text) = core::str::from_utf8(&text) {
            let of_text = scanner.redact(text);
            prop_assert_eq!(of_text.as_bytes(), &*redacted);
        }
    }

    #[test]
    fn pieces_make_no_difference(text in hard(), (_, scanner) in scanners(), cuts in vec(any::<Index>(), 0..20)) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let redacted = scanner.redact_bytes(&text);
        prop_assert_eq!(&in_pieces(&scanner, &text, &cuts), &*redacted);
        if let Ok(text) = core::str::from_utf8(&text) {
            let of_text = in_texts(&scanner, text, &cuts);
            prop_assert_eq!(of_text.as_bytes(), &*redacted);
        }
    }

    /// The canary: wherever a whole token is, its secret is not in the output, and what is shown of it is.
    #[test]
    fn no_secret_survives(
        before in hard(),
        after in hard(),
        seed in 10..=u8::MAX,
        (issuers, scanner) in scanners(),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let token = Token::generate(text(issuers[0]), KeyKind::Team, &rng(seed)).unwrap();
        let token = token.expose_secret();
        let secret = &token[token.len() - 41..token.len() - 9];
        let text = [&before, token.as_bytes(), &after].concat();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        for redacted in [scanner.redact_bytes(&text).into_owned(), in_pieces(&scanner, &text, &cuts)] {
            let redacted = String::from_utf8_lossy(&redacted);
            prop_assert!(!redacted.contains(secret));
            // Nor half of it: no window of eight symbols.
            prop_assert!(!secret.as_bytes().windows(8).any(|part| redacted.contains(core::str::from_utf8(part).unwrap())));
        }
    }

    /// Whatever the finder finds, the redactor hides: `no_secret_survives` says that it is the secret that goes.
    #[test]
    fn what_is_found_is_redacted(text in hard(), (_, scanner) in scanners()) {
        prop_assert_eq!(scanner.find(&*scanner.redact_bytes(&text)).count(), 0);
    }

    /// The published expression finds what the finder finds: at each place, and not only where the one before it ends.
    #[test]
    fn the_published_expression_is_the_grammar(text in hard()) {
        let starts: Vec<_> =
            (0..text.len()).filter(|start| EXPRESSION.find_at(&text, *start).is_some_and(|found| found.start() == *start)).collect();
        let near: Vec<_> = model::near(&["kg"], &text).map(|(start, ..)| start).collect();
        prop_assert_eq!(&starts, &near);
        prop_assert!(SCANNER.find(&text).all(|found| starts.contains(&found.range().start)));
    }
}
