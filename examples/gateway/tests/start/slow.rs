//! Clients that take their time.

use core::time::Duration;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    thread,
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

/// No key or session is needed to begin a form, so it must not hold the place of a request.
#[test]
fn forms_that_do_not_come_whole_hold_up_nobody() {
    let mut command = Place::folder().command();
    command.args(["--max-requests", "30"]);
    let server = Server::spawn(command);
    let head = "POST /console/sign-in HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nlink=";
    let forms: Vec<TcpStream> = (0..40).map(|_| connect(&server, head)).collect();
    thread::sleep(Duration::from_millis(500));
    server.send("GET", "/healthz", &[], "").expect(200);
    let mut late = 0;
    for mut connection in forms {
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).unwrap();
        late += u8::from(answer == *b"HTTP/1.1 408");
    }
    assert_eq!(late, 20, "the others are too many for one address");
    server.send("GET", "/healthz", &[], "").expect(200);
}

fn connect(server: &Server, begin: &str) -> TcpStream {
    let mut connection = TcpStream::connect(&server.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(begin.as_bytes()).unwrap();
    connection
}
