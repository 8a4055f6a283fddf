//! A service with existing keys moves here: the old table is imported, and its users notice nothing. Then one key
//! is upgraded, one rotated to a token, and one revoked.
//!
//! ```text
//! cargo run --example migrate --all-features
//! ```
//!
//! It prints, each time the same:
//!
//! ```text
//! Import:
//!   My Laptop!      imported as my-laptop, 6jgsrqhhmITfDE78
//!   my laptop       imported as my-laptop-2, KGJyYbCDNYQHBuDV
//!   nightly batch   imported as nightly-batch, jcTimt2BaroLPeSU
//!   partner         imported as partner, SpMXQIx2vm99qaXt
//!   left behind     left out: it was revoked
//!   from 2019       not imported: a slow hash would be computed for each request: import the key when it is presented, or replace it
//!
//! Again, since the first run might have broken off:
//!   are there already: My Laptop!, my laptop, nightly batch, partner
//!
//! What the users have been sending all along:
//!   laptop          allowed, current:  sha512-v1
//!   batch           allowed, current:  sha512-v1
//!   partner         allowed, current:  sha256-v1
//!   left behind     not authenticated: invalid_key
//!   laptop, guessed not authenticated: invalid_key
//!
//! The laptop's key was presented, so a digest of its text is saved:
//!   upgraded
//!   nothing to upgrade
//!   laptop          allowed, current:  legacy-v1
//!
//! The batch job gets a token, and a day to deploy it:
//!   acmet1_jcTimt2BaroLPeSU_[shown once]
//!   batch, token    allowed, current:  v1
//!   batch, old key  allowed, previous: sha512-v1
//! a day later:
//!   batch, token    allowed, current:  v1
//!   batch, old key  not authenticated: invalid_key
//!
//! The partner's key is revoked:
//!   partner         denied: revoked
//! ```
#![expect(clippy::print_stdout, reason = "the table is the point")]

use core::{
    convert::Infallible,
    error::Error,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use std::{collections::BTreeMap, sync::Arc};

use keygate::{
    Action, Actor, EnvironmentScope, Gate, Grant, Issuer, KeyId, KeyManager, ManageError, MemoryDirectory, MemoryStore,
    ModelScope, Permission, Request, RevocationCause, Rotation, System, SystemRandomness, TeamRole, UnixTime, Validity,
    Verdict,
    legacy::{LegacyFormat, LegacyHash, StoredHash, Symbols},
    manage::Import,
    store::Conflict,
};

const ACME: Issuer = Issuer::from_static("acme");

/// The formats of the old keys: those of a framework, and those of the time before it.
static FORMATS: [LegacyFormat; 2] =
    [LegacyFormat::prefix_secret(LegacyHash::Sha512), LegacyFormat::opaque("old_live_", Symbols::Alphanumeric, 24, 24)];

/// A row of the old table.
struct OldKey {
    prefix: Option<&'static str>,
    hash: &'static str,
    owner: OldOwner,
    name: &'static str,
    created_at: i64,
    /// In seconds; 0 and -1 mean "never".
    expires_at: i64,
    revoked: bool,
}

enum OldOwner {
    User(&'static str),
    Team(&'static str),
}

/// The rows of the old database. Only the users have the texts.
const OLD_TABLE: &[OldKey] = &[
    OldKey {
        prefix: Some("Xj6zVG9w"),
        hash: "sha512$$\
            e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
            6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d",
        owner: OldOwner::User("ada"),
        name: "My Laptop!",
        created_at: 1_600_000_000,
        expires_at: 0,
        revoked: false,
    },
    OldKey {
        prefix: Some("Ht4uE9xA"),
        hash: "sha512$$\
            1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f53\
            02860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75",
        owner: OldOwner::User("ada"),
        name: "my laptop",
        created_at: 1_620_000_000,
        expires_at: 0,
        revoked: false,
    },
    OldKey {
        prefix: Some("b7KqTn2c"),
        hash: "sha512$$\
            8708a6510f3ac87b3443a05daecd80a28c7a714e293e1e89ee6dd7e4cf668c31\
            02951d74832cfb71b0991599f5ef7e5848662de5465d81a85935a573673a2f3f",
        owner: OldOwner::Team("core"),
        name: "nightly batch",
        created_at: 1_650_000_000,
        expires_at: -1,
        revoked: false,
    },
    OldKey {
        prefix: None,
        hash: "76c29995bb22f5af52d3be56db2e0cdc00123026164d11e6e99342daf9efa664",
        owner: OldOwner::Team("core"),
        name: "partner",
        created_at: 1_500_000_000,
        expires_at: 1_760_000_000,
        revoked: false,
    },
    OldKey {
        prefix: Some("Zp0aR5eD"),
        hash: "sha512$$\
            4cd8240f9ee21ec2c665c048e1566f908f328058385813497db5d34492c0c4d9\
            ba9a144e4fd81fb3d27257885d2601cb9a80981092c5225e59ad3406107e11a6",
        owner: OldOwner::Team("core"),
        name: "left behind",
        created_at: 1_550_000_000,
        expires_at: 0,
        revoked: true,
    },
    OldKey {
        prefix: Some("m3VwYs8H"),
        hash: "pbkdf2_sha256$216000$tXb3Cq0hYkJZ$5cCn2lYw7oF5k3uW0kXl1n1b7x5N2f1c2jv9v8Qp1yE=",
        owner: OldOwner::User("ada"),
        name: "from 2019",
        created_at: 1_560_000_000,
        expires_at: 0,
        revoked: false,
    },
];

/// The keys that the users send.
const LAPTOP: &str = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
const BATCH: &str = "b7KqTn2c.Gd5Xw1Lr9TzUe0PvNa4Ms7JbYi3Fh8Ck";
const PARTNER: &str = "old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf";
const LEFT_BEHIND: &str = "Zp0aR5eD.Qn6Vt2Hy8KdWs4Ju1MfXc9Ob5Rg3Le7A";

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let service = Service::new()?;

    println!("Import:");
    let mut ids = BTreeMap::new();
    for row in OLD_TABLE {
        match service.import(row).await {
            Ok(None) => println!("  {:15} left out: it was revoked", row.name),
            Err(error) => println!("  {:15} not imported: {error}", row.name),
            Ok(Some((id, name))) => {
                println!("  {:15} imported as {name}, {id}", row.name);
                ids.insert(name, id);
            }
        }
    }

    println!("\nAgain, since the first run might have broken off:");
    let mut there = Vec::new();
    for row in OLD_TABLE {
        match service.import(row).await.map_err(|error| error.downcast::<Failed>()) {
            Err(Ok(error)) if *error == ManageError::Conflict(Conflict::IdTaken) => there.push(row.name),
            _ => {}
        }
    }
    println!("  are there already: {}", there.join(", "));

    println!("\nWhat the users have been sending all along:");
    for (name, text) in [("laptop", LAPTOP), ("batch", BATCH), ("partner", PARTNER), ("left behind", LEFT_BEHIND)] {
        service.call(name, text).await?;
    }
    service.call("laptop, guessed", "Xj6zVG9w.00000000000000000000000000000000").await?;

    println!("\nThe laptop's key was presented, so a digest of its text is saved:");
    service.upgrade(LAPTOP).await?;
    service.call("laptop", LAPTOP).await?;

    println!("\nThe batch job gets a token, and a day to deploy it:");
    let batch = *ids.get("nightly-batch").ok_or("it was imported")?;
    let overlap = Rotation::Start { overlap: DAY };
    let token = service.keys.rotate(&Actor::from(service.system.clone()), batch, overlap).await?.token;
    println!("  {}_[shown once]", token.public());
    service.call("batch, token", token.expose_secret()).await?;
    service.call("batch, old key", BATCH).await?;
    service.clock.wait(DAY);
    println!("a day later:");
    service.call("batch, token", token.expose_secret()).await?;
    service.call("batch, old key", BATCH).await?;

    println!("\nThe partner's key is revoked:");
    let partner = *ids.get("partner").ok_or("it was imported")?;
    service.keys.revoke(&service.system.clone().into(), partner, RevocationCause::Requested).await?;
    service.call("partner", PARTNER).await?;
    Ok(())
}

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

type Failed = ManageError<Infallible, Infallible>;

struct Service {
    keys: KeyManager<MemoryStore, MemoryDirectory>,
    gate: Gate<MemoryStore, MemoryDirectory>,
    system: System,
    clock: Clock,
}

impl Service {
    fn new() -> Result<Self, Box<dyn Error>> {
        let (store, directory, clock) = (MemoryStore::new(), MemoryDirectory::new(), Clock::default());
        directory.set_member("ada".parse()?, "core".parse()?, TeamRole::Member);
        Ok(Self {
            keys: KeyManager::with_parts(ACME, store.clone(), clock.reader(), SystemRandomness)
                .with_directory(directory.clone()),
            gate: Gate::with_clock(ACME, store, clock.reader()).with_directory(directory).with_legacy(&FORMATS),
            system: System::new("import of the old keys")?,
            clock,
        })
    }

    /// Imports what can be imported, and returns its id and its name here.
    async fn import(&self, row: &OldKey) -> Result<Option<(KeyId, String)>, Box<dyn Error>> {
        if row.revoked {
            return Ok(None);
        }
        // A hash that cannot be imported is refused here.
        let hash: StoredHash = row.hash.parse()?;
        let [framework, before] = FORMATS;
        let format = if row.prefix.is_some() { framework } else { before };
        let key = format.stored(row.prefix, hash)?;
        // The permission of a key is chosen now: in the old table, each could do everything.
        let grant = match row.owner {
            OldOwner::User(user) => Grant::personal(user.parse()?),
            OldOwner::Team(team) => {
                let (environments, models) = (EnvironmentScope::All, ModelScope::All);
                Grant::team(team.parse()?, Permission::inference_only(environments, models))
            }
        };
        // A number that means "never" is no time; and a key that never expired gets an expiry now.
        let end = match row.expires_at {
            0 | -1 => self.clock.now().saturating_add(YEAR),
            seconds => UnixTime::from_secs(seconds),
        };
        // Names are unique among the keys of one owner, and old ones may differ only in what a name here does not have:
        // the first row gets the name, the next ones a number after it.
        let words = key_name(row.name);
        let numbered = (2..).map(|number| format!("{words}-{number}"));
        for name in core::iter::once(words.clone()).chain(numbered) {
            let created_at = UnixTime::from_secs(row.created_at);
            let import = Import::new(key, grant.clone(), name.parse()?, Validity::until(end), created_at);
            match self.keys.import(&self.system, import).await {
                Err(ManageError::Conflict(Conflict::NameTaken)) => {}
                imported => return Ok(Some((imported?, name))),
            }
        }
        Ok(None)
    }

    /// Asks whether `text` may call a model, and prints its details.
    async fn call(&self, who: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let action = Action::call("m1aaaaaa".parse()?, Some("production".parse()?));
        let outcome = match self.gate.check(text, &Request::new("core".parse()?, action)).await? {
            Verdict::Allowed(allowed) => {
                let key = allowed.key();
                format!("allowed, {:9} {}", format!("{}:", key.slot()), key.matched().algorithm())
            }
            Verdict::Denied { denial, .. } => format!("denied: {}", denial.reason()),
            Verdict::Unauthenticated(unauthenticated) => format!("not authenticated: {}", unauthenticated.as_str()),
            _ => "not allowed".to_owned(),
        };
        println!("  {who:15} {outcome}");
        Ok(())
    }

    /// The work of a service off the request's path, after a key was authenticated.
    async fn upgrade(&self, text: &str) -> Result<(), Box<dyn Error>> {
        let key = self.gate.authenticate(text).await?;
        for _ in 0..2 {
            let is_upgraded = self.keys.upgrade(key.matched()).await?;
            println!("  {}", if is_upgraded { "upgraded" } else { "nothing to upgrade" });
        }
        Ok(())
    }
}

/// Makes a name of what people typed: lower-case letters, digits and single hyphens.
fn key_name(name: &str) -> String {
    let words = name.split(|symbol: char| !symbol.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// A clock that moves only when the example moves it, so that each run prints the same.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_750_000_000)))
    }
}

impl Clock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn wait(&self, time: Duration) {
        self.0.store(self.now().saturating_add(time).as_secs(), Ordering::Relaxed);
    }

    fn reader(&self) -> impl Fn() -> UnixTime + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}
