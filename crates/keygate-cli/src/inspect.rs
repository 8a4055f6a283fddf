//! `keygate inspect`.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    process::ExitCode,
};

use keygate::{
    Issuer, KeyId, KeyKind,
    verify::{DisplayToken, ParseTokenError, UnverifiedToken},
};
use zeroize::Zeroizing;

use crate::{FOUND, arguments::Inspect};

pub(crate) fn inspect(arguments: &Inspect) -> io::Result<ExitCode> {
    if !arguments.refused.is_empty() {
        return Err(io::Error::other(REFUSED));
    }
    let text = read()?;
    let explained = explain(arguments.issuer, one_word(&text)?);
    let mut output = io::stdout().lock();
    writeln!(output, "{}", explained.text)?;
    output.flush()?;
    Ok(if explained.is_valid { ExitCode::SUCCESS } else { FOUND.into() })
}

/// Reads the piped input, or asks.
fn read() -> io::Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return rpassword::prompt_password("Token (not shown): ").map(Zeroizing::new);
    }
    // Allocated once: growing would leave copies of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST));
    io::stdin().lock().take(u64::try_from(MOST).unwrap_or(u64::MAX)).read_to_end(&mut text)?;
    if text.len() == MOST {
        return Err(io::Error::other("more was read than one token: one is expected"));
    }
    // `from_utf8` of the owned text would have the text in its error.
    let text = core::str::from_utf8(&text).map_err(|_| io::Error::other("what was read is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn one_word(text: &str) -> io::Result<&str> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next()) {
        (Some(word), None) => Ok(word),
        (None, _) => Err(io::Error::other("nothing was read: a token is expected on standard input")),
        (Some(_), Some(_)) => Err(io::Error::other("more than one word was read: one token is expected")),
    }
}

/// The description of a text, and whether it is a token with a right checksum.
struct Explained {
    text: String,
    is_valid: bool,
}

fn explain(issuer: Option<Issuer>, text: &str) -> Explained {
    let no_token = |why: &str| Explained { text: format!("This is no token: {why}."), is_valid: false };
    let Some(issuer) = issuer.or_else(|| claimed(text)) else {
        return no_token("it does not begin with an issuer, p or t, a version and _");
    };
    let (is_valid, checksum) = match UnverifiedToken::parse(issuer, text) {
        Ok(_) => (true, HOLDS),
        Err(ParseTokenError::ChecksumMismatch) => (false, FAILS),
        Err(error) => return no_token(&error.to_string()),
    };
    // The part after the id is not shown.
    let Some((kind, id)) = public(issuer, text) else { return no_token("it has no id") };
    let display = DisplayToken::new(issuer, kind, id);
    let text = format!(
        "issuer    {issuer}\nkind      {kind}\nversion   1\nkey id    {id}\nshown as  {display}\nchecksum  {checksum}"
    );
    Explained { text, is_valid }
}

/// Returns the kind and the id of a text in the form of a token.
fn public(issuer: Issuer, text: &str) -> Option<(KeyKind, KeyId)> {
    let (head, rest) = text.strip_prefix(issuer.as_str())?.split_once('_')?;
    let kinds = [KeyKind::Personal, KeyKind::Team];
    let kind = kinds.into_iter().find(|kind| head.starts_with(kind.symbol()))?;
    Some((kind, rest.split('_').next()?.parse().ok()?))
}

/// Returns the issuer that a text begins with.
fn claimed(text: &str) -> Option<Issuer> {
    let (head, _) = text.split_once('_')?;
    head.get(..head.len().checked_sub(2)?)?.parse().ok()
}

const REFUSED: &str = "a token is never an argument, since other users of the machine see the arguments of a program, and the \
                       shell keeps them: pipe it in, or run `keygate inspect` and type it. End the key if it is a live one";
const HOLDS: &str = "holds\n\nOnly the service knows whether it opens anything.";
const FAILS: &str = "does not hold: a symbol is mistyped, or nobody issued it";
/// More than any token has, with some white space.
const MOST: usize = 4096;
