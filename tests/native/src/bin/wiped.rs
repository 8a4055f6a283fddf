//! Is anything left of a secret when it is dropped? Looks through all writable memory of its own process.
//!
//! Fails if something is left. `wiped copied` and `wiped on_stack` make such mistakes as must be found.

use core::hint::black_box;
use std::{
    env,
    fs::{self, File},
    os::unix::fs::FileExt,
    process::ExitCode,
};

use keygate::{KeyKind, Token};
use keygate_native::{KG, generator};

/// Half of a secret; kept with all its bits turned, so that it is not what is looked for.
type Canary = [u8; 16];

fn main() -> ExitCode {
    let what = env::args().nth(1).unwrap_or_default();
    // Another process makes the same token, and this one learns of it what to look for: it never held it itself.
    if what == "canary" {
        println!("{}", token().expose_secret());
        return ExitCode::SUCCESS;
    }
    let canary = canary();
    let before = places(&canary);
    assert!(before.is_empty(), "{before:?}: it is there before it was made");
    match what.as_str() {
        "copied" => drop(black_box(String::from(token().expose_secret()))),
        "on_stack" => copy_on_stack(),
        _ => use_tokens(),
    }
    let left = places(&canary);
    println!("left of the secret: {left:?}");
    if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn token() -> Token {
    Token::generate(KG, KeyKind::Team, &generator(9)).expect("a token")
}

/// Makes tokens, moves them, shows them and drops them: many, since what looks for them takes some of the places where
/// they were.
#[inline(never)]
fn use_tokens() {
    let tokens: Vec<_> = (0..100).map(|_| black_box(Box::new(black_box(token())))).collect();
    let shown = tokens.iter().map(|token| black_box(token.expose_secret()).len()).sum::<usize>();
    assert_eq!(shown, 6300);
    drop(black_box(tokens));
}

#[inline(never)]
fn copy_on_stack() {
    // Deep enough that what is called later does not happen to write over it.
    let mut copies = [[0; 63]; 1000];
    copies[0].copy_from_slice(token().expose_secret().as_bytes());
    black_box(&mut copies);
}

fn canary() -> Canary {
    let itself = env::current_exe().expect("a program");
    let output = std::process::Command::new(itself).arg("canary").output().expect("it runs");
    let mut text = output.stdout;
    let mut canary = [0; 16];
    for (kept, byte) in canary.iter_mut().zip(&text[22 + 8..]) {
        *kept = !byte;
    }
    // Nothing of the text may stay, or it would be found.
    text.iter_mut().for_each(|byte| *byte = 0);
    black_box(&text);
    canary
}

/// Where the secret is in the writable memory of this process.
fn places(canary: &Canary) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").expect("the maps of this process");
    let memory = File::open("/proc/self/mem").expect("the memory of this process");
    let mut places = Vec::new();
    // Read in pieces of a buffer that is wiped after each, lest it be found itself.
    let mut buffer = vec![0; 1 << 16];
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').expect("a range");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut start, end) = (address(start), address(end));
        while start < end {
            let length = buffer.len().min(usize::try_from(end - start).expect("not that large"));
            let piece = &mut buffer[..length];
            let read = memory.read_at(piece, start).unwrap_or(0);
            let found =
                piece[..read].windows(16).any(|window| window.iter().zip(canary).all(|(one, kept)| *one == !kept));
            piece.fill(0);
            if found {
                let name = fields.get(5).copied().unwrap_or("anonymous");
                places.push(name.trim_matches(['[', ']']).to_owned());
            }
            // Pieces overlap, so that none is cut in two.
            start += if length == 1 << 16 { length as u64 - 15 } else { length as u64 };
        }
    }
    places.dedup();
    places
}
