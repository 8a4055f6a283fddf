//! The person who is signed in.

use core::time::Duration;
use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{Method, request::Parts},
};
use keygate::{Actor, TeamId, TeamRole, UnixTime, UserId, UserStatus, store::Directory as _};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;

use super::{
    edge::Site,
    page::{Frame, Stop},
};
use crate::{
    api::caller::teams_of,
    app::App,
    platform::{Profile, Snapshot},
};

/// The name of the user's id in the session.
pub(super) const SIGNED_IN: &str = "signed_in";

#[derive(Clone, Debug, Deserialize, Serialize)]
struct SignedIn {
    user: UserId,
    /// Of one who left and came back, no old session counts.
    incarnation: i64,
    began_at: i64,
    seen_at: i64,
}

/// A user who is signed in, and still a user: the directory was asked for this request.
pub(super) struct Person {
    pub(super) user: UserId,
    /// Of one who left and comes back, this is another one.
    pub(super) incarnation: i64,
    pub(super) profile: Profile,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) now: UnixTime,
    /// How the URLs of this server begin, as the person reached it.
    pub(super) base: String,
}

impl Person {
    /// Begins a session, under an id that nobody had before. It is in the database when this returns.
    pub(super) async fn begin(session: &Session, user: UserId, incarnation: i64, now: UnixTime) -> Result<(), Stop> {
        session.clear().await;
        session.cycle_id().await?;
        let (began_at, seen_at) = (now.as_secs(), now.as_secs());
        session.insert(SIGNED_IN, SignedIn { user, incarnation, began_at, seen_at }).await?;
        Ok(session.save().await?)
    }

    pub(super) fn actor(&self) -> Actor {
        Actor::User(self.user.clone())
    }

    /// Returns the teams in which the person has such a role.
    pub(super) async fn teams(&self, app: &App, role: TeamRole) -> Result<Vec<TeamId>, Stop> {
        Ok(teams_of(app, &self.user, &self.snapshot, |found| found == role).await?)
    }

    /// Returns the teams in which the person is: no other team exists for them.
    pub(super) async fn own_teams(&self, app: &App) -> Result<Vec<TeamId>, Stop> {
        Ok(teams_of(app, &self.user, &self.snapshot, |role| role != TeamRole::Outsider).await?)
    }

    /// Returns what is around a page.
    pub(super) fn frame(&self, title: &str, section: &'static str) -> Frame {
        let person = Some((self.profile.name.clone(), self.profile.is_administrator));
        Frame { title: title.into(), section, person }
    }

    /// # Errors
    ///
    /// If the person is no administrator.
    pub(super) const fn administrator(&self) -> Result<(), Stop> {
        if self.profile.is_administrator { Ok(()) } else { Err(Stop::AdministratorsOnly) }
    }
}

impl OptionalFromRequestParts<Arc<App>> for Person {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Stop> {
        let session: Session = parts.extensions.get().cloned().ok_or(Stop::Unavailable)?;
        let Some(mut signed_in) = session.get::<SignedIn>(SIGNED_IN).await? else { return Ok(None) };
        let now = UnixTime::now();
        let incarnation = match app.database.user(&signed_in.user).await? {
            UserStatus::Active { incarnation, .. } => incarnation.map(keygate::Incarnation::get),
            _ => None,
        };
        let is_over = now.as_secs() >= signed_in.began_at.saturating_add(LONGEST);
        if is_over || incarnation != Some(signed_in.incarnation) {
            session.flush().await?;
            return Ok(None);
        }
        // The idle end moves with what is written, so not each request writes.
        if now.saturating_sub(SEEN).as_secs() >= signed_in.seen_at {
            signed_in.seen_at = now.as_secs();
            session.insert(SIGNED_IN, &signed_in).await?;
        }
        let snapshot = app.platform.now()?;
        let SignedIn { user, incarnation, .. } = signed_in;
        let profile = snapshot.user(&user).cloned();
        let profile =
            profile.unwrap_or_else(|| Profile { name: user.to_string(), email: None, is_administrator: false });
        let Site(base) = parts.extensions.get().cloned().ok_or(Stop::Unavailable)?;
        Ok(Some(Self { user, incarnation, profile, snapshot, now, base }))
    }
}

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Stop> {
        let was_change = parts.method != Method::GET;
        let person = <Self as OptionalFromRequestParts<_>>::from_request_parts(parts, app).await?;
        person.ok_or(Stop::SignedOut { was_change })
    }
}

/// How long a session lives at most, in seconds.
const LONGEST: i64 = 12 * 3600;
/// How old the note of the last request may be.
const SEEN: Duration = Duration::from_secs(60);
