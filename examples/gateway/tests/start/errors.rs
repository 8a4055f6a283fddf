//! What the server does not start with: one line that names the thing, code 2, and no secret.

use std::{fs, net::TcpListener, process::Command};

use crate::common::{Place, Server, command, refused};

const PASSWORD: &str = "hunter2";

/// A command with an argument, and the environment.
fn with(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).envs(environment.iter().copied());
    command
}

#[track_caller]
fn names(command: Command, things: &[&str]) {
    let error = refused(command);
    for thing in things {
        assert!(error.contains(thing), "{thing} is not named: {error}");
    }
    assert!(!error.contains(PASSWORD), "no secret: {error}");
    assert!(!error.contains("panicked"), "{error}");
    // A cause that is told twice is no clear line.
    let causes: Vec<_> = error.split(": ").collect();
    assert!(causes.windows(2).all(|pair| pair.first() != pair.last()), "{error}");
}

#[test]
fn a_port_in_use() {
    let place = Place::folder();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = place.path();
    let mut client = command();
    client.args(["--listen", &address, "--data"]).arg(&folder);
    names(client, &["cannot listen", &address]);
    assert!(!folder.exists(), "nothing is made before");
    let mut operations = place.command();
    operations.args(["--operations", &address]);
    names(operations, &["cannot listen", &address]);
}

#[test]
fn a_database_that_is_none() {
    let database = |url| with(&[], &[("KEYGATE_DATABASE", url)]);
    names(database("mysql://u:hunter2@h/d"), &["postgres://"]);
    names(database("hunter2"), &["postgres://"]);
    names(database("postgres://u:hunter2@[bad"), &["URL", "database"]);
    names(database("postgres://u:hunter2@127.0.0.1:1/d"), &["127.0.0.1:1", "`d`", "refused"]);
    names(database("postgres://u:hunter2@nowhere.invalid/d"), &["nowhere.invalid"]);
    names(with(&["--data", "x"], &[("KEYGATE_DATABASE", "postgres://u@h/d")]), &["database", "data"]);
}

#[test]
fn a_password_in_an_argument() {
    for url in
        ["postgres://u:hunter2@h/d", "postgres://u@h/d?password=hunter2", "postgres://h/d?user=u&PASSWORD=hunter2"]
    {
        names(with(&["--database", url], &[]), &["KEYGATE_DATABASE", "argument"]);
    }
}

/// Where even the user who may do everything can write nothing.
#[test]
fn a_folder_that_cannot_be_written() {
    names(with(&["--data", "/proc/absent"], &[]), &["/proc/absent"]);
    names(with(&["--data", "/proc/self"], &[]), &["/proc/self"]);
}

#[test]
fn a_folder_that_is_none() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "a file").unwrap();
    names(with(&["--data", file.to_str().unwrap()], &[]), &[file.to_str().unwrap()]);
    let below = file.join("below");
    names(with(&["--data", below.to_str().unwrap()], &[]), &[below.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
}

/// And nothing of it is changed.
#[test]
fn a_file_of_another_program() {
    let place = Place::folder();
    let folder = place.path();
    fs::create_dir(&folder).unwrap();
    let file = folder.join("keygate.sqlite");
    place.execute_new("CREATE TABLE theirs (a TEXT)");
    let before = fs::read(&file).unwrap();
    names(place.command(), &[file.to_str().unwrap(), "another program"]);
    assert!(fs::read(&file).unwrap() == before, "the file is as it was");
    for bytes in [&b"no database at all"[..], &[7; 5000]] {
        fs::write(&file, bytes).unwrap();
        names(place.command(), &[file.to_str().unwrap(), "not a database"]);
        assert!(fs::read(&file).unwrap() == bytes, "the file is as it was");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    names(place.command(), &[file.to_str().unwrap()]);
}

/// Two servers would each take the file for theirs alone.
#[test]
fn a_folder_that_another_server_uses() {
    let place = Place::folder();
    let server = Server::start(&place);
    names(place.command(), &[place.path().to_str().unwrap(), "another server"]);
    server.get(server.key(), "/v1/whoami").expect(200);
    // One that was killed leaves nothing that keeps the next one out.
    server.signal("KILL");
    server.ended();
    Server::start(&place);
}

#[test]
fn another_issuer_than_before() {
    for place in Place::each() {
        Server::start(&place).terminate();
        let mut command = place.command();
        command.args(["--issuer", "other"]);
        names(command, &["`acme`", "`other`"]);
        assert_eq!(Server::start(&place).printed, "");
    }
}

#[test]
fn a_certificate_that_is_none() {
    let place = Place::folder();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text"), "hunter2").unwrap();
    let tls = |cert: &str, key: &str| {
        let mut command = place.command();
        command.args(["--tls-cert", cert, "--tls-key", key]);
        command
    };
    names(tls(&path("absent"), &path("text")), &[&format!("`{}`", path("absent")), "No such file"]);
    names(tls(&path("text"), &path("absent")), &[&format!("`{}`", path("absent")), "No such file"]);
    names(tls(&path("text"), &path("text")), &[&path("text")]);
    let mut alone = place.command();
    alone.args(["--tls-cert", "x"]);
    names(alone, &["tls-cert", "tls-key"]);
    assert!(!place.path().exists(), "nothing is made before");
}

#[test]
fn a_file_of_options_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let name = file.to_str().unwrap();
    for (text, things) in [
        ("lissten = \"hunter2\"", &["lissten", "line 1"][..]),
        ("\nlisten = \"hunter2\"", &["line 2"]),
        ("data = \"x\"\ndatabase = \"postgres://u:hunter2@h", &["line 2"]),
        ("cache-seconds = \"postgres://u:hunter2@h/d\"", &["line 1", "u8"]),
        ("x-api-key = \"hunter2\"", &["line 1", "boolean"]),
        ("database = \"mysql://u:hunter2@h/d\"", &["postgres://"]),
        ("database = \"postgres://u:hunter2@h/d\"\ndata = \"x\"", &["database", "data"]),
        ("listen = \"127.0.0.1:0\"\nlisten = \"127.0.0.1:0\"", &["line 2"]),
    ] {
        fs::write(&file, text).unwrap();
        let mut command = command();
        command.args(["--config", name]);
        // What each option takes is known once all are read.
        let in_file = if text.starts_with("database") { "" } else { name };
        names(command, &[things, &[in_file]].concat());
    }
    fs::remove_file(&file).unwrap();
    names(with(&["--config", name], &[]), &[name, "No such file"]);
    fs::write(&file, [0xff]).unwrap();
    names(with(&["--config", name], &[]), &[name]);
}
