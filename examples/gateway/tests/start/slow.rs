//! Clients that take their time.

use core::time::Duration;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use crate::common::{Place, Server};

/// Also where the first bytes could be those of HTTP/2.
#[test]
fn a_connection_on_which_no_request_comes_is_ended() {
    let server = Server::start(&Place::folder());
    let begun = ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nHo"].map(|bytes| connect(&server, bytes));
    for mut connection in begun {
        let ended = connection.read(&mut [0; 100]);
        let timed_out = |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!ended.is_err_and(|error| timed_out(&error)), "it stays open");
    }
}

/// No key or session is needed to begin to sign in, so it waits for nothing.
#[test]
fn signing_in_waits_for_no_body() {
    let mut command = Place::folder().command();
    command.args(["--max-requests", "30"]);
    let server = Server::spawn(command);
    let head = "POST /console/sign-in?link=0000 HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nlink=";
    let start = Instant::now();
    let answered = (0..40).map(|_| {
        let mut connection = connect(&server, head);
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403");
        connection
    });
    let open: Vec<TcpStream> = answered.collect();
    assert!(start.elapsed() < Duration::from_secs(5));
    server.send("GET", "/healthz", &[], "").expect(200);
    drop(open);
}

fn connect(server: &Server, begin: &str) -> TcpStream {
    let mut connection = TcpStream::connect(&server.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(begin.as_bytes()).unwrap();
    connection
}
