//! The findings of the suite.

use alloc::{format, string::String, vec::Vec};
use core::{error::Error, fmt, slice};

use super::rule::Rule;
use crate::text::InvalidText;

/// The answer of a step of the suite; an `Err` is a violation after which there is no going on.
pub(super) type Outcome<T = ()> = Result<T, Violation>;

pub(super) fn of(mut found: Vec<Violation>, checks: usize) -> Result<Passed, Violations> {
    // By rule, and within a rule as found: `sort_by_key` is stable.
    found.sort_by_key(Violation::rule);
    if found.is_empty() { Ok(Passed { checks }) } else { Err(Violations(found)) }
}

/// A store that keeps the contract, as far as a test can show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub struct Passed {
    checks: usize,
}

impl Passed {
    /// Returns how many checks there were, each on an empty store of its own.
    #[must_use]
    pub const fn checks(self) -> usize {
        self.checks
    }
}

/// A rule that a store breaks, with the evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    rule: Rule,
    detail: String,
}

impl Violation {
    pub(super) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self { rule, detail: detail.into() }
    }

    /// Names the operation that failed and why, causes included: a wrapper often says less than what it wraps.
    pub(super) fn failure(operation: &str, error: &dyn Error) -> Self {
        let mut detail = String::from(operation);
        let mut cause = Some(error);
        while let Some(error) = cause {
            detail.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::new(Rule::NoFailure, detail)
    }

    /// Returns the rule.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }

    /// Returns the operation and what is wrong with its answer: columns by name, without ids and digests. For a failure
    /// it is the text of the store's own error, causes included.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.rule, self.detail, self.rule.contract())
    }
}

/// The suite's own texts fit their grammars, as its tests show; this only spares it a panic.
impl From<InvalidText> for Violation {
    fn from(error: InvalidText) -> Self {
        Self::failure("the suite itself", &error)
    }
}

/// Every violation that was found in a store: at least one, by rule.
///
/// ```
/// use keygate::{MemoryStore, store::conformance::{InProcess, Race, Rule, Task, check}};
///
/// /// Runs nothing, so that no race has a result.
/// struct Nobody;
///
/// impl Race for Nobody {
///     async fn race(&self, _: Vec<Task>) {}
/// }
///
/// let subject = InProcess::new(MemoryStore::new, MemoryStore::events);
/// let violations = pollster::block_on(check(&subject, &Nobody)).unwrap_err();
/// assert!(violations.breaks(Rule::NoFailure));
/// assert!(violations.iter().all(|violation| violation.rule() == Rule::NoFailure));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Returns a reference to the violations, in the order of [`Rule::ALL`].
    pub fn iter(&self) -> slice::Iter<'_, Violation> {
        self.0.iter()
    }

    /// Returns `true` if `rule` is among the rules broken.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.0.iter().any(|violation| violation.rule == rule)
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store breaks its contract")?;
        self.iter().try_for_each(|violation| write!(f, "\n- {violation}"))
    }
}

impl Error for Violations {}
