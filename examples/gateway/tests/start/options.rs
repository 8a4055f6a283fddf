//! Each option from an argument, the environment and a file, in this order.

use std::{fs, net::TcpListener, process::Command};

use serde_json::json;

use crate::common::{Place, Server, command};

const UNKNOWN: &str = "acmep1_00000000000000000000000000000000000000000000000000_00000000";

/// A port that nobody else is given meanwhile, most likely.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn arguments_then_the_environment_then_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (in_argument, in_environment, in_file) = (free(), free(), free());
    fs::write(path("toml"), format!("listen = \"{in_file}\"\ndata = \"{}\"\nissuer = \"filed\"", path("f"))).unwrap();
    let start = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = command();
        command.args(arguments).envs(environment.iter().copied());
        Server::spawn(command)
    };
    let (listen, data, config) = ("KEYGATE_LISTEN", "KEYGATE_DATA", "KEYGATE_CONFIG");
    let file = path("toml");
    // Only the file, which an argument or the environment names.
    let server = start(&["--config", &file], &[]);
    assert_eq!(server.address, in_file);
    assert!(server.printed.contains("filedp1_"), "{}", server.printed);
    assert!(folder.path().join("f/keygate.sqlite").exists());
    drop(server);
    drop(start(&[], &[(config, &file)]));
    // The environment before the file.
    let server =
        start(&["--config", &file], &[(listen, &in_environment), (data, &path("e")), ("KEYGATE_ISSUER", "envd")]);
    assert_eq!(server.address, in_environment);
    assert!(server.printed.contains("envdp1_"));
    assert!(folder.path().join("e/keygate.sqlite").exists());
    drop(server);
    // Arguments before both.
    let arguments = ["--config", &file, "--listen", &in_argument, "--data", &path("a"), "--issuer", "argd"];
    let server = start(&arguments, &[(listen, &in_environment), (data, &path("e")), ("KEYGATE_ISSUER", "envd")]);
    assert_eq!(server.address, in_argument);
    assert!(server.printed.contains("argdp1_"));
    assert!(folder.path().join("a/keygate.sqlite").exists());
}

#[test]
fn switches_from_each_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("toml");
    fs::write(&file, "x-api-key = true").unwrap();
    let file = file.to_str().unwrap().to_owned();
    let name = "KEYGATE_X_API_KEY";
    for (arguments, environment, is_on) in [
        (vec![], None, false),
        (vec!["--x-api-key"], None, true),
        (vec!["--x-api-key", "true"], Some("false"), true),
        (vec!["--x-api-key", "false"], Some("true"), false),
        (vec![], Some("true"), true),
        (vec!["--config", &file], None, true),
        (vec!["--config", &file], Some("false"), false),
    ] {
        let place = Place::folder();
        let mut command = place.command();
        command.args(&arguments);
        if let Some(value) = environment {
            command.env(name, value);
        }
        let server = Server::spawn(command);
        let status = server.send("GET", "/v1/whoami", &[("x-api-key", server.key())], "").status;
        assert_eq!(status, if is_on { 200 } else { 400 }, "{arguments:?} {environment:?}");
    }
}

#[test]
fn the_database_with_its_password_from_the_environment_and_the_file() {
    let Some(place) = Place::postgres() else { return };
    let Place::Postgres { url, .. } = &place else { return };
    // The server trusts everybody, so that any password is the right one.
    let url = url.replace("postgres@", "postgres:hunter2@");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("toml");
    fs::write(&file, format!("database = \"{url}\"")).unwrap();
    let mut from_file = command();
    from_file.args(["--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()]);
    let mut from_environment = command();
    from_environment.args(["--listen", "127.0.0.1:0"]).env("KEYGATE_DATABASE", &url);
    for command in [from_file, from_environment] {
        let server = Server::spawn(command);
        server.send("GET", "/readyz", &[], "").expect(200);
        let (status, log) = server.terminate();
        assert_eq!(status.code(), Some(0));
        assert!(!log.contains("hunter2"));
    }
}

#[test]
fn what_is_in_flight_is_bounded() {
    let place = Place::folder();
    let mut command = place.command();
    command.args(["--max-requests", "0"]);
    let server = Server::spawn(command);
    let reply = server.get(server.key(), "/v1/whoami").expect(503);
    assert_eq!(reply.field("retry-after"), Some("1"));
}

#[test]
fn help_names_every_option_and_no_secret() {
    let output = command().arg("--help").env("KEYGATE_DATABASE", "postgres://u:hunter2@h/d").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for option in [
        "config",
        "listen",
        "operations",
        "data",
        "database",
        "issuer",
        "cache-seconds",
        "x-api-key",
        "tls-cert",
        "tls-key",
        "max-requests",
    ] {
        let variable = format!("KEYGATE_{}", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{option}")) && help.contains(&variable), "{option}: {help}");
    }
    assert!(!help.contains("hunter2"));
}

/// The operations address has no route for clients, and the clients' one none for operations.
#[test]
fn the_operations_address() {
    let place = Place::folder();
    let operations = free();
    let mut command = place.command();
    command.args(["--operations", &operations]);
    let server = Server::spawn(command);
    let get = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}"]).arg(format!("http://{operations}{path}"));
        let output = curl.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(get("/healthz").ends_with("200"));
    assert!(get("/readyz").ends_with("200"));
    let metrics = get("/metrics");
    assert!(metrics.ends_with("200") && metrics.contains("keygate_"), "{metrics}");
    assert!(get("/v1/api_keys").ends_with("404"));
    server.get(UNKNOWN, "/metrics").expect(401);
    let healthy = server.send("GET", "/healthz", &[], "").expect(200);
    assert_eq!(healthy.body, "ok");
    let ready = server.send("GET", "/readyz", &[], "").expect(200).json();
    assert_eq!(ready["ready"], json!(true));
    assert_eq!(ready["store"], json!(true));
}

fn make_certificate(folder: &std::path::Path) -> Option<(String, String)> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output();
    if made.is_ok_and(|made| made.status.success()) {
        return Some((cert.to_str()?.into(), key.to_str()?.into()));
    }
    crate::common::skipped("openssl", "install openssl");
    None
}

#[test]
fn tls_with_either_version_of_http() {
    let folder = tempfile::tempdir().unwrap();
    let Some((cert, key)) = make_certificate(folder.path()) else { return };
    let place = Place::folder();
    let mut command = place.command();
    command.args(["--tls-cert", &cert, "--tls-key", &key]);
    let server = Server::spawn(command);
    assert!(server.printed.contains("https://127.0.0.1:"), "{}", server.printed);
    let ask = |version: &str, scheme: &str| {
        let output = Command::new("curl")
            .args(["-sS", version, "--cacert", &cert, "-o", "/dev/null", "-w", "%{http_version} %{http_code}"])
            .args(["-H", &format!("Authorization: Bearer {}", server.key())])
            .arg(format!("{scheme}://{}/v1/whoami", server.address))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(ask("--http1.1", "https"), "1.1 200");
    assert_eq!(ask("--http2", "https"), "2 200");
    assert!(!ask("--http1.1", "http").ends_with(" 200"), "nothing is served without TLS");
}
