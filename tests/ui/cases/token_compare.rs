//! Tokens are not compared with `==`: what compares is `verify`, in constant time.
use keygate::{Token, verify::UnverifiedToken};

fn same(minted: &Token, other: &Token) -> bool {
    minted == other
}

fn opens(presented: &UnverifiedToken, other: &UnverifiedToken) -> bool {
    presented == other
}

fn main() {}
