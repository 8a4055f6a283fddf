//! A statement with its values, and what comes back, the same for both databases.

use core::fmt::Display;
use std::vec;

use keygate::{KeyId, SecretDigest, UnixTime};
use sqlx::{ColumnIndex, Database, Decode, Encode, Type, TypeInfo, ValueRef, query::Query as SqlxQuery};

use crate::error::{CorruptRow, StoreError};

/// A statement that both databases understand, and the values of `$1`, `$2` and so on.
#[derive(Clone)]
pub(crate) struct Query {
    sql: &'static str,
    values: Vec<Value>,
}

impl Query {
    pub(crate) const fn new(sql: &'static str) -> Self {
        Self { sql, values: Vec::new() }
    }

    pub(crate) fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Makes of it what sqlx executes.
    pub(crate) fn bound<DB: Database>(self) -> SqlxQuery<'static, DB, DB::Arguments>
    where
        Option<i64>: Encode<'static, DB> + Type<DB>,
        Option<String>: Encode<'static, DB> + Type<DB>,
        Option<Vec<u8>>: Encode<'static, DB> + Type<DB>,
    {
        self.values.into_iter().fold(sqlx::query(self.sql), |query, value| match value {
            Value::Bytes(bytes) => query.bind(bytes),
            Value::Integer(integer) => query.bind(integer),
            Value::Text(text) => query.bind(text),
        })
    }
}

/// A value to bind. An absent one has a type too: PostgreSQL wants to know it.
#[derive(Clone)]
pub(crate) enum Value {
    Bytes(Option<Vec<u8>>),
    Integer(Option<i64>),
    Text(Option<String>),
}

impl Value {
    pub(crate) fn text(text: &impl Display) -> Self {
        Self::Text(Some(text.to_string()))
    }
}

impl From<KeyId> for Value {
    fn from(id: KeyId) -> Self {
        Self::text(&id)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(&text)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<UnixTime> for Value {
    fn from(time: UnixTime) -> Self {
        time.as_secs().into()
    }
}

impl From<Option<UnixTime>> for Value {
    fn from(time: Option<UnixTime>) -> Self {
        Self::Integer(time.map(UnixTime::as_secs))
    }
}

impl From<SecretDigest> for Value {
    fn from(digest: SecretDigest) -> Self {
        Some(digest).into()
    }
}

impl From<Option<SecretDigest>> for Value {
    fn from(digest: Option<SecretDigest>) -> Self {
        Self::Bytes(digest.map(|digest| digest.to_bytes().to_vec()))
    }
}

/// What a column held; SQLite could hold anything anywhere.
enum Cell {
    Absent,
    Bytes(Vec<u8>),
    Integer(i64),
    Text(String),
    Unreadable,
}

/// A row that came back, read from left to right.
pub(crate) struct Row(vec::IntoIter<Cell>);

impl Row {
    /// Takes over a row of sqlx.
    pub(crate) fn new<R: sqlx::Row>(row: &R) -> Self
    where
        usize: ColumnIndex<R>,
        for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
        for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
        for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    {
        let cell = |index| -> Result<Cell, sqlx::Error> {
            let value = row.try_get_raw(index)?;
            if value.is_null() {
                return Ok(Cell::Absent);
            }
            match value.type_info().name() {
                "BLOB" | "BYTEA" => row.try_get(index).map(Cell::Bytes),
                "INTEGER" | "INT8" => row.try_get(index).map(Cell::Integer),
                "TEXT" => row.try_get(index).map(Cell::Text),
                _ => Ok(Cell::Unreadable),
            }
        };
        let cells: Vec<_> = (0..row.len()).map(|index| cell(index).unwrap_or(Cell::Unreadable)).collect();
        Self(cells.into_iter())
    }

    /// Reads a text that may be absent.
    pub(crate) fn optional_text(&mut self, column: &'static str) -> Result<Option<String>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Text(text)) => Ok(Some(text)),
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads a text.
    pub(crate) fn text(&mut self, column: &'static str) -> Result<String, CorruptRow> {
        self.optional_text(column)?.ok_or(CorruptRow::new(column))
    }

    /// Reads a time that may be absent.
    pub(crate) fn optional_time(&mut self, column: &'static str) -> Result<Option<UnixTime>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Integer(seconds)) => Ok(Some(UnixTime::from_secs(seconds))),
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads a time.
    pub(crate) fn time(&mut self, column: &'static str) -> Result<UnixTime, CorruptRow> {
        self.optional_time(column)?.ok_or(CorruptRow::new(column))
    }

    /// Reads a digest that may be absent.
    pub(crate) fn optional_digest(&mut self, column: &'static str) -> Result<Option<SecretDigest>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Bytes(bytes)) => {
                let bytes = bytes.try_into().map_err(|_| CorruptRow::new(column))?;
                SecretDigest::from_bytes(bytes).map(Some).map_err(|_| CorruptRow::new(column))
            }
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads a digest.
    pub(crate) fn digest(&mut self, column: &'static str) -> Result<SecretDigest, CorruptRow> {
        self.optional_digest(column)?.ok_or(CorruptRow::new(column))
    }
}

/// Reads one value of each row.
pub(crate) fn each<T>(rows: Vec<Row>, read: impl Fn(&mut Row) -> Result<T, CorruptRow>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(|mut row| read(&mut row)).collect::<Result<_, _>>().map_err(StoreError::Corrupt)
}

/// Reads the first row, if there is one.
pub(crate) fn first<T>(
    rows: Vec<Row>,
    read: impl Fn(&mut Row) -> Result<T, CorruptRow>,
) -> Result<Option<T>, StoreError> {
    rows.into_iter().next().map(|mut row| read(&mut row)).transpose().map_err(StoreError::Corrupt)
}
