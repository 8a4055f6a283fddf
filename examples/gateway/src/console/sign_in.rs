//! Signing in by links that work once.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{ConnectInfo, FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use keygate::{RandomnessError, UnixTime, UserId, UserStatus, store::Directory as _};
use keygate_sqlx::StoreError;
use tower_sessions::Session;
use url::form_urlencoded::Serializer;

use super::{
    LINK_LIFETIME,
    form::{Query, hex},
    page::{Frame, Stop, ok, render},
    person::Person,
    words,
};
use crate::{
    app::App,
    database::{Database, execute, sql},
    platform::Snapshot,
    random,
};

/// The token of a link that signs somebody in.
pub(crate) struct Link(String);

/// Returns the URL of a link. The token stands in the query, which no log has.
pub(crate) fn link_url(base: &str, link: &Link) -> String {
    format!("{base}/console/sign-in?link={}", link.0)
}

/// Why no link was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Directory(#[from] StoreError),
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
}

/// The links in the database.
pub(crate) struct Links<'a>(&'a Database);

impl<'a> Links<'a> {
    pub(crate) const fn new(database: &'a Database) -> Self {
        Self(database)
    }

    /// Makes a link for a user as the server, in place of those before and of their sessions. Returns nothing if there
    /// is no such user.
    pub(crate) async fn make(&self, user: &UserId) -> Result<Option<Link>, LinkError> {
        self.make_by(user, None).await
    }

    /// As [`Links::make`]; what an administrator makes opens only while they are one.
    pub(super) async fn make_by(&self, user: &UserId, maker: Option<&Person>) -> Result<Option<Link>, LinkError> {
        let UserStatus::Active { incarnation: Some(incarnation), .. } = self.0.user(user).await? else {
            return Ok(None);
        };
        let token = random::hex::<32>()?;
        let end = UnixTime::now().saturating_add(LINK_LIFETIME).as_secs();
        let digest = hex(token.as_bytes());
        let insert = "INSERT INTO gateway_sign_in_links \
                      (digest, user_id, incarnation, made_by, made_by_incarnation, expires_at) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
        let made_by = maker.map(|maker| maker.user.as_str());
        let made_by_incarnation = maker.map(|maker| maker.incarnation);
        execute!(self.0, insert, &digest, user.as_str(), incarnation.get(), made_by, made_by_incarnation, end)?;
        // Afterwards: of two that are made at once, at most one stays.
        let others = "DELETE FROM gateway_sign_in_links WHERE user_id = $1 AND digest <> $2";
        execute!(self.0, others, user.as_str(), &digest)?;
        // A session that somebody else has ends as well.
        execute!(self.0, "DELETE FROM gateway_sessions WHERE user_id = $1", user.as_str())?;
        Ok(Some(Link(token)))
    }

    /// Returns whom a link signs in, if it opens.
    async fn find(&self, token: &str, now: UnixTime) -> Result<Option<(UserId, i64)>, Stop> {
        let find = "SELECT user_id, incarnation, made_by, made_by_incarnation FROM gateway_sign_in_links \
                    LEFT JOIN gateway_users ON id = made_by \
                    WHERE digest = $1 AND expires_at > $2 AND (made_by IS NULL OR is_administrator)";
        let found: Option<(String, i64, Option<String>, Option<i64>)> = sql!(self.0, pool =>
            sqlx::query_as(find).bind(hex(token.as_bytes())).bind(now.as_secs()).fetch_optional(pool))?;
        let Some((user, incarnation, maker, maker_incarnation)) = found else { return Ok(None) };
        let user: UserId = user.parse().map_err(|_| Stop::Unavailable)?;
        if !self.is_still(&user, incarnation).await? {
            return Ok(None);
        }
        if let (Some(maker), Some(incarnation)) = (maker, maker_incarnation) {
            let maker = maker.parse().map_err(|_| Stop::Unavailable)?;
            if !self.is_still(&maker, incarnation).await? {
                return Ok(None);
            }
        }
        Ok(Some((user, incarnation)))
    }

    /// Returns `true` if the user has not left since.
    async fn is_still(&self, user: &UserId, incarnation: i64) -> Result<bool, Stop> {
        Ok(self.0.user(user).await? == UserStatus::active_as(keygate::Incarnation::new(incarnation)))
    }

    /// Uses a link up. Of two who come at once, one gets `true`.
    async fn take(&self, token: &str) -> Result<bool, Stop> {
        let take = "DELETE FROM gateway_sign_in_links WHERE digest = $1";
        Ok(execute!(self.0, take, hex(token.as_bytes()))? == 1)
    }
}

/// The peer of the connection: the client, or a proxy.
pub(super) struct Peer(IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Stop;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Stop> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(peer)| peer.ip().to_canonical())))
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// The query that the button sends: the token of the link.
    query: String,
    /// The name of the user whom the link signs in, if it works.
    user: Option<String>,
    /// The name of the person who is signed in, if that is somebody else.
    other: Option<String>,
}

impl SignInPage {
    fn new(link: &str, user: Option<&UserId>, person: Option<&Person>, snapshot: &Snapshot) -> Self {
        let mut query = Serializer::new(String::new());
        query.append_pair("link", link);
        let person = person.filter(|person| user.is_some_and(|user| person.user != *user));
        query.extend_pairs(person.map(|person| ("leave", person.user.as_str())));
        Self {
            frame: Frame { title: "Sign in".into(), section: "", person: None },
            query: query.finish(),
            user: user.map(|user| words::user_name(user, None, snapshot)),
            other: person.map(|person| person.profile.name.clone()),
        }
    }
}

/// Shows a button. Whatever opens links before a person does, such as a mail scanner, uses nothing up.
pub(super) async fn show(
    State(app): State<Arc<App>>,
    person: Option<Person>,
    Query(query): Query,
) -> Result<Response, Stop> {
    let Some(link) = query.text("link") else { return Err(Stop::SignedOut { was_change: false }) };
    let found = Links::new(&app.database).find(link, UnixTime::now()).await?;
    let user = found.as_ref().map(|(user, _)| user);
    Ok(ok(&SignInPage::new(link, user, person.as_ref(), &*app.platform.now()?)))
}

/// Signs in. The token is in the query, as where the button was shown: of a stranger, no body is waited for.
///
/// Attempts are not counted. A token has 256 bits, which nobody guesses; and behind a proxy, where all have one
/// address, a count would let anybody lock all others out.
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    session: Session,
    Peer(peer): Peer,
    person: Option<Person>,
    Query(query): Query,
) -> Result<Response, Stop> {
    let now = UnixTime::now();
    let links = Links::new(&app.database);
    let link = query.text("link").unwrap_or_default();
    let Some((user, incarnation)) = links.find(link, now).await? else { return Err(void()) };
    // A link of somebody else could put one who is signed in into another account: they have to be told before.
    if let Some(person) = person.filter(|person| person.user != user && !query.has("leave", person.user.as_str())) {
        let page = SignInPage::new(link, Some(&user), Some(&person), &person.snapshot);
        return Ok(render(StatusCode::CONFLICT, &page));
    }
    // First the session: where none can begin, the link is not used up.
    Person::begin(&session, user.clone(), incarnation, now).await?;
    if !links.take(link).await? {
        session.flush().await?;
        return Err(void());
    }
    tracing::info!(%user, %peer, "signed in");
    Ok(Redirect::to("/console").into_response())
}

fn void() -> Stop {
    let text = "This link was used before, or it is more than a day old. Ask an administrator for another one.";
    Stop::wrong(StatusCode::FORBIDDEN, text)
}

pub(super) async fn sign_out(session: Session) -> Result<Response, Stop> {
    session.flush().await?;
    Ok(Redirect::to("/console/sign-in").into_response())
}
