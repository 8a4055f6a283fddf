//! The arguments of the program. An argument that it does not understand is not repeated: it may be a token.

use core::error::Error as _;
use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ErrorKind},
};
use keygate::{Issuer, scan::Scanner};

use crate::FAILED;

/// Finds, redacts and explains API keys of keygate.
///
/// No command shows a secret, and none takes a token as an argument.
#[derive(Parser)]
#[command(name = "keygate", version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Scan(Scan),
    Redact(Redact),
    Rules(Rules),
    Inspect(Inspect),
}

/// Find tokens in files, folders or standard input.
///
/// A token is found wherever it stands: beside a letter, an escape or another token. Tokens that are encoded (Base64,
/// UTF-16, `%5F` for `_`) are not found, nor tokens in archives and compressed files. Binary files are searched.
///
/// It prints file, line, column, kind and id of each token, and never the secret. Columns count bytes. In a name,
/// invisible characters and bytes that are not UTF-8 are escaped, and the secret of a token of any issuer is redacted.
///
/// The exit code is 1 if a token was found; else 2 if something could not be read, which is then named; else 0. It
/// is also 2 if the output cannot be written, as on a full disk; a reader who goes away changes nothing.
#[derive(Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) issuers: Issuers,
    /// The files and folders to search; `-` is standard input.
    ///
    /// Without a path it is standard input if something is piped into it, and the current folder otherwise. A script
    /// should name it.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Print one JSON object a line, in ASCII.
    ///
    /// A name that is not UTF-8 is also given as bytes in `file_bytes`.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also search the files that `.gitignore`, `.ignore` and git's own lists name, and the folder `.git`.
    ///
    /// Files that are named as a path are always searched.
    #[arg(long)]
    pub(crate) no_ignore: bool,
    /// Show no progress.
    ///
    /// It is shown on standard error if that is a terminal, and if the search takes longer than a second.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Copy standard input to standard output without the secrets.
///
/// The public part of a token stays: `kgt1_wk59pfKL0jFi2YYv_[redacted]`. Secrets with a wrong checksum, or that are cut
/// off, go too. Input is written at once, so `tail -f service.log | keygate redact --issuer kg` follows.
#[derive(Args)]
pub(crate) struct Redact {
    #[command(flatten)]
    pub(crate) issuers: Issuers,
}

/// Print the rule that a secret scanner needs to find the tokens.
#[derive(Args)]
pub(crate) struct Rules {
    #[command(flatten)]
    pub(crate) issuers: Issuers,
    /// The scanner that reads it.
    #[arg(value_enum, default_value_t = For::Regex)]
    pub(crate) scanner: For,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum For {
    /// A regular expression for each issuer, which means the same in every dialect.
    Regex,
    /// `gitleaks.toml`, for --config.
    Gitleaks,
    /// `trufflehog.yaml`, for --config.
    Trufflehog,
    /// The fields of a custom pattern on GitHub.
    Github,
    /// `kingfisher.yaml`, for --rules-path.
    Kingfisher,
    /// A plugin in Python, for -p.
    DetectSecrets,
}

/// Explain one token: its issuer, kind, version and id, and whether its checksum holds.
///
/// The token is read from standard input, or typed without being shown; it is never an argument. No
/// server is asked whether it is valid.
///
/// The exit code is 0 if the checksum holds, 1 if it does not or the text is not a token, and 2 if nothing could be
/// read.
#[derive(Args)]
pub(crate) struct Inspect {
    /// The issuer that the token must have. Without it, the issuer that the token names.
    #[arg(long, value_name = "ISSUER")]
    pub(crate) issuer: Option<Issuer>,
    // Any other argument, to be refused without being shown.
    #[arg(hide = true, num_args = 0.., allow_hyphen_values = true)]
    pub(crate) refused: Vec<OsString>,
}

#[derive(Args)]
pub(crate) struct Issuers {
    /// The prefix of your tokens: `kg` for `kgt1_...`. Repeat it for several.
    #[arg(long = "issuer", value_name = "ISSUER", required = true)]
    pub(crate) all: Vec<Issuer>,
}

impl Issuers {
    /// Returns each issuer once, in their order.
    pub(crate) fn each(&self) -> Vec<Issuer> {
        let is_first = |(place, issuer): &(usize, &Issuer)| !self.all.iter().take(*place).any(|other| other == *issuer);
        self.all.iter().enumerate().filter(is_first).map(|(_, issuer)| *issuer).collect()
    }

    /// Returns the scanner for their tokens. Clap requires at least one; without any, there is nothing to find.
    pub(crate) fn scanner(&self) -> io::Result<Scanner> {
        let each = self.each();
        let (first, others) = each.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(others.iter().fold(Scanner::new(*first), |scanner, issuer| scanner.with_issuer(*issuer)))
    }
}

/// Reads the arguments; or answers itself, and returns the exit code.
pub(crate) fn parse() -> Result<Command, ExitCode> {
    Program::try_parse().map(|program| program.command).map_err(|error| {
        if error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let _ = write!(io::stderr(), "keygate: {}", complaint(&error));
            return FAILED.into();
        }
        let _ = error.print();
        if error.use_stderr() { FAILED.into() } else { ExitCode::SUCCESS }
    })
}

/// Describes the error in the arguments without repeating them.
fn complaint(error: &clap::Error) -> String {
    let mut complaint = error.kind().as_str().unwrap_or("the arguments are not understood").to_owned();
    // Here it is the name of an argument of ours, and nothing that came in.
    let is_ours = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::ValueValidation,
        ErrorKind::InvalidValue,
        ErrorKind::ArgumentConflict,
    ];
    if is_ours.contains(&error.kind()) {
        for context in [error.get(ContextKind::InvalidArg), error.get(ContextKind::ValidValue)].into_iter().flatten() {
            complaint = format!("{complaint}: {context}");
        }
    }
    if let Some(source) = error.source() {
        complaint = format!("{complaint}: {source}");
    }
    if let Some(usage) = error.get(ContextKind::Usage) {
        complaint = format!("{complaint}\n\n{usage}");
    }
    complaint + "\n\nFor more information, try '--help'.\n"
}
