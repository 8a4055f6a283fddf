//! A stub of a chat model, in the schema of `OpenAI`'s chat completions: it repeats what it is told.

use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use keygate::{Authorization, UnixTime, http::Refusal};
use serde::Deserialize;
use serde_json::{Value, json};

use super::stream;
use crate::{
    api::problem::{Body, Failure},
    app::App,
};

/// The parts of a request that matter here.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    /// Counts only where the path names no model: the handler serves the model that was allowed.
    #[serde(default)]
    model: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl Message {
    fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts.iter().map(|part| part.text.as_str()).collect(),
        }
    }
}

impl ChatRequest {
    /// Returns the model that the body names, and the environment behind a slash.
    pub(super) fn model(&self) -> Option<(&str, Option<&str>)> {
        let model = self.model.as_deref()?;
        Some(model.split_once('/').map_or((model, None), |(model, environment)| (model, Some(environment))))
    }
}

pub(super) async fn completions(
    State(app): State<Arc<App>>,
    authorization: Authorization,
    Body(request): Body<ChatRequest>,
) -> Result<Response, Failure> {
    // The body may have taken its time.
    let authorization = app.still_allowed(authorization).await?;
    answer(&app, authorization, request)
}

/// Answers for the model that was allowed.
pub(super) fn answer(app: &Arc<App>, authorization: Authorization, request: ChatRequest) -> Result<Response, Failure> {
    let model = authorization.request().action.model().ok_or(Refusal::NotFound)?;
    let last = request.messages.last().ok_or(Failure::invalid("messages", "there are no messages"))?;
    let words: usize = request.messages.iter().map(|message| count(&message.text())).sum();
    let answer = Answer::new(model.as_str(), format!("You said: {}", last.text()), words);
    if !request.stream {
        return Ok(Json(answer.whole()).into_response());
    }
    let with_usage = request.stream_options.is_some_and(|options| options.include_usage);
    Ok(stream::events(Arc::clone(app), authorization, CHUNK_PAUSE, answer.chunks(with_usage)))
}

/// The text of the model, and the format of the answer.
struct Answer {
    id: String,
    created: i64,
    model: String,
    text: String,
    usage: Value,
}

impl Answer {
    fn new(model: &str, text: String, prompt: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let completion = count(&text);
        Self {
            id: format!("chatcmpl-{:08}", NEXT.fetch_add(1, Ordering::Relaxed)),
            created: UnixTime::now().as_secs(),
            model: model.into(),
            text,
            usage: json!({
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt.saturating_add(completion),
            }),
        }
    }

    fn whole(&self) -> Value {
        let message = json!({ "role": "assistant", "content": self.text, "refusal": null });
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{ "index": 0, "message": message, "logprobs": null, "finish_reason": "stop" }],
            "usage": self.usage,
        })
    }

    /// The role, the text word by word, the reason to finish, perhaps the usage, and the mark of the end. Each is
    /// written when it is sent: a long text would be many times as long in chunks.
    fn chunks(self, with_usage: bool) -> impl Iterator<Item = String> + Send {
        let Self { id, created, model, text, usage } = self;
        let write = move |choices: Value, usage: Option<Value>| {
            let mut chunk = json!({
                "id": id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": model,
                "choices": choices,
            });
            if let (true, Some(object)) = (with_usage, chunk.as_object_mut()) {
                object.insert("usage".into(), usage.unwrap_or(Value::Null));
            }
            chunk.to_string()
        };
        let choice = |delta: Value, finish_reason: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
            (Value::Array(vec![choice]), None)
        };
        let mut sent = 0;
        let words = core::iter::from_fn(move || {
            let word = text.get(sent..)?.split_inclusive(' ').next()?;
            sent = sent.saturating_add(word.len());
            Some(choice(json!({ "content": word }), None))
        });
        core::iter::once(choice(json!({ "role": "assistant", "content": "", "refusal": null }), None))
            .chain(words)
            .chain([choice(json!({}), Some("stop"))])
            .chain(with_usage.then(|| (json!([]), Some(usage))))
            .map(move |(choices, usage)| write(choices, usage))
            .chain(["[DONE]".into()])
    }
}

/// A token of the stub is a word.
fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// As if a model were thinking.
const CHUNK_PAUSE: Duration = Duration::from_millis(20);
