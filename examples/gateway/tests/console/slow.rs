//! Forms whose bodies take their time.

use core::time::Duration;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::gateway::{Gateway, Person};

/// A form of which only the beginning was sent.
struct Begun {
    stream: TcpStream,
    rest: String,
}

impl Begun {
    fn new(person: &Person<'_>, path: &str, form: &[(&str, &str)]) -> Self {
        let address = person.gateway.base.strip_prefix("http://").unwrap();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let (first, rest) = body.split_at(1);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nsec-fetch-site: same-origin\r\n\
             cookie: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{first}",
            person.cookie,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self { stream, rest: rest.to_owned() }
    }

    /// Sends the rest, and returns the status and the whole answer.
    fn end(mut self) -> (u16, String) {
        self.stream.write_all(self.rest.as_bytes()).unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }
}

#[test]
fn a_form_that_was_begun_ends_with_the_session() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let mallory = gateway.sign_in(&administrator.invite("mallory", "core", "admin"));
    gateway.execute("UPDATE gateway_users SET is_administrator = TRUE WHERE id = 'mallory'");
    while mallory.get("/console/users").status != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let id = mallory.personal_key("laptop").split('_').nth(1).unwrap().to_owned();
    let invite = [("user", "ghost"), ("name", "Ghost"), ("team", "core"), ("role", "admin")];
    let create = [("form", "1"), ("for", "me"), ("name", "late"), ("expiry", "7")];
    let begin = || {
        [
            Begun::new(&mallory, "/console/users", &invite),
            Begun::new(&mallory, "/console/keys", &create),
            Begun::new(&mallory, &format!("/console/keys/{id}/rename"), &[("name", "late")]),
            Begun::new(&mallory, &format!("/console/keys/{id}/rotate"), &[("form", "2"), ("how", "cut-over")]),
        ]
    };
    let (by_signing_out, by_leaving) = (begin(), begin());
    // The bodies are waited for by now.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(mallory.post("/console/sign-out", &[]).status, 303);
    for begun in by_signing_out {
        let (status, answer) = begun.end();
        assert_eq!(status, 401, "{answer}");
    }
    assert_eq!(administrator.post("/console/users/mallory/deprovision", &[]).status, 303);
    for begun in by_leaving {
        let (status, answer) = begun.end();
        assert_eq!(status, 401, "{answer}");
    }
    assert!(gateway.texts("SELECT id FROM gateway_users WHERE id = 'ghost'").is_empty());
    assert!(gateway.texts("SELECT name FROM keygate_keys WHERE name = 'late'").is_empty());
}

#[test]
fn forms_of_one_person_leave_places_for_others() {
    let gateway = Gateway::start(&["--max-requests", "64"]);
    let administrator = gateway.administrator();
    let ada = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    let begun: Vec<_> = (0..100).map(|_| Begun::new(&ada, "/console/keys", &[("form", "1")])).collect();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(gateway.stranger().get("/healthz").status, 200);
    assert!(administrator.is_signed_in());
    drop(begun);
}
