//! Lines stay whole where several threads log and another one writes.
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use keygate::{Issuer, scan::Scanner};
use tracing::info;

static SCANNER: Scanner = Scanner::new(Issuer::from_static("kg"));

const TOKEN: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_line_is_torn() {
    const THREADS: usize = 4;
    const LINES: usize = 3_000;
    let written = Shared::default();
    let (log, guard) = tracing_appender::non_blocking(written.clone());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || SCANNER.writer(log.clone()))
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            thread::spawn(move || {
                for line in 0..LINES {
                    info!("{thread} {line} sent {TOKEN} and {TOKEN}, twice");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    // Waits until everything is written.
    drop(guard);
    let written = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let mut lines: Vec<_> = written.lines().map(str::to_owned).collect();
    let shown = "kgt1_wk59pfKL0jFi2YYv_[redacted]";
    let expected = |thread, line| format!(" INFO {thread} {line} sent {shown} and {shown}, twice");
    let mut expected: Vec<_> =
        (0..THREADS).flat_map(|thread| (0..LINES).map(move |line| expected(thread, line))).collect();
    lines.sort_unstable();
    expected.sort_unstable();
    let torn = lines.iter().filter(|line| expected.binary_search(line).is_err()).count();
    assert_eq!((torn, lines.len()), (0, THREADS * LINES));
    assert_eq!(lines, expected);
}
