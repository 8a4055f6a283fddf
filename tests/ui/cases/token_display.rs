//! A token is not printed by accident.
use keygate::Token;

fn print_token(token: &Token) {
    println!("{token}");
}

fn main() {}
