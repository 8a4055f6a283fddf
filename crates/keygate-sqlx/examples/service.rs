//! A service that checks keys on standard input, with keys, events and last uses in an SQLite file.
//!
//! ```sh
//! cargo run -p keygate-sqlx --features sqlite --example service -- keys.db --setup   # prints the first key
//! cargo run -p keygate-sqlx --features sqlite --example service -- keys.db           # reads keys, one a line
//! ```
#![expect(clippy::print_stdout, reason = "a program that answers on standard output")]

use core::error::Error;
use std::{env, io};

use keygate::{
    Actor, EnvironmentScope, Gate, Grant, Issuer, KeyManager, NewKeySpec, Permission, Validity,
    store::{KeyManagementStore, Touch},
};
use keygate_sqlx::{LogQuery, Settings, Sqlite, SqliteStore};

const ACME: Issuer = Issuer::from_static("acme");

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("the path of a file is missing")?;
    if env::args().nth(2).as_deref() == Some("--setup") {
        let database = Sqlite::create(&path, Settings::new()).await?;
        SqliteStore::migrate(&database).await?;
        let keys = KeyManager::new(ACME, SqliteStore::open(&database).await?);
        let grant = Grant::team("core".parse()?, Permission::full(EnvironmentScope::All));
        let spec = NewKeySpec::new(grant, "first".parse()?, Validity::NEVER_EXPIRES);
        let issued = keys.create(&Actor::system("first key")?, spec).await?;
        println!("{}", issued.token.expose_secret());
        return Ok(database.close().await?);
    }

    // No tables are made here, and no file: a wrong path is an error, and not a service that knows no key.
    let database = Sqlite::open(&path, Settings::new()).await?;
    let store = SqliteStore::open(&database).await?;
    let gate = Gate::new(ACME, store.clone());
    for line in io::stdin().lines() {
        match gate.authenticate(&line?).await {
            Ok(key) => {
                println!("key {} of {}", key.id(), key.grant().owner());
                store.touch(vec![Touch::new(key.id(), key.slot(), gate.now())], gate.now()).await?;
            }
            Err(error) => println!("{error}"),
        }
    }
    for logged in store.events(&LogQuery::new()).await? {
        println!("event {}: {}", logged.sequence, logged.event.kind.as_str());
    }
    Ok(database.close().await?)
}
