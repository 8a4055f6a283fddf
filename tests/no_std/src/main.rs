//! Parses, verifies, decides and redacts with no standard library in the program, and exits with 0 if all is as it
//! should be.
//!
//! A program without the standard library has a panic handler of its own. If anything below the library pulled the
//! standard library in, there would be two, and the compiler stops with E0152. `check.sh` builds both.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{sync::Arc, vec};
use core::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    error::Error,
    hint::black_box,
    panic::PanicInfo,
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};

use keygate::{
    Action, DenialClass, EnvironmentScope, Grant, Issuer, KeyRecord, Labels, ModelScope, Permission, Reason, Request,
    Status, UnixTime,
    policy::{Decision, decide},
    scan::Scanner,
    store::{Creator, RecordParts},
    verify::{UnverifiedToken, verify},
};

const KG: Issuer = Issuer::from_static("kg");
const TOKEN: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const DIGEST: &str = "v1$21cb616e70ba70c9154777458903941f691d800d5ed46317f12d4292";

/// What the C start-up code calls.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: i32, _arguments: *const *const u8) -> i32 {
    match run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn run() -> Result<(), alloc::boxed::Box<dyn Error>> {
    let now = UnixTime::from_secs(150);
    let presented = UnverifiedToken::parse(KG, black_box(TOKEN))?;
    let key = verify(&presented, Some(Arc::new(record()?)), now)?;

    let staging = call("staging")?;
    let production = call("production")?;
    let denied = match decide(&key, None, &staging, now) {
        Decision::Deny(denial) => denial.reason() == Reason::EnvironmentNotInScope,
        Decision::Allow(_) => false,
    };
    let expired = match decide(&key, None, &production, UnixTime::from_secs(200)) {
        Decision::Deny(denial) => denial.class() == DenialClass::NotAuthenticated,
        Decision::Allow(_) => false,
    };
    let unknown = verify(&presented, None, now).is_err();
    let allowed = decide(&key, None, &production, now).is_allowed();
    let redacted = Scanner::new(KG).redact(TOKEN) == "kgt1_wk59pfKL0jFi2YYv_[redacted]";
    if allowed && denied && expired && unknown && redacted { Ok(()) } else { Err("a decision is wrong".into()) }
}

fn record() -> Result<KeyRecord, alloc::boxed::Box<dyn Error>> {
    let permission = Permission::inference_only(EnvironmentScope::only(vec!["production".parse()?])?, ModelScope::All);
    Ok(KeyRecord::try_from(RecordParts {
        issuer: KG,
        id: "wk59pfKL0jFi2YYv".parse()?,
        name: "nightly-batch".parse()?,
        labels: Labels::NONE,
        incarnation: None,
        grant: Grant::team("core".parse()?, permission),
        created_at: UnixTime::from_secs(100),
        created_by: Creator::System,
        not_before: None,
        expires_at: Some(UnixTime::from_secs(200)),
        last_used_at: None,
        status: Status::Active,
        current: DIGEST.parse()?,
        previous: None,
    })?)
}

fn call(environment: &str) -> Result<Request, keygate::InvalidText> {
    let action = Action::call("m1aaaaaa".parse()?, Some(environment.parse()?));
    Ok(Request::new("core".parse()?, action))
}

/// Gives memory out and never takes it back: the program ends before it matters.
struct Bump {
    next: AtomicUsize,
    arena: UnsafeCell<[u8; SIZE]>,
}

const SIZE: usize = 64 * 1024;

#[global_allocator]
static HEAP: Bump = Bump { next: AtomicUsize::new(0), arena: UnsafeCell::new([0; SIZE]) };

// SAFETY: no part of the arena is given out twice.
unsafe impl Sync for Bump {}

// SAFETY: each block is aligned, inside the arena, and behind all earlier ones, since `next` only grows.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get().cast::<u8>();
        // Enough for any alignment, so that one addition reserves the block.
        let Some(reserved) = layout.size().checked_add(layout.align()) else { return ptr::null_mut() };
        let start = self.next.fetch_add(reserved, Ordering::Relaxed);
        match start.checked_add(reserved) {
            Some(end) if end <= SIZE => {
                // SAFETY: `start <= end <= SIZE`, and rounding up adds less than the alignment reserved for it.
                let block = unsafe { base.add(start) };
                unsafe { block.add(block.align_offset(layout.align())) }
            }
            _ => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: ends the program.
    unsafe { abort() }
}

// The precompiled `core` and `alloc` were built to unwind and name these symbols, which the standard library would
// define. Nobody calls them where a panic aborts.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: ends the program.
    unsafe { abort() }
}

// `abort`, `memcpy` and its like, and the start-up code.
#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}
