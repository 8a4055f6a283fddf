//! `keygate redact`.

use std::{
    io::{self, Read as _, Write as _},
    process::ExitCode,
};

use crate::arguments::Redact;

pub(crate) fn redact(arguments: &Redact) -> io::Result<ExitCode> {
    let (mut input, mut output) = (io::stdin().lock(), arguments.issuers.scanner()?.writer(io::stdout().lock()));
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = match input.read(&mut piece) {
            Ok(0) => return Ok(ExitCode::SUCCESS),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        output.write_all(piece.get(..read).unwrap_or_default())?;
        // No more input may come for an hour.
        output.flush()?;
    }
}
