//! A service that has keys moves here: what an old table holds is imported, and its users notice nothing. Then one key
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
//!   my-laptop       imported as Zuy4q7Aj9J6XjZmp
//!   nightly-batch   imported as 3fW1NyeLvzLQnAYv
//!   partner         imported as nvkPmVwCn0GLfAKV
//!   left-behind     left out: it was revoked
//!   from-2019       not imported: a slow hash would be computed for each request: import the key when it is presented, or replace it
//!
//! Again, since the first run might have broken off:
//!   are there already: My Laptop!, nightly batch, partner
//!
//! What the users have been sending all along:
//!   laptop          allowed, current: sha512-v1
//!   batch           allowed, current: sha512-v1
//!   partner         allowed, current: sha256-v1
//!   left behind     not authenticated: invalid_key
//!   laptop, guessed not authenticated: invalid_key
//!
//! The laptop's key was presented, so a digest of its text is saved:
//!   upgraded
//!   nothing to upgrade
//!   laptop          allowed, current: legacy-v1
//!
//! The batch job gets a token, and a day to deploy it:
//!   acmet1_3fW1NyeLvzLQnAYv_[shown once]
//!   batch, token    allowed, current: v1
//!   batch, old key  allowed, previous: sha512-v1
//! a day later:
//!   batch, token    allowed, current: v1
//!   batch, old key  not authenticated: invalid_key
//!
//! The partner's key is revoked:
//!   partner         denied: revoked
//! ```
#![expect(clippy::print_stdout, reason = "the table is the point")]

use core::{convert::Infallible, error::Error, time::Duration};
use std::{collections::BTreeMap, sync::Arc};

use keygate::{
    Action, Actor, Conflict, Create, EnvironmentScope, Gate, Grant, Import, Issuer, KeyId, KeyManager, KeyRecord,
    KeyStore, ManageError, Membership, MemoryDirectory, MemoryStore, ModelScope, Permission, Request, Revoke, Rotate,
    Rotation, SysRng, UnixTime, Validity, Verdict, authorize_operation,
    legacy::{LegacyFormat, LegacyHash, StoredHash, Symbols},
};

const ACME: Issuer = Issuer::from_static("acme");

/// What the old keys look like: those of a framework, and those of the time before it.
static FORMATS: [LegacyFormat; 2] =
    [LegacyFormat::prefix_secret(LegacyHash::Sha512), LegacyFormat::opaque("old_live_", Symbols::Alphanumeric, 24, 24)];

/// A row of the old table.
struct OldKey {
    prefix: Option<&'static str>,
    hash: &'static str,
    owner: OldOwner,
    name: &'static str,
    created_at: i64,
    revoked: bool,
}

enum OldOwner {
    User(&'static str),
    Team(&'static str),
}

/// What was in the database. Nobody has the texts but the users.
const OLD_TABLE: &[OldKey] = &[
    OldKey {
        prefix: Some("Xj6zVG9w"),
        hash: "sha512$$\
            e67d5c3e906597d7d95b15fddd18c92c1df1d1ad08904eb59b38230da71f9ceb\
            6b8bdfccd5b221dea785c203e676829f092306afe1c9cd7fa8d0ffe785e3761d",
        owner: OldOwner::User("ada"),
        name: "My Laptop!",
        created_at: 1_600_000_000,
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
        revoked: false,
    },
    OldKey {
        prefix: None,
        hash: "76c29995bb22f5af52d3be56db2e0cdc00123026164d11e6e99342daf9efa664",
        owner: OldOwner::Team("core"),
        name: "partner",
        created_at: 1_500_000_000,
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
        revoked: true,
    },
    OldKey {
        prefix: Some("m3VwYs8H"),
        hash: "pbkdf2_sha256$216000$tXb3Cq0hYkJZ$5cCn2lYw7oF5k3uW0kXl1n1b7x5N2f1c2jv9v8Qp1yE=",
        owner: OldOwner::User("ada"),
        name: "from 2019",
        created_at: 1_560_000_000,
        revoked: false,
    },
];

/// What the users send.
const LAPTOP: &str = "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK";
const BATCH: &str = "b7KqTn2c.Gd5Xw1Lr9TzUe0PvNa4Ms7JbYi3Fh8Ck";
const PARTNER: &str = "old_live_4dUQ1mRkTz0bYcN8sWvLx2Hf";
const LEFT_BEHIND: &str = "Zp0aR5eD.Qn6Vt2Hy8KdWs4Ju1MfXc9Ob5Rg3Le7A";

fn main() -> Result<(), Box<dyn Error>> {
    pollster::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let service = Service::new()?;
    let mut now = UnixTime::from_secs(1_750_000_000);

    println!("Import:");
    let mut ids = BTreeMap::new();
    for row in OLD_TABLE {
        let name = key_name(row.name);
        match service.import(row, now).await {
            Ok(None) => println!("  {name:15} left out: it was revoked"),
            Err(error) => println!("  {name:15} not imported: {error}"),
            Ok(Some(id)) => {
                println!("  {name:15} imported as {id}");
                ids.insert(name, id);
            }
        }
    }

    println!("\nAgain, since the first run might have broken off:");
    let mut there = Vec::new();
    for row in OLD_TABLE {
        let outcome = service.import(row, now).await.map_err(|error| error.downcast::<ManageError<Infallible>>());
        match outcome {
            Err(Ok(error)) if *error == ManageError::Conflict(Conflict::IdTaken) => there.push(row.name),
            _ => {}
        }
    }
    println!("  are there already: {}", there.join(", "));

    println!("\nWhat the users have been sending all along:");
    for (name, text) in [("laptop", LAPTOP), ("batch", BATCH), ("partner", PARTNER), ("left behind", LEFT_BEHIND)] {
        service.call(name, text, now).await?;
    }
    service.call("laptop, guessed", "Xj6zVG9w.00000000000000000000000000000000", now).await?;

    println!("\nThe laptop's key was presented, so a digest of its text is saved:");
    service.upgrade(LAPTOP, now).await?;
    service.call("laptop", LAPTOP, now).await?;

    println!("\nThe batch job gets a token, and a day to deploy it:");
    let batch = service.find(*ids.get("nightly-batch").ok_or("it was imported")?).await?;
    let overlap = Rotation::Start { overlap: Duration::from_secs(86_400) };
    let permit = authorize_operation(&service.system, Rotate(batch), None, now)?;
    let token = service.manager.rotate(permit, overlap, &mut SysRng, now).await?.token;
    println!("  {}_[shown once]", token.public());
    service.call("batch, token", token.expose_secret(), now).await?;
    service.call("batch, old key", BATCH, now).await?;
    now = now.saturating_add(Duration::from_secs(86_400));
    println!("a day later:");
    service.call("batch, token", token.expose_secret(), now).await?;
    service.call("batch, old key", BATCH, now).await?;

    println!("\nThe partner's key is revoked:");
    let partner = service.find(*ids.get("partner").ok_or("it was imported")?).await?;
    service.manager.revoke(authorize_operation(&service.system, Revoke(partner), None, now)?, now).await?;
    service.call("partner", PARTNER, now).await?;
    Ok(())
}

struct Service {
    gate: Gate,
    manager: KeyManager<MemoryStore>,
    directory: MemoryDirectory,
    system: Actor<'static>,
}

impl Service {
    fn new() -> Result<Self, Box<dyn Error>> {
        let directory = MemoryDirectory::new();
        directory.set_member("ada".parse()?, "core".parse()?, Membership::Member);
        Ok(Self {
            gate: Gate::new(ACME).accepting(&FORMATS),
            manager: KeyManager::new(ACME, MemoryStore::new()),
            directory,
            system: Actor::system("import of the old keys")?,
        })
    }

    /// Takes in what can be taken in.
    async fn import(&self, row: &OldKey, now: UnixTime) -> Result<Option<KeyId>, Box<dyn Error>> {
        if row.revoked {
            return Ok(None);
        }
        // A hash that cannot be imported is found out here.
        let hash: StoredHash = row.hash.parse()?;
        let [framework, before] = FORMATS;
        let format = if row.prefix.is_some() { framework } else { before };
        // What a key may do is decided now: in the old table, each could do everything.
        let grant = match row.owner {
            OldOwner::User(user) => Grant::Personal { user: user.parse()? },
            OldOwner::Team(team) => {
                let (environments, models) = (EnvironmentScope::All, ModelScope::All);
                Grant::Team { team: team.parse()?, permission: Permission::InferenceOnly { environments, models } }
            }
        };
        let import = Import {
            legacy_key: format.stored(row.prefix, hash)?,
            name: key_name(row.name).parse()?,
            validity: Validity::until(now.saturating_add(Duration::from_secs(365 * 86_400))),
            created_at: UnixTime::from_secs(row.created_at),
        };
        let permit = authorize_operation(&self.system, Create(grant), None, now)?;
        Ok(self.manager.import(permit, import, now).await?.key)
    }

    async fn find(&self, id: KeyId) -> Result<Arc<KeyRecord>, Box<dyn Error>> {
        Ok(self.manager.store().find(id).await?.ok_or("it was imported")?)
    }

    /// Asks whether `text` may call a model, and says what is known of it.
    async fn call(&self, who: &str, text: &str, now: UnixTime) -> Result<(), Box<dyn Error>> {
        let action = Action::Call { model: "m1aaaaaa".parse()?, environment: Some("production".parse()?) };
        let request = Request::new("core".parse()?, action);
        let verdict = self.gate.check(self.manager.store(), &self.directory, text, &request, now).await?;
        let outcome = match verdict {
            Verdict::Allowed(allowed) => {
                let key = allowed.key();
                format!("allowed, {:8} {}", format!("{:?}:", key.slot()).to_lowercase(), key.algorithm())
            }
            Verdict::Denied { denial, .. } => format!("denied: {}", denial.reason()),
            Verdict::Unauthenticated(unauthenticated) => format!("not authenticated: {}", unauthenticated.as_str()),
        };
        println!("  {who:15} {outcome}");
        Ok(())
    }

    /// What a service does off the request's path, after a key was verified.
    async fn upgrade(&self, text: &str, now: UnixTime) -> Result<(), Box<dyn Error>> {
        let key = self.gate.authenticate(self.manager.store(), text, now).await??;
        for _ in 0..2 {
            match self.manager.upgrade(&key, now).await? {
                Some(_) => println!("  upgraded"),
                None => println!("  nothing to upgrade"),
            }
        }
        Ok(())
    }
}

/// Makes a name of what people typed: lower-case letters, digits and single hyphens.
fn key_name(name: &str) -> String {
    let words = name.split(|symbol: char| !symbol.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}
