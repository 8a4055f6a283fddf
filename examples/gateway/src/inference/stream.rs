//! Streams are decided again while they run: a key can be revoked in the middle of one.

use core::{convert::Infallible, time::Duration};
use std::{sync::Arc, time::Instant};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use keygate::{Authorization, Verdict};
use serde_json::json;
use tokio::{
    sync::mpsc::{self, Sender},
    time::sleep,
};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use crate::app::App;

/// How long a stream may go on after its key was revoked, apart from what a cache adds. Each check is a look-up.
const RECHECK: Duration = Duration::from_millis(250);

/// Sends a number now and then, until the client leaves, the key may no longer call the model, or the server ends.
pub(super) async fn ticks(State(app): State<Arc<App>>, authorization: Authorization) -> Response {
    events(app, authorization, Duration::from_millis(100), (0_u64..).map(|tick| tick.to_string()))
}

/// Streams `items` as server-sent events, with a pause after each. If the stream is cut off, its last event says why.
pub(super) fn events(
    app: Arc<App>,
    authorization: Authorization,
    pause: Duration,
    items: impl Iterator<Item = String> + Send + 'static,
) -> Response {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        if let Err(Some(why)) = send_all(&app, authorization, pause, items, &sender).await {
            // In the form that `OpenAI`'s clients turn into an exception.
            let error = json!({ "error": { "message": why, "type": "stream_ended", "param": null, "code": why } });
            let _ = sender.send(Event::default().event("error").data(error.to_string())).await;
        }
    });
    Sse::new(ReceiverStream::new(receiver).map(Ok::<_, Infallible>)).into_response()
}

/// Fails with the reason to tell the client, or with nothing if the client left.
async fn send_all(
    app: &App,
    mut authorization: Authorization,
    pause: Duration,
    items: impl Iterator<Item = String>,
    sender: &Sender<Event>,
) -> Result<(), Option<&'static str>> {
    let mut checked_at = Instant::now();
    for item in items {
        if checked_at.elapsed() >= RECHECK {
            authorization = decide_again(app, &authorization).await?;
            checked_at = Instant::now();
        }
        sender.send(Event::default().data(item)).await.map_err(|_| None)?;
        tokio::select! {
            () = sleep(pause) => {}
            () = sender.closed() => return Err(None),
            () = app.stopped() => return Err(Some("server_ends")),
        }
    }
    Ok(())
}

/// Looks the key up again and decides the same request again; whatever is no allow ends the stream.
async fn decide_again(app: &App, authorization: &Authorization) -> Result<Authorization, &'static str> {
    match app.gate.check_again(authorization).await {
        Ok(Verdict::Allowed(authorization)) => Ok(authorization),
        Ok(Verdict::Denied { denial, .. }) => Err(denial.reason().as_str()),
        Ok(Verdict::Unauthenticated(why)) => Err(why.as_str()),
        Ok(_) | Err(_) => Err("unavailable"),
    }
}
