//! The tables, and how they came about: one list of files for each database.

use std::borrow::Cow;

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The migrations in a folder. New ones are appended; one that was released is not edited any more.
macro_rules! migrations {
    ($folder:literal) => {
        $crate::migrations::migrator([
            ("keys", include_str!(concat!("../migrations/", $folder, "/0001_keys.sql"))),
            ("directory", include_str!(concat!("../migrations/", $folder, "/0002_directory.sql"))),
            ("events", include_str!(concat!("../migrations/", $folder, "/0003_events.sql"))),
        ])
    };
}

pub(crate) use migrations;

/// Numbers the migrations from 1.
pub(crate) fn migrator<const N: usize>(files: [(&'static str, &'static str); N]) -> Migrator {
    let migrations = (1..).zip(files).map(|(version, (name, sql))| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // The service may keep its own tables in the same database, and their migrations in sqlx's usual place.
    migrator.dangerous_set_table_name("keygate_migrations");
    migrator
}
