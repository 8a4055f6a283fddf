//! A gateway that runs, and people who use its pages without a browser.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    thread,
};

use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use tempfile::TempDir;
use ureq::{Agent, Body, http::Response};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_keygate-gateway");

pub(crate) struct Gateway {
    child: Child,
    pub(crate) base: String,
    /// The administrator's link.
    pub(crate) link: String,
    /// The administrator's key.
    pub(crate) key: String,
    pub(crate) folder: TempDir,
}

impl Gateway {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(None, arguments)
    }

    /// Starts on the database of a URL, or else on a file of its own.
    pub(crate) fn start_on(database: Option<&str>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(BINARY);
        match database {
            Some(url) => command.env("KEYGATE_DATABASE", url),
            None => command.arg("--data").arg(folder.path()),
        };
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        thread::spawn(move || drop(stderr.read_to_end(&mut Vec::new())));
        let (mut link, mut key) = (String::new(), String::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
            let line = line.trim();
            if line.contains("/console/sign-in?link=") {
                link = line.into();
            } else if line.starts_with("acmep1_") {
                key = line.into();
            } else if let Some(address) = line.strip_prefix("listening on ") {
                let base = format!("http://{address}");
                return Self { child, base, link, key, folder };
            }
        }
        panic!("the server ended: {:?}", child.wait());
    }

    pub(crate) fn administrator(&self) -> Person<'_> {
        self.sign_in(&self.link)
    }

    /// A person without a session.
    pub(crate) fn stranger(&self) -> Person<'_> {
        Person { gateway: self, cookie: String::new() }
    }

    pub(crate) fn sign_in(&self, link: &str) -> Person<'_> {
        let answer = self.use_link(link);
        assert_eq!(answer.status, 303, "{}", answer.body);
        Person { gateway: self, cookie: answer.cookie().unwrap() }
    }

    /// Opens a link as somebody without a session, and presses its button.
    pub(crate) fn use_link(&self, link: &str) -> Answer {
        self.stranger().post(&format!("/console/sign-in?link={}", token(link)), &[])
    }

    /// Runs a statement in the database, beside the server.
    pub(crate) fn execute(&self, sql: &str) {
        self.connected(async |mut connection| {
            sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        });
    }

    /// Returns the first column of all rows.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        self.connected(async |mut connection| {
            let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }

    fn connected<T>(&self, act: impl AsyncFnOnce(SqliteConnection) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let file = self.folder.path().join("keygate.sqlite");
        runtime.block_on(async { act(SqliteConnection::connect(file.to_str().unwrap()).await.unwrap()).await })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the token of a link.
pub(crate) fn token(link: &str) -> &str {
    link.split_once("?link=").unwrap().1
}

/// Someone with a cookie, whose browser says where its requests come from.
pub(crate) struct Person<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) cookie: String,
}

impl<'a> Person<'a> {
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", path, &[("sec-fetch-site", "same-origin")], form)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Answer {
        let agent: Agent = Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.gateway.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !self.cookie.is_empty() {
            request = request.header("cookie", &self.cookie);
        }
        let answer = if method == "POST" {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            agent.run(request.header("content-type", "application/x-www-form-urlencoded").body(body).unwrap())
        } else {
            agent.run(request.body(()).unwrap())
        };
        Answer::read(answer.unwrap())
    }

    /// Makes a key by the form, and returns the page that has its secret.
    pub(crate) fn create(&self, fields: &[(&str, &str)]) -> Answer {
        self.post("/console/keys", fields)
    }

    /// Makes a personal key that ends in a week, and returns its token.
    pub(crate) fn personal_key(&self, name: &str) -> String {
        let form = format!("form-of-{name}");
        let made = self.create(&[("form", &form), ("for", "me"), ("name", name), ("expiry", "7")]);
        assert_eq!(made.status, 200, "{}", made.body);
        made.secret().unwrap()
    }

    /// Invites a user, and returns the link.
    pub(crate) fn invite(&self, user: &str, team: &str, role: &str) -> String {
        let form = [("user", user), ("name", user), ("team", team), ("role", role)];
        let answer = self.post("/console/users", &form);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.text_of("link").unwrap()
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        match self.get("/console").status {
            200 => true,
            401 => false,
            status => panic!("{status}"),
        }
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    fn read(mut answer: Response<Body>) -> Self {
        let body = answer.body_mut().read_to_string().unwrap();
        Self { status: answer.status().as_u16(), headers: answer.headers().clone(), body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Returns the cookie as it is sent back.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.header("set-cookie").map(|cookie| cookie.split(';').next().unwrap().to_owned())
    }

    /// Returns the text of the element with an id.
    pub(crate) fn text_of(&self, id: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("id=\"{id}\""))?;
        let (_, rest) = rest.split_once('>')?;
        Some(rest.split_once('<')?.0.to_owned())
    }

    /// Returns the secret that the page shows.
    pub(crate) fn secret(&self) -> Option<String> {
        self.text_of("token")
    }
}
