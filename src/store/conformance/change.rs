//! Changes as values, so that tables and races can be made of them.

use super::{report::Outcome, subject::Subject};
use crate::{
    digest::SecretDigest,
    id::KeyId,
    name::KeyName,
    record::{PreviousChange, RecordParts, SecretChange, Status},
    store::Changed,
    time::UnixTime,
};

/// A change of one key.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Disable,
    Enable,
    EndOverlap,
    Rename(KeyName),
    Revoke(UnixTime),
    Rotate { expected: SecretDigest, current: SecretDigest, previous: PreviousChange },
    Touch { used_at: UnixTime, now: UnixTime },
}

/// What a store responses; only a revocation answers a time.
pub(super) type Answer = Changed<Option<UnixTime>>;

impl Change {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::EndOverlap => "end_overlap",
            Self::Rename(_) => "rename",
            Self::Revoke(_) => "revoke",
            Self::Rotate { .. } => "rotate",
            Self::Touch { .. } => "touch",
        }
    }

    /// Asks `store` to make the change.
    pub(super) async fn ask(self, store: &Subject, id: KeyId) -> Outcome<Answer> {
        let changed = match self {
            Self::Disable => store.disable(id).await?,
            Self::Enable => store.enable(id).await?,
            Self::EndOverlap => store.end_overlap(id).await?,
            Self::Rename(name) => store.rename(id, name).await?,
            Self::Revoke(at) => return Ok(store.revoke(id, at).await?.map(Some)),
            Self::Rotate { expected, current, previous } => {
                store.rotate(SecretChange { id, expected, current, previous }).await?
            }
            Self::Touch { used_at, now } => {
                store.touch(id, used_at, now).await?;
                Ok(())
            }
        };
        Ok(changed.map(|()| None))
    }

    /// Does to the expected record what the change does if it is not refused.
    pub(super) fn apply(&self, expected: &mut RecordParts) {
        match self {
            Self::Disable => expected.status = Status::Disabled,
            Self::Enable => expected.status = Status::Active,
            Self::EndOverlap => expected.previous = None,
            Self::Rename(name) => expected.name = name.clone(),
            Self::Revoke(at) => expected.status = Status::Revoked { at: *at },
            Self::Rotate { current, previous, .. } => {
                expected.current = *current;
                match previous {
                    PreviousChange::Clear => expected.previous = None,
                    PreviousChange::Keep => {}
                    PreviousChange::Set(previous) => expected.previous = Some(*previous),
                }
            }
            Self::Touch { used_at, now } => {
                expected.last_used_at = expected.last_used_at.max(Some(*used_at.min(now)));
            }
        }
    }

    /// The answer where the change is done.
    pub(super) const fn done(&self) -> Answer {
        match self {
            Self::Revoke(at) => Ok(Some(*at)),
            _ => Ok(None),
        }
    }
}
