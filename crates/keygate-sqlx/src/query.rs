//! A statement with its values, and what comes back, the same for both databases.

use core::fmt::Display;
use std::slice;

use keygate::{KeyId, UnixTime, store::SecretDigest};
use sqlx::{ColumnIndex, Database, Decode, Encode, Type, TypeInfo, ValueRef, query::Query as SqlxQuery};

use crate::{
    error::{CorruptRow, Place, StoreError},
    settings::TablePrefix,
    sql::Read,
};

/// A statement that both databases understand, and the values of `$1`, `$2` and so on.
#[derive(Clone)]
pub(crate) struct Query {
    sql: &'static str,
    /// That of a statement that reads.
    #[cfg(feature = "postgres")]
    signature: Option<&'static str>,
    values: Vec<Value>,
}

impl Query {
    pub(crate) const fn new(sql: &'static str) -> Self {
        Self {
            sql,
            #[cfg(feature = "postgres")]
            signature: None,
            values: Vec::new(),
        }
    }

    /// Makes one that changes nothing.
    pub(crate) fn read(read: Read) -> Self {
        Self {
            #[cfg(feature = "postgres")]
            signature: Some(read.signature),
            ..Self::new(read.sql)
        }
    }

    /// Returns `true` if it is this statement.
    pub(crate) fn is(&self, read: Read) -> bool {
        self.sql == read.sql
    }

    /// Makes of it what sqlx executes, with its signature behind the values.
    #[cfg(feature = "postgres")]
    pub(crate) fn signed(
        self,
        prefix: &TablePrefix,
    ) -> SqlxQuery<'static, sqlx::Postgres, sqlx::postgres::PgArguments> {
        let signature = self.signature.map(|signature| prefix.apply(signature).into_owned());
        let query = self.bound(prefix);
        match signature {
            Some(signature) => query.bind(signature),
            None => query,
        }
    }

    pub(crate) fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Makes of it what sqlx executes.
    pub(crate) fn bound<DB: Database>(self, prefix: &TablePrefix) -> SqlxQuery<'static, DB, DB::Arguments>
    where
        Option<i64>: Encode<'static, DB> + Type<DB>,
        Option<String>: Encode<'static, DB> + Type<DB>,
        Option<Vec<u8>>: Encode<'static, DB> + Type<DB>,
    {
        self.values.into_iter().fold(sqlx::query(prefix.statement(self.sql)), |query, value| match value {
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

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        i64::from(value).into()
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(Some(integer))
    }
}

impl From<Option<i64>> for Value {
    fn from(integer: Option<i64>) -> Self {
        Self::Integer(integer)
    }
}

impl From<UnixTime> for Value {
    fn from(time: UnixTime) -> Self {
        time.as_secs().into()
    }
}

impl From<Option<UnixTime>> for Value {
    fn from(time: Option<UnixTime>) -> Self {
        time.map(UnixTime::as_secs).into()
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

/// The value of a column; SQLite could hold anything anywhere.
enum Cell {
    Absent,
    Bytes(Vec<u8>),
    Integer(i64),
    Text(String),
    Unreadable,
}

/// A row that came back.
pub(crate) struct Row(Vec<Cell>);

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
        Self((0..row.len()).map(|index| cell(index).unwrap_or(Cell::Unreadable)).collect())
    }

    /// Reads it, and names one that is no record by its first column: the id of a key, the number of an event.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut Columns<'_>) -> Result<T, CorruptRow>,
    ) -> Result<T, CorruptRow> {
        read(&mut self.columns()).map_err(|mut fault| {
            fault.row = match self.0.first() {
                Some(Cell::Integer(number)) => Some(number.to_string()),
                Some(Cell::Text(id)) => Some(id.clone()),
                _ => None,
            };
            fault
        })
    }

    /// Begins to read, from left to right.
    pub(crate) fn columns(&self) -> Columns<'_> {
        Columns(self.0.iter())
    }
}

/// The columns of a row that are not read yet.
pub(crate) struct Columns<'a>(slice::Iter<'a, Cell>);

impl<'a> Columns<'a> {
    /// Reads a text that may be absent.
    pub(crate) fn optional_text(&mut self, column: &'static str) -> Result<Option<&'a str>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Text(text)) => Ok(Some(text)),
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads a text.
    pub(crate) fn text(&mut self, column: &'static str) -> Result<&'a str, CorruptRow> {
        self.optional_text(column)?.ok_or(CorruptRow::new(column))
    }

    /// Reads a number that may be absent.
    pub(crate) fn optional_integer(&mut self, column: &'static str) -> Result<Option<i64>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Integer(integer)) => Ok(Some(*integer)),
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads a number that is not negative.
    pub(crate) fn count(&mut self, column: &'static str) -> Result<u64, CorruptRow> {
        let integer = self.optional_integer(column)?.ok_or(CorruptRow::new(column))?;
        integer.try_into().map_err(CorruptRow::because(column))
    }

    /// Reads a time that may be absent.
    pub(crate) fn optional_time(&mut self, column: &'static str) -> Result<Option<UnixTime>, CorruptRow> {
        Ok(self.optional_integer(column)?.map(UnixTime::from_secs))
    }

    /// Reads a time.
    pub(crate) fn time(&mut self, column: &'static str) -> Result<UnixTime, CorruptRow> {
        self.optional_time(column)?.ok_or(CorruptRow::new(column))
    }

    /// Reads so many bytes, which may be absent.
    pub(crate) fn optional_bytes<const N: usize>(
        &mut self,
        column: &'static str,
    ) -> Result<Option<[u8; N]>, CorruptRow> {
        match self.0.next() {
            Some(Cell::Absent) => Ok(None),
            Some(Cell::Bytes(bytes)) => bytes.as_slice().try_into().map(Some).map_err(CorruptRow::because(column)),
            _ => Err(CorruptRow::new(column)),
        }
    }

    /// Reads so many bytes.
    pub(crate) fn bytes<const N: usize>(&mut self, column: &'static str) -> Result<[u8; N], CorruptRow> {
        self.optional_bytes(column)?.ok_or(CorruptRow::new(column))
    }

    /// Reads a digest that may be absent.
    pub(crate) fn optional_digest(&mut self, column: &'static str) -> Result<Option<SecretDigest>, CorruptRow> {
        let bytes = self.optional_bytes(column)?;
        bytes.map(SecretDigest::from_bytes).transpose().map_err(CorruptRow::because(column))
    }

    /// Reads a digest.
    pub(crate) fn digest(&mut self, column: &'static str) -> Result<SecretDigest, CorruptRow> {
        self.optional_digest(column)?.ok_or(CorruptRow::new(column))
    }
}

/// Reads each row.
pub(crate) fn each<T>(
    place: &Place,
    rows: &[Row],
    read: impl Fn(&mut Columns<'_>) -> Result<T, CorruptRow>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| row.read(&read)).collect::<Result<_, _>>().map_err(|fault| place.corrupt(fault))
}

/// Reads the first row, if there is one.
pub(crate) fn first<T>(
    place: &Place,
    rows: &[Row],
    read: impl FnOnce(&mut Columns<'_>) -> Result<T, CorruptRow>,
) -> Result<Option<T>, StoreError> {
    rows.first().map(|row| row.read(read)).transpose().map_err(|fault| place.corrupt(fault))
}
