//! A token is not copied: it is shown once.
use keygate::Token;

fn copy_token(token: &Token) -> Token {
    token.clone()
}

fn main() {}
