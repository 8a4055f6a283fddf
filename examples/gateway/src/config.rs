//! The configuration: arguments, then the environment, then a file, then the defaults here.

use core::{net::SocketAddr, num::NonZeroU16};
use std::{fs, io, path::PathBuf};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, parser::ValueSource};
use keygate::{Issuer, UserId};
use serde::Deserialize;
use url::Url;

/// Serves models behind keygate, and manages keys over HTTP.
///
/// Without any option it starts on the loopback interface, with an SQLite file that it makes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// TOML file with the options below, without the dashes in front
    #[arg(long, env = "KEYGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints a link that signs this user in to the console, and ends; a server may run meanwhile
    #[arg(long, value_name = "USER")]
    sign_in: Option<UserId>,
    /// Appends to this file the events after its last line, and ends; a server may run meanwhile
    #[arg(long, value_name = "FILE", conflicts_with = "sign_in")]
    export_log: Option<PathBuf>,
    /// After a backup was restored, with no server running: empties every cache, repeats the revocations of this
    /// exported log, and ends
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sign_in", "export_log"])]
    restored: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Each option of the command line; in a file the same names.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Options {
    /// Address and port for clients; port 0 is any free one [default: 127.0.0.1:8080]
    #[arg(long, env = "KEYGATE_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Address and port for /healthz, /readyz and the server's own /metrics; off unless set
    #[arg(long, env = "KEYGATE_OPERATIONS", value_name = "ADDRESS:PORT")]
    operations: Option<SocketAddr>,
    /// Folder of the SQLite file, made for its user alone [default: keygate-data]
    #[arg(long, env = "KEYGATE_DATA", value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// `postgres://user@host/database` instead of the SQLite file; a password belongs into the environment or the file
    #[arg(long, env = "KEYGATE_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// How the tokens of this service begin; it cannot change later [default: acme]
    #[arg(long, env = "KEYGATE_ISSUER", value_name = "NAME")]
    issuer: Option<Issuer>,
    /// For how many seconds a looked-up key or user may count without being confirmed; 0 looks up each time [default:
    /// 0]
    #[arg(long, env = "KEYGATE_CACHE_SECONDS", value_name = "SECONDS")]
    cache_seconds: Option<u8>,
    /// Takes keys in `X-Api-Key`, too, as Anthropic's clients send them
    #[arg(long, env = "KEYGATE_X_API_KEY", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    x_api_key: Option<bool>,
    /// Certificates for TLS, as PEM
    #[arg(long, env = "KEYGATE_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, as PEM
    #[arg(long, env = "KEYGATE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Name under which browsers reach the console with HTTPS, here or at a proxy; loopback names always count
    #[arg(long, env = "KEYGATE_HOST", value_name = "NAME[:PORT]")]
    host: Option<String>,
    /// Longest life of a new key in days, and no key without an end; 0 sets no bound [default: 0]
    #[arg(long, env = "KEYGATE_MAX_KEY_DAYS", value_name = "DAYS")]
    max_key_days: Option<u16>,
    /// Largest number of requests in flight; those beyond are answered 503 [default: 1000]
    #[arg(long, env = "KEYGATE_MAX_REQUESTS", value_name = "NUMBER")]
    max_requests: Option<u16>,
}

impl Options {
    /// Takes from `other` what is not set.
    fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            operations: self.operations.or(other.operations),
            data: self.data.or(other.data),
            database: self.database.or(other.database),
            issuer: self.issuer.or(other.issuer),
            cache_seconds: self.cache_seconds.or(other.cache_seconds),
            x_api_key: self.x_api_key.or(other.x_api_key),
            tls_cert: self.tls_cert.or(other.tls_cert),
            tls_key: self.tls_key.or(other.tls_key),
            host: self.host.or(other.host),
            max_key_days: self.max_key_days.or(other.max_key_days),
            max_requests: self.max_requests.or(other.max_requests),
        }
    }
}

/// The settings of the server.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) operations: Option<SocketAddr>,
    pub(crate) storage: Storage,
    pub(crate) issuer: Issuer,
    pub(crate) cache_seconds: u8,
    pub(crate) x_api_key: bool,
    pub(crate) tls: Option<Tls>,
    /// Under which name the console is reached, beside loopback.
    pub(crate) host: Option<String>,
    pub(crate) max_key_days: Option<NonZeroU16>,
    pub(crate) max_requests: u16,
    /// A task to run instead of serving.
    pub(crate) task: Option<Task>,
}

/// The database to use.
#[derive(Debug)]
pub(crate) enum Storage {
    /// A folder with an SQLite file.
    Folder(PathBuf),
    /// The URL of a PostgreSQL database.
    Postgres(String),
}

/// A task that runs once, instead of serving.
#[derive(Debug)]
pub(crate) enum Task {
    /// Append to the exported log.
    ExportLog(PathBuf),
    /// Take a restored backup into use, with an exported log.
    Restored(PathBuf),
    /// Print a link that signs a user in.
    SignIn(UserId),
}

#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) certificates: PathBuf,
    pub(crate) key: PathBuf,
}

/// The reason why the options are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the database URL begins with `postgres://`")]
    Database,
    #[error("`{0}` and `{1}` exclude each other")]
    Both(&'static str, &'static str),
    #[error("the file `{0}` of options cannot be read")]
    Read(PathBuf, #[source] io::Error),
    #[error("the file `{file}` of options does not fit, at line {line}: {message}")]
    File { file: PathBuf, line: usize, message: String },
    #[error(
        "a password in an argument is seen by every user of this machine: set `KEYGATE_DATABASE` or the file instead"
    )]
    PasswordInArgument,
    #[error("`tls-cert` and `tls-key` belong together")]
    Tls,
}

impl Config {
    /// Reads what the process was started with. Where arguments do not fit, or help is asked for, it ends the process.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the options do not go together, or their file cannot be read.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        let matches = Arguments::command().get_matches();
        Self::of(&matches)
    }

    fn of(matches: &ArgMatches) -> Result<Self, ConfigError> {
        let Arguments { config, sign_in, export_log, restored, options } =
            Arguments::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
        let is_argument = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        if is_argument("database") && options.database.as_deref().is_some_and(has_password) {
            return Err(ConfigError::PasswordInArgument);
        }
        let options = match config {
            Some(file) => options.or(read_file(file)?),
            None => options,
        };
        let storage = match (options.database, options.data) {
            (Some(_), Some(_)) => return Err(ConfigError::Both("database", "data")),
            (Some(url), None) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Storage::Postgres(url)
            }
            (Some(_), None) => return Err(ConfigError::Database),
            (None, data) => Storage::Folder(data.unwrap_or_else(|| "keygate-data".into())),
        };
        let tls = match (options.tls_cert, options.tls_key) {
            (Some(certificates), Some(key)) => Some(Tls { certificates, key }),
            (None, None) => None,
            _ => return Err(ConfigError::Tls),
        };
        Ok(Self {
            listen: options.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            operations: options.operations,
            storage,
            issuer: options.issuer.unwrap_or(const { Issuer::from_static("acme") }),
            cache_seconds: options.cache_seconds.unwrap_or(0),
            x_api_key: options.x_api_key.unwrap_or(false),
            tls,
            host: options.host.map(|host| host.to_ascii_lowercase()),
            max_key_days: options.max_key_days.and_then(NonZeroU16::new),
            max_requests: options.max_requests.unwrap_or(1000),
            task: sign_in.map(Task::SignIn).or(export_log.map(Task::ExportLog)).or(restored.map(Task::Restored)),
        })
    }
}

fn has_password(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
    })
}

/// Errors about the file do not quote it, because it may hold a password.
fn read_file(file: PathBuf) -> Result<Options, ConfigError> {
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => return Err(ConfigError::Read(file, error)),
    };
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        let message = error.message().lines().next().unwrap_or_default();
        // The value that has another type may be a password.
        let message = match message.split_once(", expected ") {
            Some((start, expected)) if start.starts_with("invalid") => format!("expected {expected}"),
            _ => message.to_owned(),
        };
        ConfigError::File { file, line, message }
    })
}
