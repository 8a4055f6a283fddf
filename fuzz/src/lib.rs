//! What the fuzz targets do: each function takes an input, does with it what the library does and what a naive model
//! does, and panics where they differ. What came out is returned, so that the corpora can be checked.
//!
//! The models are written from the documents and not from the code: slow, on texts and plain numbers, and each in
//! another way than the library's.
#![forbid(unsafe_code)]

mod decide;
mod header;
mod legacy;
mod parse;
mod record;
mod scan;
mod store;

pub use decide::decide;
pub use header::header;
pub use legacy::legacy;
pub use parse::parse;
pub use record::record;
pub use scan::scan;
pub use store::store;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{decide, header, legacy, parse, record, scan, store};

    /// Replays a corpus. A seed is named `outcome.what_it_is`; what a fuzzer added has a hash for a name, and no dot.
    fn replay(target: &str, run: fn(&[u8]) -> &'static str, outcomes: &[&str]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut seen = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let outcome = run(&fs::read(&path).unwrap());
            if let Some((expected, _)) = path.file_name().unwrap().to_str().unwrap().split_once('.') {
                assert_eq!(outcome, expected, "{}", path.display());
                seen.insert(outcome);
            }
        }
        assert_eq!(seen, outcomes.iter().copied().collect(), "a seed for each outcome");
    }

    #[test]
    fn the_corpus_of_decide() {
        let outcomes = [
            "action_not_in_scope",
            "allow",
            "disabled",
            "environment_not_in_scope",
            "environment_required",
            "environment_scoped",
            "expired",
            "invalid_key",
            "invalid_record",
            "invalid_scope",
            "level_insufficient",
            "model_not_in_scope",
            "model_required",
            "not_yet_valid",
            "other_team",
            "owner_deprovisioned",
            "resource_not_in_scope",
            "resource_required",
            "revoked",
            "membership_required",
        ];
        replay("decide", decide, &outcomes);
    }

    #[test]
    fn the_corpus_of_legacy() {
        replay("legacy", legacy, &["opaque", "prefix_secret", "refused", "stored_hash"]);
    }

    #[test]
    fn the_corpus_of_header() {
        replay("header", header, &["malformed", "misplaced", "missing", "multiple", "no_header", "ok"]);
    }

    #[test]
    fn the_corpus_of_parse() {
        let outcomes =
            ["checksum_mismatch", "foreign_issuer", "invalid_issuer", "malformed", "ok", "unsupported_version"];
        replay("parse", parse, &outcomes);
    }

    #[test]
    fn the_corpus_of_record() {
        replay("record", record, &["ok", "refused"]);
    }

    #[test]
    fn the_corpus_of_scan() {
        replay("scan", scan, &["found", "invalid_issuer", "redacted", "unchanged"]);
    }

    #[test]
    fn the_corpus_of_store() {
        replay("store", store, &["nothing_refused", "something_refused"]);
    }
}
