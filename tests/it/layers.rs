//! The import direction of the layers, and the edges that are security properties, held against the sources.
//!
//! The sources are read as tokens, so what stands in comments and strings is no code, and what stands in macros is.

use std::{fs, path::Path};

use proc_macro2::{TokenStream, TokenTree};

/// The modules in the order of their layers, which is the order of `mod` in `src/lib.rs`. A module imports from those
/// that stand before it; in a list of siblings, not even from those.
const LAYERS: &[Layer] = &[
    Layer::Chain(&["randomness"]),
    Layer::Chain(&["encoding", "secret", "serialized", "text", "time"]),
    Layer::Chain(&["id", "labels", "level", "membership", "name", "own_action", "reason", "scope"]),
    Layer::Siblings(&["digest"]),
    Layer::Siblings(&["legacy", "token"]),
    Layer::Chain(&["action", "grant", "record"]),
    Layer::Chain(&["audit"]),
    Layer::Siblings(&["store", "verify"]),
    Layer::Chain(&["decision", "policy"]),
    Layer::Siblings(&["actor", "issue"]),
    Layer::Chain(&["manage"]),
    Layer::Siblings(&["cache"]),
    Layer::Chain(&["verdict"]),
    Layer::Siblings(&["stages", "sink"]),
    Layer::Chain(&["gate", "manager"]),
    Layer::Chain(&["http"]),
    Layer::Chain(&["tower"]),
    Layer::Chain(&["axum"]),
    Layer::Chain(&["scan"]),
    Layer::Chain(&["testing"]),
    Layer::Siblings(&["docs", "readme"]),
];

enum Layer {
    Chain(&'static [&'static str]),
    Siblings(&'static [&'static str]),
}

impl Layer {
    const fn modules(&self) -> &'static [&'static str] {
        match self {
            Self::Chain(modules) | Self::Siblings(modules) => modules,
        }
    }
}

/// Returns `true` if `module` may import from `imported`.
fn may_import(module: &str, imported: &str) -> bool {
    if module == imported {
        return true;
    }
    for layer in LAYERS {
        let place = |name| layer.modules().iter().position(|one| *one == name);
        match (layer, place(module), place(imported)) {
            // What is imported stands in a layer before.
            (_, None, Some(_)) => return true,
            (Layer::Chain(_), Some(own), Some(other)) => return other < own,
            (_, Some(_), _) => return false,
            (_, None, None) => {}
        }
    }
    false
}

/// A file of the library, by its path below `src`.
struct Source {
    path: String,
    tokens: TokenStream,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), tokens: text.parse().unwrap() }
    }

    /// The module below the root in which the file is.
    fn module(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap()
    }

    /// How many modules the file is below the root.
    fn depth(&self) -> usize {
        self.path.split('/').count()
    }

    fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        flatten(self.tokens.clone(), self.depth(), &mut words);
        words
    }

    /// Returns `true` if the sequence of words occurs, as in `KeyRecord :: minted`.
    fn says(&self, sequence: &str) -> bool {
        let words = self.words();
        let sequence: Vec<_> = sequence.split(' ').collect();
        words.windows(sequence.len()).any(|window| window.iter().map(|word| &*word.text).eq(sequence.iter().copied()))
    }
}

/// A token that is no group, or a bracket; `::` is one.
struct Word {
    text: String,
    /// How many modules below the root it stands.
    depth: usize,
}

fn flatten(tokens: TokenStream, depth: usize, words: &mut Vec<Word>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_module = matches!(&words[..], [.., keyword, _] if keyword.text == "mod");
                let [open, close] = match group.delimiter() {
                    proc_macro2::Delimiter::Brace => ["{", "}"],
                    proc_macro2::Delimiter::Bracket => ["[", "]"],
                    proc_macro2::Delimiter::Parenthesis => ["(", ")"],
                    proc_macro2::Delimiter::None => ["", ""],
                };
                words.push(Word { text: open.to_owned(), depth });
                flatten(group.stream(), if is_module { depth.saturating_add(1) } else { depth }, words);
                words.push(Word { text: close.to_owned(), depth });
            }
            TokenTree::Punct(punct) => match words.last_mut() {
                Some(last) if last.text == ":" && punct.as_char() == ':' => last.text.push(':'),
                _ => words.push(Word { text: punct.to_string(), depth }),
            },
            TokenTree::Ident(ident) => words.push(Word { text: ident.to_string(), depth }),
            // Texts are no code; numbers are no names.
            TokenTree::Literal(_) => words.push(Word { text: "\"".to_owned(), depth }),
        }
    }
}

/// Names, in order, what follows each `crate::`: of `crate::{a::B, c}` that is `a` and `c`. A way to the root by
/// `super::` is named `super`.
fn named_from_the_root(source: &Source) -> Vec<String> {
    let words = source.words();
    let text = |place: usize| words.get(place).map_or("", |word| &*word.text);
    let mut named = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let after = place.saturating_add(2);
        // `pub(crate)` is not followed by `::`.
        if word.text == "crate" && text(place.saturating_add(1)) == "::" {
            match text(after) {
                "{" => named.extend(heads_of_group(words.get(after..).unwrap_or_default())),
                head => named.push(head.to_owned()),
            }
        }
        let supers = (place..words.len()).step_by(2).take_while(|place| text(*place) == "super").count();
        if supers >= word.depth {
            named.push("super".to_owned());
        }
    }
    named
}

/// Of `{ a::{B, C}, d::E, f }`, with its braces, the words `a`, `d` and `f`.
fn heads_of_group(words: &[Word]) -> Vec<String> {
    let (mut level, mut heads, mut is_head) = (0_usize, Vec::new(), false);
    for word in words {
        if level == 1 && is_head && word.text != "}" {
            heads.push(word.text.clone());
            is_head = false;
        }
        match &*word.text {
            "{" => {
                level = level.saturating_add(1);
                is_head = level == 1;
            }
            "}" => level = level.saturating_sub(1),
            "," => is_head = level == 1,
            _ => {}
        }
        if level == 0 {
            break;
        }
    }
    heads
}

/// Says what breaks a rule: nothing, if all is well.
fn violations(source: &Source) -> Vec<String> {
    let (path, module) = (&source.path, source.module());
    let mut violations = Vec::new();
    if path == "lib.rs" {
        return violations;
    }
    let mut must = |holds: bool, violation: String| {
        if !holds {
            violations.push(format!("{path} {violation}"));
        }
    };
    for named in named_from_the_root(source) {
        // A root re-export is no module, so it may not be imported either: that is how cycles begin.
        must(may_import(module, &named), format!("imports `{named}`"));
    }
    // A store never sees a token, so it never sees a secret. The suite that checks stores has to make keys.
    let is_suite = path.starts_with("store/conformance");
    if (module == "store" && !is_suite) || module == "cache" {
        let words = [
            "token",
            "Token",
            "UnverifiedToken",
            "UnverifiedLegacyKey",
            "PresentedKey",
            "Minted",
            "MintedSecret",
            "SecretText",
            "expose_secret",
        ];
        for word in words {
            must(!source.says(word), format!("names `{word}`"));
        }
    }
    // The policy decides for a key whose secret has matched, and for nothing else.
    if module == "policy" {
        for word in
            ["token", "UnverifiedToken", "UnverifiedLegacyKey", "KeyRecord", "RecordParts", "SecretDigest", "KeyStore"]
        {
            must(!source.says(word), format!("names `{word}`"));
        }
        must(source.says("fn decide < ' a > ( key : & ' a MatchedKey ,"), "decides without a matched key".to_owned());
        must(source.says("fn authenticate ( key : MatchedKey ,"), "authenticates without a matched key".to_owned());
    }
    // Its proofs are its own. A verdict has the key with a denial that says that the key is usable.
    for (call, homes) in
        [("Allow :: decided", &["policy"][..]), ("AuthenticatedKey :: judged", &["policy", "decision", "verdict"])]
    {
        must(homes.contains(&module) || !source.says(call), format!("says `{call}`"));
    }
    // What a store inserts and changes is made by a permit, which only `manage` uses up. Ending all keys of an owner
    // takes the system instead, which only the manager has.
    for (call, homes) in [
        ("NewKey :: new", &["manage"][..]),
        ("KeyChange :: new", &["manage"]),
        ("SecretChange :: new", &["manage"]),
        ("Token :: generate", &["manage"]),
        ("Token :: generate_secret", &["manage"]),
        ("KeyRecord { issuer", &["manage", "record"]),
        ("EventDraft :: new", &["manage", "manager"]),
        ("RevokeAll :: new", &["manager"]),
    ] {
        must(homes.contains(&module) || is_suite || !source.says(call), format!("says `{call}`"));
    }
    let must_use_up = ["manage/mint.rs", "manage/rotation.rs"].contains(&&**path);
    must(!must_use_up || source.says("self . use_up ("), "uses no permit up".to_owned());
    // The time is an argument, a clock too. Only `UnixTime::now` reads one, and nothing calls it but what is for tests;
    // a gate, a manager and a cache name one for those who give none.
    let names_clock = |clock, homes: &[&str]| homes.contains(&module) || !source.says(clock);
    for (clock, homes) in [
        ("SystemTime", &[][..]),
        (". elapsed ( )", &[]),
        ("Self :: now (", &[]),
        ("Instant :: now (", &[]),
        ("Instant :: now", &["cache"]),
        ("UnixTime :: now (", &["testing"]),
        ("UnixTime :: now", &["gate", "manager", "testing"]),
    ] {
        must(module == "time" || names_clock(clock, homes), format!("reads a clock by `{clock}`"));
    }
    violations
}

fn sources() -> Vec<Source> {
    fn collect(directory: &Path, below: &str, sources: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                collect(&entry.path(), &format!("{name}/"), sources);
            } else if name.ends_with(".rs") {
                sources.push(Source::new(&name, &fs::read_to_string(entry.path()).unwrap()));
            }
        }
    }

    let mut sources = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    sources
}

#[test]
fn the_sources_keep_to_their_layers() {
    let sources = sources();
    assert!(sources.len() > 20, "the sources were found");
    let imports: usize = sources.iter().map(|source| named_from_the_root(source).len()).sum();
    assert!(imports > 100, "the imports were found");
    let violations: Vec<_> = sources.iter().flat_map(violations).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn the_layers_are_those_of_the_crate() {
    let root = sources().into_iter().find(|source| source.path == "lib.rs").unwrap();
    let words = root.words();
    let declared: Vec<_> = words
        .windows(2)
        .filter_map(|window| match window {
            [keyword, name] if keyword.text == "mod" => Some(name.text.clone()),
            _ => None,
        })
        .collect();
    let listed: Vec<_> = LAYERS.iter().flat_map(Layer::modules).copied().collect();
    let expected: Vec<_> = listed.iter().filter(|module| declared.iter().any(|name| name == *module)).collect();
    assert_eq!(
        declared.iter().collect::<Vec<_>>(),
        expected,
        "in the order of the layers, and none that is not listed"
    );
}

/// The checker is checked: what breaks a rule is found, however it is written, and what looks like it is not.
#[test]
fn a_planted_violation_is_found() {
    let broken = [
        // Upwards, sideways, through the root.
        ("token.rs", "use crate::policy::decide;", "imports `policy`"),
        ("time.rs", "use crate::{id::KeyId};", "imports `id`"),
        ("verify.rs", "use crate::store::KeyStore;", "imports `store`"),
        ("actor.rs", "use crate::{decision::AuthenticatedKey, issue::Issued};", "imports `issue`"),
        ("stages.rs", "use crate::sink::AuditSink;", "imports `sink`"),
        ("issue.rs", "use crate::{token::{Token, GenerateError}, manage::Permit};", "imports `manage`"),
        ("token.rs", "use crate::{digest::SecretDigest, KeyRecord};", "imports `KeyRecord`"),
        ("token.rs", "use crate::*;", "imports `*`"),
        ("store/memory.rs", "fn f() { let _ = [crate::gate::Gate::new(kg)]; }", "imports `gate`"),
        ("text.rs", "macro_rules! m { () => { $crate::id::KeyId } }", "imports `id`"),
        ("text.rs", "m! { crate :: id :: KeyId }", "imports `id`"),
        ("reason.rs", "mod a { mod b { use crate::audit::Event; } }", "imports `audit`"),
        ("reason.rs", "use crate::unlisted::Thing;", "imports `unlisted`"),
        ("reason.rs", "use super::audit::Event;", "imports `super`"),
        ("reason.rs", "mod inner { use super::super::audit::Event; }", "imports `super`"),
        ("store/memory.rs", "use super::super::audit::Event;", "imports `super`"),
        // The edges.
        ("store.rs", "use crate::token::Token;", "names `token`"),
        ("store/memory.rs", "fn f(token: &str) {}", "names `token`"),
        ("store/dynamic.rs", "fn f() -> UnverifiedToken {}", "names `UnverifiedToken`"),
        ("store.rs", "use crate::legacy::UnverifiedLegacyKey;", "names `UnverifiedLegacyKey`"),
        ("legacy.rs", "use crate::token::Token;", "imports `token`"),
        ("cache.rs", "fn f(t: Token) {}", "names `Token`"),
        ("policy.rs", "pub fn decide<'a>(key: &'a KeyRecord, now: UnixTime) {}", "names `KeyRecord`"),
        ("policy.rs", "pub fn decide<'a>(id: KeyId) {}", "decides without a matched key"),
        ("policy.rs", "pub fn authenticate(record: KeyRecord) {}", "authenticates without a matched key"),
        ("store/memory.rs", "fn f(key: PresentedKey) {}", "names `PresentedKey`"),
        ("cache.rs", "fn f(minted: Minted) {}", "names `Minted`"),
        ("gate.rs", "fn f() { AuthenticatedKey::judged(key, now) }", "says `AuthenticatedKey :: judged`"),
        ("decision.rs", "fn f() { Allow::decided(key, request, now) }", "says `Allow :: decided`"),
        ("manager.rs", "fn f() { NewKey::new(record, draft, kind) }", "says `NewKey :: new`"),
        ("manager.rs", "fn f() { KeyChange::new(id, operation, draft) }", "says `KeyChange :: new`"),
        ("gate.rs", "fn f() { SecretChange::new(old, new, previous) }", "says `SecretChange :: new`"),
        ("manager.rs", "fn f() { Token::generate(issuer) }", "says `Token :: generate`"),
        ("issue.rs", "fn f() { Token::generate_secret(issuer) }", "says `Token :: generate_secret`"),
        ("gate.rs", "fn f() { KeyRecord { issuer, id } }", "says `KeyRecord { issuer`"),
        ("store.rs", "fn f() { EventDraft::new(id, at, by) }", "says `EventDraft :: new`"),
        ("manage.rs", "fn f() { RevokeAll::new(owner, cause, draft) }", "says `RevokeAll :: new`"),
        ("manage/mint.rs", "fn f(&self) { NewKey::new(record, draft, kind) }", "uses no permit up"),
        ("verify.rs", "fn f() { std::time::SystemTime::now() }", "reads a clock by `SystemTime`"),
        ("cache.rs", "fn f() { Instant::now() }", "reads a clock by `Instant :: now (`"),
        ("gate.rs", "fn f() { let clock = Instant::now; }", "reads a clock by `Instant :: now`"),
        ("cache.rs", "fn f(then: Instant) { then.elapsed() }", "reads a clock by `. elapsed ( )`"),
        ("gate.rs", "fn f() { UnixTime::now() }", "reads a clock by `UnixTime :: now (`"),
        ("policy.rs", "fn f() { let clock = UnixTime::now; }", "reads a clock by `UnixTime :: now`"),
    ];
    for (path, text, expected) in broken {
        let found = violations(&Source::new(path, text));
        assert!(found.contains(&format!("{path} {expected}")), "{path}: {text}: {found:?}");
    }

    let decide = "pub fn decide<'a>(key: &'a MatchedKey, now: UnixTime) { Allow::decided(key, request, now) }
                  pub fn authenticate(key: MatchedKey, user: Option<UserStatus>) {}";
    let sound = [
        ("token.rs", "use crate::{digest::SecretDigest, encoding::{draw_text, read_hex}, id::KeyId};"),
        ("record.rs", "use crate::grant::Grant; mod inner { use super::KeyRecord; use crate::record::Status; }"),
        ("store/memory.rs", "use super::{Changed, KeyStore}; use crate::store::Page; pub(crate) fn f() {}"),
        (
            "store.rs",
            "//! A store never sees a [`Token`](crate::token::Token).\nconst A: &str = \"crate::gate Token\";",
        ),
        ("time.rs", "fn now() { std::time::SystemTime::UNIX_EPOCH }"),
        ("cache.rs", "use std::time::Instant; fn f(clock: fn() -> Instant) { clock() }"),
        ("cache.rs", "fn f(since: Instant) { self.elapsed(since); let clock = Instant::now; }"),
        ("gate.rs", "fn new() { Self::with_clock(issuer, store, UnixTime::now) }"),
        ("testing.rs", "fn key() { verify(presented, record, UnixTime::now()) }"),
        ("manage.rs", "fn mint() { NewKey::new(KeyRecord { issuer, id }, draft, kind) }"),
        ("manage/rotation.rs", "fn rotate(self) { self.use_up(issuer, now); SecretChange::new(old, new, previous) }"),
        ("manager.rs", "fn f() { RevokeAll::new(owner, cause, EventDraft::new(id, at, by)) }"),
        ("verdict.rs", "fn f() { AuthenticatedKey::judged(key, now) }"),
        // A type in a signature is no literal.
        ("gate.rs", "fn f(record: &KeyRecord) -> KeyRecord { record.clone() }"),
        ("gate.rs", "/* crate::tower */ use crate::{policy::decide, verify::verify};"),
        ("policy.rs", decide),
    ];
    for (path, text) in sound {
        assert_eq!(violations(&Source::new(path, text)), Vec::<String>::new(), "{path}: {text}");
    }
}
