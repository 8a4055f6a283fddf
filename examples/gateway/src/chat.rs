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
use keygate::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    app::{Allowed, App},
    problem::{Body, Problem},
    stream,
};

/// The parts of a request that matter here. Its `model` does not: what is served is what was allowed.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
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

pub(crate) async fn completions(
    State(app): State<Arc<App>>,
    Allowed(authorization): Allowed,
    Body(request): Body<ChatRequest>,
) -> Response {
    let Some(model) = authorization.request().action.model() else { return Problem::not_found().into_response() };
    let Some(last) = request.messages.last() else {
        return Problem::body("there are no messages").into_response();
    };
    let words: usize = request.messages.iter().map(|message| count(&message.text())).sum();
    let answer = Answer::new(model.as_str(), format!("You said: {}", last.text()), words);
    if !request.stream {
        return Json(answer.whole()).into_response();
    }
    let with_usage = request.stream_options.is_some_and(|options| options.include_usage);
    stream::events(app, authorization, CHUNK_PAUSE, answer.chunks(with_usage))
}

/// What the model says, and how it is wrapped.
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

    /// The role, the text word by word, the reason to finish, perhaps the usage, and the mark of the end.
    fn chunks(self, with_usage: bool) -> impl Iterator<Item = String> + Send {
        let chunk = |choices: Value, usage: Option<&Value>| {
            let mut chunk = json!({
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "choices": choices,
            });
            if let (true, Some(object)) = (with_usage, chunk.as_object_mut()) {
                object.insert("usage".into(), usage.cloned().unwrap_or(Value::Null));
            }
            chunk.to_string()
        };
        let choice = |delta: Value, finish_reason: Option<&str>| {
            let choice = json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason });
            Value::Array(vec![choice])
        };
        let mut chunks =
            vec![chunk(choice(json!({ "role": "assistant", "content": "", "refusal": null }), None), None)];
        chunks.extend(self.text.split_inclusive(' ').map(|word| chunk(choice(json!({ "content": word }), None), None)));
        chunks.push(chunk(choice(json!({}), Some("stop")), None));
        if with_usage {
            chunks.push(chunk(json!([]), Some(&self.usage)));
        }
        chunks.push("[DONE]".into());
        chunks.into_iter()
    }
}

/// A token of the stub is a word.
fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

/// As if a model were thinking.
const CHUNK_PAUSE: Duration = Duration::from_millis(20);
