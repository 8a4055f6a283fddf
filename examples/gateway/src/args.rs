//! The command line.

use core::{net::SocketAddr, time::Duration};

/// What the server is told when it starts.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) listen: SocketAddr,
    pub(crate) database: Option<String>,
    pub(crate) cache: Option<Duration>,
    pub(crate) bootstrap: bool,
    pub(crate) x_api_key: bool,
    pub(crate) dev_login: bool,
}

pub(crate) const USAGE: &str = "usage: keygate-gateway [--listen ADDRESS:PORT] \
    [--database sqlite:PATH | postgres://...] [--cache-seconds N] [--bootstrap] [--x-api-key] [--dev-login]";

impl Args {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, &'static str> {
        let mut args = Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            database: None,
            cache: None,
            bootstrap: false,
            x_api_key: false,
            dev_login: false,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--listen" => args.listen = value()?.parse().map_err(|_| USAGE)?,
                "--database" => args.database = Some(value()?),
                "--cache-seconds" => args.cache = Some(Duration::from_secs(value()?.parse().map_err(|_| USAGE)?)),
                "--bootstrap" => args.bootstrap = true,
                "--x-api-key" => args.x_api_key = true,
                "--dev-login" => args.dev_login = true,
                _ => return Err(USAGE),
            }
        }
        if args.dev_login && !args.listen.ip().is_loopback() {
            return Err("--dev-login lets everybody be anybody, so it needs a loopback address");
        }
        Ok(args)
    }
}
