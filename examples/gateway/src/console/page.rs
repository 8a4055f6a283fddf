//! Pages, and error pages.

use askama::Template;
use axum::{
    http::StatusCode,
    response::{Html, IntoResponse, Response},
};
use keygate::{ManageError, http::Refusal};
use tracing::error;

use super::{assets, words};
use crate::{api::problem::Failure, platform::TooOld};

/// The frame of each page.
pub(super) struct Frame {
    pub(super) title: String,
    /// Which part of the navigation it belongs to.
    pub(super) section: &'static str,
    /// The person who is signed in, and whether they are an administrator.
    pub(super) person: Option<(String, bool)>,
}

impl Frame {
    fn stranger(title: &str) -> Self {
        Self { title: title.into(), section: "", person: None }
    }

    pub(super) fn style(&self) -> &str {
        &assets::STYLE.name
    }

    pub(super) fn script(&self) -> &str {
        &assets::SCRIPT.name
    }

    pub(super) fn icon(&self) -> &str {
        &assets::ICON.name
    }
}

pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            error!(%error, "a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) fn ok(page: &impl Template) -> Response {
    render(StatusCode::OK, page)
}

/// Why a page is not shown, or a change not made.
#[derive(Debug)]
pub(super) enum Stop {
    AdministratorsOnly,
    /// More forms are on their way than are read at once.
    Busy,
    NotFound,
    /// The request did not come from the pages.
    OtherSite,
    /// As the manager says.
    Refused(Refusal),
    /// A form that makes a secret came a second time.
    SentBefore {
        key: Option<String>,
    },
    SignedOut {
        was_change: bool,
    },
    Unavailable,
    Wrong {
        status: StatusCode,
        text: String,
    },
}

impl Stop {
    pub(super) fn wrong(status: StatusCode, text: impl Into<String>) -> Self {
        Self::Wrong { status, text: text.into() }
    }

    /// Says why, in words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Refused(refusal) => match refusal {
                Refusal::NotFound => NOT_FOUND.into(),
                Refusal::Unavailable => UNAVAILABLE.into(),
                other => words::refusal(other.reason().unwrap_or_default()),
            },
            Self::Wrong { text, .. } => text.clone(),
            Self::AdministratorsOnly => "Only administrators see this page.".into(),
            Self::Busy => "The server is busy. Nothing was changed: try again in a moment.".into(),
            Self::NotFound => NOT_FOUND.into(),
            Self::OtherSite => "Nothing was changed: the request came from another site.".into(),
            Self::SentBefore { .. } => "No second key was created.".into(),
            Self::SignedOut { .. } => "Your session has ended.".into(),
            Self::Unavailable => UNAVAILABLE.into(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::AdministratorsOnly | Self::OtherSite => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            // A refusal of keys is 401; this person is signed in.
            Self::Refused(refusal) if refusal.status() == StatusCode::UNAUTHORIZED => StatusCode::FORBIDDEN,
            Self::Refused(refusal) => refusal.status(),
            Self::SentBefore { .. } => StatusCode::CONFLICT,
            Self::SignedOut { .. } => StatusCode::UNAUTHORIZED,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Wrong { status, .. } => *status,
        }
    }

    const fn title(&self) -> &'static str {
        match self {
            Self::AdministratorsOnly | Self::OtherSite | Self::Refused(_) => "That did not go through",
            Self::NotFound => "Not found",
            Self::SentBefore { .. } => "This form was sent before",
            Self::SignedOut { .. } => "Sign in",
            Self::Busy | Self::Unavailable => "Not available now",
            Self::Wrong { .. } => "That does not fit",
        }
    }
}

#[derive(Template)]
#[template(path = "stop.html")]
struct StopPage {
    frame: Frame,
    text: String,
    is_signed_out: bool,
    was_change: bool,
    made: Option<String>,
    is_sent_before: bool,
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        let page = StopPage {
            frame: Frame::stranger(self.title()),
            text: self.text(),
            is_signed_out: matches!(self, Self::SignedOut { .. }),
            was_change: matches!(self, Self::SignedOut { was_change: true }),
            is_sent_before: matches!(self, Self::SentBefore { .. }),
            made: match &self {
                Self::SentBefore { key } => key.clone(),
                _ => None,
            },
        };
        render(self.status(), &page)
    }
}

impl<S: core::error::Error + 'static, D: core::error::Error + 'static> From<ManageError<S, D>> for Stop {
    fn from(error: ManageError<S, D>) -> Self {
        Self::Refused(Refusal::from(&error))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refusal(refusal) => Self::Refused(refusal),
            Failure::Replayed { id } => Self::SentBefore { key: id },
            Failure::Invalid { status, detail, .. } => Self::Wrong { status, text: words::sentence(&detail) },
        }
    }
}

impl From<TooOld> for Stop {
    fn from(_: TooOld) -> Self {
        Self::Unavailable
    }
}

/// Logs the failure, and shows only that something failed.
macro_rules! unavailable {
    ($($error:ty),*) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Self {
                error!(%error, "a page of the console failed");
                Self::Unavailable
            }
        }
    )*};
}

unavailable!(keygate::RandomnessError, keygate_sqlx::StoreError, sqlx::Error, tower_sessions::session::Error);

const NOT_FOUND: &str = "There is no such page or key, or it is not yours to see.";
const UNAVAILABLE: &str = "The database does not answer. Nothing is lost: try again in a moment.";
