//! The controls: each does one thing that a tool must report.

use std::{cell::UnsafeCell, env, hint::black_box, mem, thread};

fn main() {
    match env::args().nth(1).as_deref() {
        Some("leak") => leak(),
        Some("race") => race(),
        Some("use_after_free") => use_after_free(),
        _ => panic!("leak, race or use_after_free"),
    }
}

fn leak() {
    mem::forget(black_box(vec![1_u8; 1000]));
}

struct Shared(UnsafeCell<u64>);

// SAFETY: there is none. Two threads write at once, which is what is to be reported.
unsafe impl Sync for Shared {}

fn race() {
    static SHARED: Shared = Shared(UnsafeCell::new(0));
    let write = || {
        for _ in 0..1000 {
            // SAFETY: as above.
            unsafe { *SHARED.0.get() += 1 };
        }
    };
    let other = thread::spawn(write);
    write();
    other.join().unwrap();
}

fn use_after_free() {
    let gone = Box::into_raw(Box::new(1_u8));
    // SAFETY: none for the reading, of what was just freed.
    let read = unsafe {
        drop(Box::from_raw(gone));
        black_box(gone).read_volatile()
    };
    black_box(read);
}
