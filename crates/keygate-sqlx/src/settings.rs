//! The settings of a service.

use core::{fmt, num::NonZeroU32, str::FromStr, time::Duration};
use std::borrow::Cow;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// The prefix of the names of all tables and indices: `keygate_`, unless it is set.
///
/// It is 1 to 30 lower-case letters, digits and underscores, begins with a letter, but not with `pg_` or `sqlite_`, and
/// is not `current_`, since `current_schema` is a word of SQL's own.
///
/// ```
/// use keygate_sqlx::TablePrefix;
///
/// assert_eq!(TablePrefix::default().as_str(), "keygate_");
/// assert_eq!("billing_keys_".parse::<TablePrefix>()?.as_str(), "billing_keys_");
/// assert!("Keys; DROP".parse::<TablePrefix>().is_err());
/// # Ok::<(), keygate_sqlx::InvalidTablePrefix>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TablePrefix(Cow<'static, str>);

impl TablePrefix {
    /// The largest number of characters.
    pub const MAX_LENGTH: usize = 30;

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts the prefix in the place of the usual one.
    pub(crate) fn apply(&self, sql: &'static str) -> Cow<'static, str> {
        // INVARIANT: the characters of a prefix need no quotes, and with the name of a table it is no word of SQL's
        // own, of which `current_schema` would be one.
        if self.0 == USUAL { Cow::Borrowed(sql) } else { Cow::Owned(sql.replace(USUAL, &self.0)) }
    }

    pub(crate) fn statement(&self, sql: &'static str) -> SqlStr {
        AssertSqlSafe(self.apply(sql)).into_sql_str()
    }
}

impl Default for TablePrefix {
    fn default() -> Self {
        Self(Cow::Borrowed(USUAL))
    }
}

impl FromStr for TablePrefix {
    type Err = InvalidTablePrefix;

    fn from_str(text: &str) -> Result<Self, InvalidTablePrefix> {
        let is_legal = text.len() <= Self::MAX_LENGTH
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !text.starts_with("pg_")
            && !text.starts_with("sqlite_")
            && text != "current_";
        if is_legal { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(InvalidTablePrefix) }
    }
}

impl fmt::Display for TablePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that is not a [`TablePrefix`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not the prefix of tables: 1 to 30 lower-case letters, digits and underscores, starting with a letter, but not with \
     `pg_` or `sqlite_`, and not `current_`"
)]
#[non_exhaustive]
pub struct InvalidTablePrefix;

/// The names of the tables, the number of connections, and time limits.
///
/// ```
/// use core::{num::NonZeroU32, time::Duration};
/// use keygate_sqlx::Settings;
///
/// let settings = Settings::new()
///     .with_table_prefix("billing_".parse()?)
///     .with_max_connections(NonZeroU32::MIN)
///     .with_answer_limit(Duration::from_secs(10));
/// assert_ne!(format!("{settings:?}"), format!("{:?}", Settings::new()));
/// # Ok::<(), keygate_sqlx::InvalidTablePrefix>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) prefix: TablePrefix,
    pub(crate) max_connections: Option<NonZeroU32>,
    pub(crate) connect_limit: Duration,
    pub(crate) answer_limit: Duration,
    pub(crate) touch_interval: Duration,
}

impl Settings {
    /// Returns the usual settings.
    #[must_use]
    pub fn new() -> Self {
        Self {
            prefix: TablePrefix::default(),
            max_connections: None,
            connect_limit: Duration::from_secs(2),
            answer_limit: Duration::from_secs(4),
            touch_interval: Duration::from_secs(60),
        }
    }

    /// Sets the prefix of the tables' names.
    #[must_use]
    pub fn with_table_prefix(mut self, prefix: TablePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Sets the largest number of connections: 10 to PostgreSQL, and 4 that read an SQLite file in addition to the one
    /// that writes, unless it is set. A pool of the service's own keeps its number.
    ///
    /// PostgreSQL can have more sessions for a while, when it still works on what was given up. Opening needs two more
    /// for a moment, and each `Postgres::wakes` one.
    #[must_use]
    pub const fn with_max_connections(mut self, max_connections: NonZeroU32) -> Self {
        self.max_connections = Some(max_connections);
        self
    }

    /// Sets how long to wait for a connection out of the pool: two seconds unless it is set. More than a day is a day.
    /// Opening the database, which connects and asks, may take as long as an answer.
    #[must_use]
    pub const fn with_connect_limit(mut self, limit: Duration) -> Self {
        self.connect_limit = at_most_a_day(limit);
        self
    }

    /// Sets how long to wait for an answer, or for all those of a transaction, and in SQLite for a lock: four seconds
    /// unless it is set. More than a day is a day. PostgreSQL ends a statement after three quarters of it, and one that
    /// waits for a lock after three eighths. Each is [`StoreError::TimedOut`](crate::StoreError::TimedOut).
    ///
    /// With less than 2.7 seconds, three eighths are less than the second after which PostgreSQL looks for deadlocks
    /// (`deadlock_timeout`): two keys that exchange their names at once may then both be `TimedOut`, and neither is
    /// told that the name is taken.
    #[must_use]
    pub const fn with_answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = at_most_a_day(limit);
        self
    }

    /// Sets by how much a last use must move to be written, in whole seconds: a minute unless it is set.
    ///
    /// Each process reports a use of a key once a minute. With the same interval here, the use is written once for all
    /// of them, and not once for each. A stored last use may be earlier than the last use by as much; the first use of
    /// a key is always written. With [`Duration::ZERO`] each reported use is written, as the conformance suite expects.
    #[must_use]
    pub const fn with_touch_interval(mut self, interval: Duration) -> Self {
        self.touch_interval = interval;
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// What a database or a clock can count is more than this, and less than what a [`Duration`] can be.
const fn at_most_a_day(limit: Duration) -> Duration {
    if limit.as_secs() < DAY.as_secs() { limit } else { DAY }
}

const DAY: Duration = Duration::from_secs(86_400);
const USUAL: &str = "keygate_";
