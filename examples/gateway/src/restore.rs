//! The log, exported away from the database, and what to do with it after a backup was restored.

use core::{error::Error, iter};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use keygate::{KeyId, KeyManager, System, audit::EventId};
use keygate_sqlx::{LogQuery, LoggedEvent, revoke_again};

use crate::{config::Config, database::Database};

/// Appends to the file what the log has behind its last line, and returns how many events that were. A last line that
/// was cut off is written again.
pub(crate) async fn export(database: &Database, path: &Path) -> Result<usize, Box<dyn Error>> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    // Of two exports at once, one waits: it would cut off what the other writes.
    file.lock()?;
    let (mut exported, mut query) = (BTreeMap::new(), LogQuery::new());
    let whole = each_line(&mut file, |line| {
        query.after = Some(line.sequence);
        exported.insert(line.sequence, line.event.id);
    })?;
    if let Some(last) = query.after {
        query.after = last_in_common(database, &exported, last).await?;
    }
    file.set_len(whole)?;
    file.seek(SeekFrom::End(0))?;
    let mut count = 0_usize;
    loop {
        let events = database.events(&query).await?;
        let Some(last) = events.last() else { break };
        query.after = Some(last.sequence);
        count = count.saturating_add(events.len());
        let mut lines = Vec::new();
        for logged in &events {
            serde_json::to_writer(&mut lines, logged)?;
            lines.push(b'\n');
        }
        file.write_all(&lines)?;
    }
    file.sync_all()?;
    Ok(count)
}

/// Returns behind which event the database has what the export lacks. After a backup was restored that is not the last
/// one: other events have its number, or none has.
async fn last_in_common(
    database: &Database,
    exported: &BTreeMap<u64, Option<EventId>>,
    last: u64,
) -> Result<Option<u64>, Box<dyn Error>> {
    let is_exported = |logged: &LoggedEvent| exported.get(&logged.sequence) == Some(&logged.event.id);
    let mut query = LogQuery::new();
    query.after = last.checked_sub(1);
    if database.events(&query).await?.first().is_some_and(|first| first.sequence == last && is_exported(first)) {
        return Ok(Some(last));
    }
    query.after = None;
    loop {
        let events = database.events(&query).await?;
        let common = events.iter().take_while(|logged| is_exported(logged));
        let is_end = events.is_empty() || common.clone().count() < events.len();
        query.after = common.last().map(|logged| logged.sequence).or(query.after);
        if is_end {
            return query.after.map(Some).ok_or_else(|| "the export is of another database".into());
        }
    }
}

/// Says that the database was restored from a backup, so that every cache forgets what it has, and revokes again what
/// the export says was revoked. Sessions and links end: some of them were of people who left since. Doing it twice does
/// nothing more.
pub(crate) async fn restored(
    config: &Config,
    database: &Database,
    export: &Path,
) -> Result<Vec<KeyId>, Box<dyn Error>> {
    let mut events = Vec::new();
    each_line(&mut File::open(export)?, |line| events.push(line.event))?;
    database.begin_new_life().await?;
    database.end_sessions().await?;
    let keys = KeyManager::new(config.issuer, database.clone());
    revoke_again(&keys, &System::new("restored a backup")?, events).await.map_err(|not_all| {
        let failed = not_all.failed.iter().map(|(event, why)| {
            let causes = iter::successors(Some(why as &dyn Error), |cause: &&dyn Error| (*cause).source());
            let why = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            format!("\n  {}: {why}", event.key.map_or_else(|| "an event without a key".into(), |id| id.to_string()))
        });
        format!("{not_all}; their keys may open: mend the cause, and repeat this{}", failed.collect::<String>()).into()
    })
}

/// Reads the lines, and returns how many bytes the whole ones are.
fn each_line(file: &mut File, mut act: impl FnMut(LoggedEvent)) -> Result<u64, Box<dyn Error>> {
    let (mut reader, mut text, mut whole) = (BufReader::new(file), String::new(), 0_u64);
    while reader.read_line(&mut text)? > 0 && text.ends_with('\n') {
        let line = serde_json::from_str(&text).map_err(|error| {
            io::Error::other(format!("the export has a line that is no event, at byte {whole}: {:?}", error.classify()))
        })?;
        act(line);
        whole = whole.saturating_add(u64::try_from(text.len())?);
        text.clear();
    }
    Ok(whole)
}
