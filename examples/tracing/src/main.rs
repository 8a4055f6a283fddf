//! A log that no secret gets into: the output of `tracing` goes through the redacting writer.
//!
//! It does not matter how a token came there: in a field, in a span around the event, in a struct that derives `Debug`,
//! in the error of another library. The public part of a key stays, so the log is still useful.
//!
//! ```text
//! $ cargo run -p keygate-example-tracing
//!  INFO request{peer="203.0.113.7"}: received authorization="Bearer kgt1_wk59pfKL0jFi2YYv_[redacted]"
//!  WARN request{peer="203.0.113.7"}: upstream failed call=Call { url: "https://models.example/?key=kgt1_wk59pfKL0jFi2YYv_[redacted]", retries: 3 }
//! ERROR configuration: invalid value "kgp1_wk59pfKL0jFi2YYv_[redacted]" for `port`
//!  INFO revoked key=kgt1_wk59pfKL0jFi2YYv
//! ```

use std::io::stdout;

use keygate::{Issuer, scan::Scanner};
use tracing::{error, info, info_span, warn};

/// Every prefix that tokens of this service ever had, so that old ones are covered too.
static SCANNER: Scanner = Scanner::new(Issuer::from_static("kg"));

fn main() {
    // Another thread writes, so that no request waits for a slow terminal or disk. It takes each write as one message.
    let (log, _written_at_the_end) = tracing_appender::non_blocking(stdout());
    tracing_subscriber::fmt()
        // A writer for each event, which goes through it in one write: a line stays whole when several threads log.
        .with_writer(move || SCANNER.writer(log.clone()))
        // So that each run prints the same.
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .init();

    {
        let _request = info_span!("request", peer = "203.0.113.7").entered();
        info!(authorization = format!("Bearer {TOKEN}"), "received");
        let call = Call { url: format!("https://models.example/?key={TOKEN}"), retries: 3 };
        warn!(?call, "upstream failed");
    }
    // Cut off where the message was made: the rest of the secret is redacted too.
    error!("configuration: invalid value \"{}\" for `port`", MISTYPED.get(..40).unwrap_or_default());
    info!(key = %"kgt1_wk59pfKL0jFi2YYv", "revoked");
}

/// Somebody forgot that this holds a secret.
#[derive(Debug)]
#[expect(dead_code, reason = "read by `Debug`")]
struct Call {
    url: String,
    retries: u32,
}

const TOKEN: &str = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
const MISTYPED: &str = "kgp1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_00000000";
