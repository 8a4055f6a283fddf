//! `keygate scan`.

use core::{
    cell::LazyCell,
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use std::{
    fs::File,
    io::{self, ErrorKind, Read, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use ignore::{DirEntry, WalkBuilder, WalkState};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keygate::scan::{Scanner, TokenMatch};
use serde::Serialize;
use serde_json::Serializer;

use crate::{
    FAILED, FOUND,
    arguments::Scan,
    complain,
    search::{Place, Search},
    shown::{self, Ascii, printable},
};

pub(crate) fn scan(arguments: &Scan) -> io::Result<ExitCode> {
    let scanner = arguments.issuers.scanner()?;
    let run = Run {
        scanner: &scanner,
        json: arguments.json,
        progress: Progress::new(arguments.quiet),
        found: AtomicBool::new(false),
        failed: AtomicBool::new(false),
        broken: Mutex::new(None),
    };
    let (streams, mut paths): (Vec<_>, Vec<_>) = arguments.paths.iter().partition(|path| *path == Path::new("-"));
    let here = PathBuf::from(".");
    let mut is_piped = !streams.is_empty();
    if arguments.paths.is_empty() {
        if grep_cli::is_readable_stdin() { is_piped = true } else { paths.push(&here) }
    }
    if is_piped {
        run.search(&mut Search::new(&scanner), b"-", io::stdin().lock());
    }
    if let Some((first, others)) = paths.split_first() {
        let mut walk = WalkBuilder::new(first);
        others.iter().for_each(|path| _ = walk.add(path));
        let ignores = !arguments.no_ignore;
        // Hidden files are searched: `.env` often leaks. Git's objects are compressed, so nothing is found in them.
        walk.hidden(false).parents(ignores).ignore(ignores);
        walk.filter_entry(move |entry| !ignores || entry.depth() == 0 || entry.file_name() != ".git");
        // A `.gitignore` also counts outside a repository, as in a copy of one.
        walk.git_ignore(ignores).git_global(ignores).git_exclude(ignores).require_git(false);
        walk.build_parallel().run(|| {
            let mut search = Search::new(&scanner);
            let run = &run;
            Box::new(move |entry| run.visit(&mut search, entry))
        });
    }
    run.progress.bar.finish_and_clear();
    // A reader who goes away has seen the finds.
    let broken = run.broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = broken.filter(|error| error.kind() != ErrorKind::BrokenPipe) {
        return Err(error);
    }
    Ok(match (run.found.into_inner(), run.failed.into_inner()) {
        (true, _) => FOUND.into(),
        (false, true) => FAILED.into(),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// The state that all threads share.
struct Run<'s> {
    scanner: &'s Scanner,
    json: bool,
    progress: Progress,
    found: AtomicBool,
    failed: AtomicBool,
    /// Why standard output takes no more.
    broken: Mutex<Option<io::Error>>,
}

impl Run<'_> {
    fn visit(&self, search: &mut Search<'_>, entry: Result<DirEntry, ignore::Error>) -> WalkState {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                match &error {
                    // It would show what is no text as if it were none of the name.
                    ignore::Error::WithPath { path, err } => self.fail(path.as_os_str().as_encoded_bytes(), err),
                    error => self.complain(error.to_string().as_bytes()),
                }
                return WalkState::Continue;
            }
        };
        // Links are not followed, but a path that was named is read: it may be a pipe.
        let path = entry.path();
        let is_named = entry.depth() == 0 && !path.is_dir();
        if is_named || entry.file_type().is_some_and(|kind| kind.is_file()) {
            let name = path.strip_prefix(".").unwrap_or(path).as_os_str().as_encoded_bytes();
            match File::open(path) {
                Ok(file) => self.search(search, name, file),
                Err(error) => self.fail(name, &error),
            }
        }
        if self.is_broken() { WalkState::Quit } else { WalkState::Continue }
    }

    fn search(&self, search: &mut Search<'_>, name: &[u8], stream: impl Read) {
        let mut lines = Vec::new();
        // Most files need no line.
        let file = LazyCell::new(|| Name::of(&shown::redact(self.scanner, name)));
        let report = |place, token: TokenMatch<'_>| {
            self.found.store(true, Ordering::Relaxed);
            self.line(&mut lines, &file, place, token)?;
            // A file full of tokens must not fill the memory.
            if lines.len() >= ENOUGH { self.write(&mut lines) } else { Ok(()) }
        };
        let searched = search.search(stream, report, |read| self.progress.advance(read));
        match searched {
            Err(error) if !self.is_broken() => self.fail(name, &error),
            _ => {}
        }
        // An error is kept.
        let _ = self.write(&mut lines);
    }

    /// Adds the line of a token.
    fn line(&self, lines: &mut Vec<u8>, name: &Name, place: Place, token: TokenMatch<'_>) -> io::Result<()> {
        let (Place { line, column }, display) = (place, token.public());
        if !self.json {
            return writeln!(lines, "{}:{line}:{column}: {} key {display}", name.printable, token.kind());
        }
        let (kind, key_id) = (token.kind().as_str(), token.id());
        let found = Found {
            file: &name.text,
            file_bytes: name.bytes.as_deref(),
            line,
            column,
            kind,
            key_id: key_id.as_str(),
            display: display.to_string(),
        };
        found.serialize(&mut Serializer::with_formatter(&mut *lines, Ascii))?;
        lines.push(b'\n');
        Ok(())
    }

    /// Writes whole lines, which no other thread's come between.
    fn write(&self, lines: &mut Vec<u8>) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let written = self.progress.bar.suspend(|| {
            let mut output = io::stdout().lock();
            output.write_all(lines).and_then(|()| output.flush())
        });
        lines.clear();
        written.map_err(|error| {
            let kind = error.kind();
            self.broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            kind.into()
        })
    }

    fn is_broken(&self) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Reports an unreadable file, and goes on.
    fn fail(&self, name: &[u8], error: &dyn Error) {
        self.complain(&[name, b": ", error.to_string().as_bytes()].concat());
    }

    fn complain(&self, error: &[u8]) {
        self.failed.store(true, Ordering::Relaxed);
        let error = printable(&shown::redact(self.scanner, error));
        self.progress.bar.suspend(|| _ = complain(&error));
    }
}

/// The name of a file without secrets.
struct Name {
    printable: String,
    text: String,
    /// Where it is no text.
    bytes: Option<Vec<u8>>,
}

impl Name {
    fn of(redacted: &[u8]) -> Self {
        let bytes = core::str::from_utf8(redacted).is_err().then(|| redacted.to_vec());
        Self { printable: printable(redacted), text: String::from_utf8_lossy(redacted).into_owned(), bytes }
    }
}

/// A line with `--json`.
#[derive(Serialize)]
struct Found<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_bytes: Option<&'a [u8]>,
    line: u64,
    column: u64,
    kind: &'a str,
    key_id: &'a str,
    display: String,
}

/// Shown where somebody looks, and only if it takes long.
struct Progress {
    bar: ProgressBar,
    shown: Option<Instant>,
    is_shown: AtomicBool,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        // The template is tested; without it there is the plain one.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} searched, {bytes_per_sec}") {
            bar.set_style(style);
        }
        let shown = if quiet { None } else { Instant::now().checked_add(PATIENCE) };
        Self { bar, shown, is_shown: AtomicBool::new(false) }
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let is_time = self.shown.is_some_and(|shown| !self.is_shown.load(Ordering::Relaxed) && Instant::now() >= shown);
        if is_time && !self.is_shown.swap(true, Ordering::Relaxed) {
            // Draws nothing where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// So much is written at once.
const ENOUGH: usize = 1 << 16;
