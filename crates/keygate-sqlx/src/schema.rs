//! The tables: their migrations, and the versions that a release can work with.

use core::time::Duration;
use std::borrow::Cow;

use crate::{
    database::{Database, Transaction},
    error::OpenError,
    query::{Query, first},
    settings::TablePrefix,
    sql,
};

/// A step towards the present tables, for services that run migrations with a tool of their own.
///
/// Run each once, in the order of the versions, in a transaction of its own. It notes its version in the table
/// `keygate_schema`, where the store looks for it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Migration {
    /// Its number, from 1.
    pub version: u64,
    /// Its statements, separated by semicolons.
    pub sql: Cow<'static, str>,
}

/// Tables that belong together and have a version of their own, with the files that make them. New files are appended;
/// one that was released is not edited any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    name: &'static str,
    files: &'static [&'static str],
}

impl Part {
    pub(crate) const fn new(name: &'static str, files: &'static [&'static str]) -> Self {
        Self { name, files }
    }

    /// Writes the migrations with the names of the tables in them.
    pub(crate) fn migrations(self, prefix: &TablePrefix) -> Vec<Migration> {
        let numbered = (1..).zip(self.files);
        numbered.map(|(version, sql)| Migration { version, sql: prefix.apply(sql) }).collect()
    }

    /// Brings the tables up to date. Several processes may do this at once.
    pub(crate) async fn migrate<D: Database>(self, database: &D) -> Result<(), OpenError> {
        match self.check(database).await {
            Err(OpenError::NoTables { .. } | OpenError::TablesTooOld { .. }) => {}
            // A service without the right to create tables can also call this, as long as there is nothing to do.
            answer => return answer,
        }
        let mut transaction = database.begin(Some(PATIENCE)).await?;
        transaction.run(Query::new(D::SQL.lock_schema)).await?;
        transaction.run(Query::new(sql::MAKE_SCHEMA)).await?;
        let rows = transaction.run(Query::new(sql::SCHEMA).with(self.name)).await?;
        let found = first(database.place(), &rows, |row| row.count("version"))?.unwrap_or(0);
        for (_, file) in (1..).zip(self.files).filter(|(version, _)| *version > found) {
            transaction.run_file(file).await?;
        }
        transaction.commit().await?;
        self.check(database).await
    }

    /// Refuses tables that this release cannot work with: it takes those of its version, and those of a later version
    /// that names it as a release that can.
    pub(crate) async fn check<D: Database>(self, database: &D) -> Result<(), OpenError> {
        let (place, part) = (database.place().clone(), self.name);
        let rows = match database.read(Query::read(D::SQL.reads.schema).with(part)).await {
            Err(error) if error.is_missing_table() => Vec::new(),
            answer => answer?,
        };
        let versions = first(&place, &rows, |row| Ok((row.count("version")?, row.count("oldest")?)))?;
        let known = u64::try_from(self.files.len()).unwrap_or(u64::MAX);
        match versions {
            None => {
                let search_path = match D::SQL.search_path {
                    Some(sql) => first(&place, &database.read(Query::new(sql)).await?, |row| {
                        row.text("search_path").map(str::to_owned)
                    })?,
                    None => None,
                };
                Err(OpenError::NoTables { database: place, prefix: database.prefix().clone(), part, search_path })
            }
            Some((found, _)) if found < known => {
                Err(OpenError::TablesTooOld { database: place, part, found, needed: known })
            }
            Some((_, needed)) if needed > known => {
                Err(OpenError::TablesTooNew { database: place, part, needed, known })
            }
            Some(_) => Ok(()),
        }
    }
}

/// How long migrations may take, with the time that others have the lock.
const PATIENCE: Duration = Duration::from_secs(60);
