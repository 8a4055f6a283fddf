//! The driver: one line in, one line out, by the public API.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use serde_json::Value;

/// Builds the driver, once, where this test was built: `cargo test --test it` alone builds no examples.
fn driver() -> &'static Path {
    static DRIVER: OnceLock<PathBuf> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let built = test.ancestors().nth(2).unwrap();
        let profile = if built.ends_with("release") { "release" } else { "dev" };
        let build = ["build", "--quiet", "--example", "conformance", "--all-features", "--profile", profile];
        // Where a target is named, cargo builds in a directory of its name.
        let named = env::var_os("CARGO_BUILD_TARGET").is_some();
        let target = built.ancestors().nth(if named { 2 } else { 1 }).unwrap();
        assert!(Command::new(env!("CARGO")).args(build).arg("--target-dir").arg(target).status().unwrap().success());
        built.join("examples").join("conformance")
    })
}

/// Asks all lines in one run, and returns the answers as they were printed.
fn ask(lines: &[u8]) -> Vec<String> {
    let mut child = Command::new(driver()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_owned();
    // From another thread: the driver answers while it reads, and a full pipe would stop both.
    let writer = thread::spawn(move || input.write_all(&lines).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

#[track_caller]
fn assert_answers(table: &[(&str, &str)]) {
    let questions: Vec<_> = table.iter().map(|(question, _)| *question).collect();
    let responses = ask(questions.join("\n").as_bytes());
    assert_eq!(responses.len(), table.len());
    for ((question, expected), answer) in table.iter().zip(&responses) {
        assert_eq!(answer, &format!("{{\"result\":{expected}}}"), "{question}");
    }
}

#[test]
fn vectors_are_parsed_as_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/token-v1.json")).unwrap();
    let all = [vectors["accept"].as_array().unwrap().as_slice(), vectors["reject"].as_array().unwrap()].concat();
    assert_eq!(all.len(), 250);
    let question = |case: &Value| {
        serde_json::json!({ "op": "parse", "issuer": case["issuer"], "token": case["token"] }).to_string() + "\n"
    };
    let responses = ask(all.iter().map(question).collect::<String>().as_bytes());
    assert_eq!(responses.len(), all.len());
    for (case, answer) in all.iter().zip(&responses) {
        let answer: Value = serde_json::from_str(answer).unwrap();
        match case["error"].as_str() {
            Some(error) => assert_eq!(answer["result"], *error, "{case}"),
            None => {
                assert_eq!(answer["result"], "ok", "{case}");
                for field in ["kind", "key_id", "display", "stored_digest_hex"] {
                    assert_eq!(answer[field], case[field], "{case}");
                }
            }
        }
    }
}

/// The key of most lines below, and what is said of it.
const KEY: &str = r#"{"status":"active","not_before":null,"expires_at":200,"owner":{"kind":"team","team":"core"},"level":"full","environments":["production"],"models":null,"actions":null,"resources":null}"#;
/// A key of a user.
const PERSONAL: &str = r#"{"status":"active","not_before":null,"expires_at":null,"owner":{"kind":"personal","user":"ada"},"level":null,"environments":null,"models":null,"actions":null,"resources":null}"#;
const CALL: &str = r#"{"team":"core","action":"call","model":"m1","environment":"production","resource":null}"#;

fn decide(key: &str, request: &str, standing: &str, now: &str) -> String {
    format!(r#"{{"op":"decide","key":{key},"request":{request},"standing":{standing},"now":{now}}}"#)
}

#[test]
fn what_is_no_question_is_a_bad_line() {
    let mut questions: Vec<Vec<u8>> = [
        "",
        " ",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "{\"op\":\"parse\"}",
        r#"["parse","kg","x"]"#,
        r#"{"op":"parse","issuer":"kg","token":"x","more":1}"#,
        r#"{"op":"parse","issuer":"kg","token":null}"#,
        r#"{"op":"parse","issuer":"kg","token":"\ud800"}"#,
        r#"{"op":"parse","issuer":"kg","issuer":"kg","token":"x"}"#,
        r#"{"op":"frobnicate"}"#,
        r#"{"op":"scan","issuer":"kg"}"#,
        r#"{"op":"scan","issuer":"kg","text":["x"]}"#,
        r#"{"op":"scan","issuer":null,"text":"x"}"#,
        r#"{"op":"scan","issuer":"kg","text":"x","more":1}"#,
        r#"{"op":"scan","issuer":"kg","text":"\udc00"}"#,
        r#"["scan","kg","x"]"#,
        r#"{"op":"name","kind":"color","text":"x"}"#,
        r#"{"op":"header","issuer":"kg","headers":[["authorization"]],"x_api_key":false}"#,
        r#"{"op":"header","issuer":"kg","headers":[["author ization","x"]],"x_api_key":false}"#,
        r#"{"op":"header","issuer":"kg","headers":[["authorization","x\u0000"]],"x_api_key":false}"#,
        r#"{"op":"header","issuer":"kg","headers":[]}"#,
        r#"{"op":"header","headers":[],"x_api_key":false}"#,
        r#"{"op":"header","issuer":null,"headers":[],"x_api_key":false}"#,
        // The number of a variant is not its name.
        r#"{"op":0,"issuer":"kg","token":"x"}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":1,"team":"core","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":0},"operation":"create","target":{"kind":"team","team":"core","expires_at":null},"standing":null,"now":1}"#,
        // The library's word is not the driver's.
        r#"{"op":"manage","actor":{"kind":"system"},"operation":"create","target":{"kind":"team","team":"core","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"import","target":{"kind":"team","team":"core","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":"team","team":"core"},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":"team","team":"core","expires_at":1.0},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":"team","user":"core","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":"team","team":"","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"user","user":"a b"},"operation":"create","target":{"kind":"team","team":"core","expires_at":null},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":"user","user":"ada"},"operation":"create","target":{"kind":"team","team":"core","expires_at":null},"standing":"none","now":1}"#,
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    questions.push(b"{\"op\":\"parse\",\"issuer\":\"kg\",\"token\":\"\xff\"}".to_vec());
    for (key, request, standing, now) in [
        (KEY.replace(",\"models\":null", ""), CALL.into(), "null", "1"),
        (KEY.replace(",\"actions\":null", ""), CALL.into(), "null", "1"),
        (KEY.replace(",\"resources\":null", ""), CALL.into(), "null", "1"),
        (KEY.replace("\"actions\":null", "\"actions\":\"all\""), CALL.into(), "null", "1"),
        (KEY.replace("\"resources\":null", "\"resources\":[null]"), CALL.into(), "null", "1"),
        (KEY.replace("\"actions\":null", "\"actions\":null,\"actions\":null"), CALL.into(), "null", "1"),
        (KEY.into(), CALL.replace(",\"resource\":null", ""), "null", "1"),
        // What an action does not use is checked all the same.
        (KEY.into(), CALL.replace("\"resource\":null", "\"resource\":\"\""), "null", "1"),
        (KEY.into(), CALL.replace("\"resource\":null", "\"resource\":1"), "null", "1"),
        (KEY.into(), CALL.replace("call", "deploy").replace("\"m1\"", "\"a b\""), "null", "1"),
        (KEY.into(), CALL.replace("call", "projects:read").replace("\"m1\"", "\"\""), "null", "1"),
        (KEY.into(), CALL.replace("call", "projects:"), "null", "1"),
        (KEY.into(), CALL.replace("call", "custom"), "null", "1"),
        (KEY.into(), CALL.replace("call", "Projects:read"), "null", "1"),
        (KEY.into(), CALL.replace("\"call\"", "null"), "null", "1"),
        (KEY.replace("\"models\":null", "\"models\":[1]"), CALL.into(), "null", "1"),
        (KEY.replace("\"full\"", "\"root\""), CALL.into(), "null", "1"),
        (KEY.replace("active", "asleep"), CALL.into(), "null", "1"),
        (KEY.replace("\"core\"", "\"\""), CALL.into(), "null", "1"),
        (KEY.replace("\"core\"", "\"a b\""), CALL.into(), "null", "1"),
        (KEY.replace(r#"{"kind":"team","team":"core"}"#, r#"["team","core"]"#), CALL.into(), "null", "1"),
        (KEY.replace("200", "200.5"), CALL.into(), "null", "1"),
        (KEY.replace(r#""kind":"team""#, r#""kind":1"#), CALL.into(), "null", "1"),
        (KEY.replace("\"full\"", "0"), CALL.into(), "null", "1"),
        (KEY.into(), CALL.replace("\"m1\"", "null"), "null", "1"),
        (KEY.into(), CALL.replace("\"m1\"", "\"\u{e9}\""), "null", "1"),
        (KEY.into(), CALL.replace("\"production\"", "\"Production\""), "null", "1"),
        (KEY.into(), CALL.replace("call", "fly"), "null", "1"),
        (KEY.into(), CALL.replace("call", "deploy").replace(",\"environment\":\"production\"", ""), "null", "1"),
        (KEY.into(), CALL.into(), "\"king\"", "1"),
        (KEY.into(), CALL.into(), "null", "9223372036854775808"),
        (KEY.into(), CALL.into(), "null", "-9223372036854775809"),
        (KEY.into(), CALL.into(), "null", "1.0"),
        (KEY.into(), CALL.into(), "null", "1e2"),
        (KEY.into(), CALL.into(), "null", "1E0"),
        (KEY.into(), CALL.into(), "null", "\"1\""),
        // A bad line comes before an invalid grant.
        (KEY.replace("[\"production\"]", "[]"), CALL.replace("\"m1\"", "null"), "null", "1"),
    ] {
        questions.push(decide(&key, &request, standing, now).into_bytes());
    }
    let responses = ask(&questions.join(&b'\n'));
    assert_eq!(responses.len(), questions.len());
    for (question, answer) in questions.iter().zip(responses) {
        assert_eq!(answer, r#"{"result":"bad_line"}"#, "{}", String::from_utf8_lossy(question));
    }
}

/// The whole range of times is read.
#[test]
fn times_are_integers() {
    let key = KEY.replace("200", "9223372036854775807");
    for (now, expected) in [
        ("-9223372036854775808", "allow"),
        ("0", "allow"),
        ("9223372036854775806", "allow"),
        ("9223372036854775807", "expired"),
    ] {
        let answer = ask(decide(&key, CALL, "null", now).as_bytes()).concat();
        assert!(answer.starts_with(&format!("{{\"result\":\"{expected}\"")), "{now}: {answer}");
    }
}

#[test]
fn grants_that_cannot_be_are_invalid() {
    let personal = KEY.replace(r#""kind":"team","team":"core""#, r#""kind":"personal","user":"ada""#);
    let custom = KEY.replace("full", "custom").replace("\"actions\":null", "\"actions\":[\"call\"]");
    for key in [
        KEY.replace("[\"production\"]", "[]"),
        KEY.replace("\"production\"", "\"Production\""),
        KEY.replace("\"models\":null", "\"models\":[\"m1\"]"),
        KEY.replace("full", "metrics_only"),
        KEY.replace("full", "custom"),
        KEY.replace("full", "custom").replace("\"actions\":null", "\"actions\":[]"),
        KEY.replace("full", "custom").replace("\"actions\":null", "\"actions\":[\"calls\"]"),
        KEY.replace("full", "custom").replace("\"actions\":null", "\"actions\":[\"*\"]"),
        custom.replace("\"resources\":null", "\"resources\":[]"),
        custom.replace("\"resources\":null", "\"resources\":[\"a b\"]"),
        custom.replace("\"models\":null", "\"models\":[\"m1\"]"),
        KEY.replace("\"actions\":null", "\"actions\":[\"call\"]"),
        KEY.replace("\"resources\":null", "\"resources\":[\"r1\"]"),
        KEY.replace("full", "inference_only").replace("\"resources\":null", "\"resources\":[\"r1\"]"),
        KEY.replace("full", "inference_only").replace("\"actions\":null", "\"actions\":[\"call\"]"),
        PERSONAL.replace("\"actions\":null", "\"actions\":[\"call\"]"),
        PERSONAL.replace("\"resources\":null", "\"resources\":[\"r1\"]"),
        KEY.replace("\"full\"", "null"),
        KEY.replace("\"not_before\":null", "\"not_before\":200"),
        personal.clone(),
        personal.replace("\"full\"", "null"),
    ] {
        assert_answers(&[(&decide(&key, CALL, "null", "1"), "\"invalid_grant\"")]);
    }
}

#[test]
fn decisions_follow_the_page() {
    let denied = |reason: &str| format!("\"{reason}\",\"reveals\":false");
    let revealing = |reason: &str| format!("\"{reason}\",\"reveals\":true");
    let allow = || "\"allow\"".to_owned();
    let twice = KEY.replace("[\"production\"]", "[\"production\",\"production\"]");
    let nowhere = CALL.replace("\"environment\":\"production\"", "\"environment\":null");
    let other = |model: &str| CALL.replace("\"m1\"", &format!("\"{model}\""));
    let own = |resource: &str| CALL.replace("call", "projects:read").replace("\"resource\":null", resource);
    let callers = KEY.replace("full", "inference_only").replace("\"models\":null", "\"models\":[\"m1\"]");
    let custom = KEY
        .replace("full", "custom")
        .replace("\"actions\":null", "\"actions\":[\"call\",\"projects:read\"]")
        .replace("\"resources\":null", "\"resources\":[\"m1\",\"r1\"]");
    let never_allowed = custom.replace("[\"call\",\"projects:read\"]", "[\"deploy\"]");
    let full = KEY.replace("[\"production\"]", "null");
    let table = [
        (decide(KEY, CALL, "null", "150"), allow()),
        (decide(&twice, CALL, "\"outsider\"", "199"), allow()),
        (decide(&KEY.replace("production", "development"), CALL, "null", "1"), denied("environment_not_in_scope")),
        (decide(KEY, CALL, "null", "200"), denied("expired")),
        (decide(KEY, &nowhere, "null", "150"), denied("environment_required")),
        (decide(&KEY.replace("active", "revoked"), CALL, "null", "200"), denied("revoked")),
        (decide(&KEY.replace("active", "disabled"), CALL, "null", "200"), denied("disabled")),
        (decide(KEY, &CALL.replace("core", "labs"), "null", "150"), revealing("other_team")),
        (decide(PERSONAL, CALL, "null", "150"), denied("standing_required")),
        (decide(PERSONAL, CALL, "\"member\"", "150"), allow()),
        (decide(PERSONAL, &own("\"resource\":\"r1\""), "\"member\"", "150"), allow()),
        (decide(PERSONAL, CALL, "\"deprovisioned\"", "150"), denied("owner_deprovisioned")),
        (decide(PERSONAL, CALL, "\"outsider\"", "150"), revealing("other_team")),
        (decide(&PERSONAL.replace("active", "revoked"), CALL, "null", "150"), denied("revoked")),
        // What would be revealed does not depend on the rule that refuses first.
        (decide(&callers, CALL, "null", "150"), allow()),
        (decide(&callers, &other("m2"), "null", "150"), revealing("model_not_in_scope")),
        (decide(&callers, &nowhere.replace("\"m1\"", "\"m2\""), "null", "150"), revealing("environment_required")),
        (
            decide(&callers, &other("m2").replace("call", "export_metrics"), "null", "150"),
            revealing("level_insufficient"),
        ),
        (decide(&callers, &own("\"resource\":\"r2\""), "null", "150"), denied("level_insufficient")),
        (decide(&callers, &other("m2"), "null", "200"), denied("expired")),
        // Own actions are ordinary, and every well-formed name is declared.
        (decide(&full, &own("\"resource\":null"), "null", "150"), allow()),
        (decide(KEY, &own("\"resource\":null"), "null", "150"), denied("environment_scoped")),
        (decide(&custom, &own("\"resource\":\"r1\""), "null", "150"), allow()),
        (decide(&custom, CALL, "null", "150"), allow()),
        (decide(&custom, &other("m2"), "null", "150"), revealing("resource_not_in_scope")),
        (decide(&custom, &own("\"resource\":\"r2\""), "null", "150"), revealing("resource_not_in_scope")),
        (decide(&custom, &own("\"resource\":null"), "null", "150"), denied("resource_required")),
        (decide(&custom, &CALL.replace("call", "manage"), "null", "150"), denied("action_not_in_scope")),
        (
            decide(&custom, &own("\"resource\":\"r2\"").replace("read", "write"), "null", "150"),
            revealing("action_not_in_scope"),
        ),
        // What only minting refuses is legal here.
        (decide(&never_allowed, &CALL.replace("call", "deploy"), "null", "150"), denied("environment_required")),
        (decide(&KEY.replace("200", "-200"), CALL, "null", "-201"), allow()),
    ];
    let table: Vec<_> = table.iter().map(|(question, expected)| (question.as_str(), expected.as_str())).collect();
    assert_answers(&table);
}

#[test]
fn managing_follows_the_page() {
    let manage = |actor: &str, operation: &str, target: &str, standing: &str| {
        format!(
            r#"{{"op":"manage","actor":{actor},"operation":"{operation}","target":{target},"standing":{standing},"now":150}}"#
        )
    };
    let team = r#"{"kind":"team","team":"core","expires_at":null}"#;
    let ada = r#"{"kind":"personal","user":"ada","expires_at":null}"#;
    let until = |target: &str, end: &str| target.replace("null", end);
    let (operator, user) = (r#"{"kind":"operator"}"#, r#"{"kind":"user","user":"ada"}"#);
    let key = |is_self: bool, key: &str| format!(r#"{{"kind":"key","self":{is_self},"key":{key}}}"#);
    let ending = PERSONAL.replace("\"expires_at\":null", "\"expires_at\":200");
    let invalid = PERSONAL.replace("\"models\":null", "\"models\":[]");
    assert_answers(&[
        (&manage(operator, "create", team, "null"), "\"allow\""),
        (&manage(user, "create", team, "null"), "\"standing_required\""),
        (&manage(user, "create", team, "\"member\""), "\"level_insufficient\""),
        (&manage(user, "create", team, "\"admin\""), "\"allow\""),
        (&manage(user, "create", ada, "\"outsider\""), "\"allow\""),
        (&manage(user, "create", &until(ada, "1"), "\"outsider\""), "\"allow\""),
        (&manage(user, "list", &ada.replace("ada", "bob"), "\"admin\""), "\"other_user\""),
        (&manage(user, "set_labels", team, "\"outsider\""), "\"other_team\""),
        (&manage(user, "end_overlap", team, "\"admin\""), "\"allow\""),
        // What yields or revives a secret of a user needs the user.
        (&manage(&key(false, PERSONAL), "create", ada, "\"admin\""), "\"session_required\""),
        (&manage(&key(false, PERSONAL), "rotate", ada, "\"member\""), "\"session_required\""),
        (&manage(&key(false, PERSONAL), "enable", ada, "\"member\""), "\"session_required\""),
        (&manage(&key(true, PERSONAL), "rotate", ada, "\"member\""), "\"session_required\""),
        (&manage(&key(false, PERSONAL), "set_labels", ada, "\"member\""), "\"allow\""),
        (&manage(&key(false, PERSONAL), "end_overlap", ada, "\"member\""), "\"allow\""),
        (&manage(&key(true, PERSONAL), "disable", ada, "\"member\""), "\"allow\""),
        (&manage(&key(false, PERSONAL), "disable", ada, "null"), "\"standing_required\""),
        // A key makes and revives nothing that outlives it.
        (&manage(&key(false, PERSONAL), "create", team, "\"admin\""), "\"allow\""),
        (&manage(&key(false, &ending), "create", team, "\"admin\""), "\"outlives_actor\""),
        (&manage(&key(false, &ending), "create", &until(team, "201"), "\"admin\""), "\"outlives_actor\""),
        (&manage(&key(false, &ending), "create", &until(team, "200"), "\"admin\""), "\"allow\""),
        (&manage(&key(false, &ending), "rotate", team, "\"admin\""), "\"outlives_actor\""),
        (&manage(&key(false, &ending), "enable", &until(team, "199"), "\"admin\""), "\"allow\""),
        (&manage(&key(false, &ending), "rename", team, "\"admin\""), "\"allow\""),
        (&manage(&key(false, &ending), "create", team, "\"member\""), "\"level_insufficient\""),
        (&manage(&key(true, KEY), "revoke", &until(team, "200"), "null"), "\"allow\""),
        (&manage(&key(false, KEY), "revoke", team, "null"), "\"level_insufficient\""),
        (&manage(&key(true, KEY), "rotate", &until(team, "200"), "null"), "\"level_insufficient\""),
        (&manage(&key(true, &KEY.replace("active", "revoked")), "revoke", &until(team, "200"), "null"), "\"revoked\""),
        // `self` names the key itself: its owner, its end, and one record.
        (&manage(&key(true, KEY), "revoke", team, "null"), "\"bad_line\""),
        (&manage(&key(true, KEY), "revoke", &until(team, "201"), "null"), "\"bad_line\""),
        (&manage(&key(true, KEY), "revoke", &until(team, "200").replace("core", "labs"), "null"), "\"bad_line\""),
        (&manage(&key(true, KEY), "revoke", &until(ada, "200"), "null"), "\"bad_line\""),
        (&manage(&key(true, KEY), "create", &until(team, "200"), "null"), "\"bad_line\""),
        (&manage(&key(true, KEY), "list", &until(team, "200"), "null"), "\"bad_line\""),
        (&manage(&key(false, &invalid), "revoke", ada, "null"), "\"invalid_grant\""),
        (&manage(&key(true, &invalid), "list", ada, "null"), "\"bad_line\""),
        (&manage(&operator.replace('}', ",\"x\":1}"), "create", team, "null"), "\"bad_line\""),
    ]);
}

#[test]
fn any_number_of_header_names_is_read() {
    let names: Vec<_> = (0..30_000).map(|number| format!(r#"["a{number}","x"]"#)).collect();
    let line = format!(
        r#"{{"op":"header","issuer":"kg","headers":[{},["authorization","Bearer x"]],"x_api_key":true}}"#,
        names.join(",")
    );
    assert_answers(&[(&line, "\"ok\",\"token\":\"x\"")]);
}

#[test]
fn a_token_of_the_issuer_is_misplaced_where_it_does_not_count() {
    for (issuer, name, value, expected) in [
        ("kg", "authorization", "Token K", "\"misplaced\""),
        ("kg", "Authorization", "K", "\"misplaced\""),
        ("kg", "X-Api-Key", "aKa", "\"misplaced\""),
        ("kg", "api-key", "K", "\"misplaced\""),
        ("kg", "proxy-authorization", "Bearer K", "\"misplaced\""),
        ("kg", "cookie", "K", "\"missing\""),
        ("acme", "authorization", "Token K", "\"missing\""),
    ] {
        let value = value.replace('K', "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61");
        let line =
            format!(r#"{{"op":"header","issuer":"{issuer}","headers":[["{name}","{value}"]],"x_api_key":false}}"#);
        assert_answers(&[(&line, expected)]);
    }
}

#[test]
fn headers_and_names_follow_the_page() {
    assert_answers(&[
        (r#"{"op":"header","issuer":"kg","headers":[],"x_api_key":false}"#, "\"missing\""),
        (
            r#"{"op":"header","issuer":"kg","headers":[["AUTHORIZATION","bearer x"]],"x_api_key":false}"#,
            "\"ok\",\"token\":\"x\"",
        ),
        (r#"{"op":"header","issuer":"kg","headers":[["x-api-key","x"]],"x_api_key":false}"#, "\"missing\""),
        (r#"{"op":"header","issuer":"kg","headers":[["x-api-key","x"]],"x_api_key":true}"#, "\"ok\",\"token\":\"x\""),
        (r#"{"op":"header","issuer":"kg","headers":[["authorization","Bearer"]],"x_api_key":false}"#, "\"malformed\""),
        (r#"{"op":"header","issuer":"kg","headers":[["authorization","Basic"]],"x_api_key":false}"#, "\"missing\""),
        (
            r#"{"op":"header","issuer":"kg","headers":[["authorization","Bearer x"],["x-api-key","x"]],"x_api_key":true}"#,
            "\"ok\",\"token\":\"x\"",
        ),
        (
            r#"{"op":"header","issuer":"kg","headers":[["authorization","Bearer x"],["x-api-key","y"]],"x_api_key":true}"#,
            "\"multiple\"",
        ),
        (r#"{"op":"header","issuer":"sk","headers":[],"x_api_key":false}"#, "\"invalid_issuer\""),
        (r#"{"op":"parse","issuer":"sk","token":"x"}"#, "\"invalid_issuer\""),
        (r#"{"op":"parse","issuer":"Kg","token":"x"}"#, "\"invalid_issuer\""),
        (r#"{"op":"parse","issuer":"","token":"x"}"#, "\"invalid_issuer\""),
        (r#"{"op":"header","issuer":"sk","headers":[["a b","x"]],"x_api_key":false}"#, "\"bad_line\""),
        (r#"{"op":"name","kind":"issuer","text":"sk"}"#, "\"invalid\""),
        (r#"{"op":"name","kind":"environment","text":"development"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"key","text":"-"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"team","text":""}"#, "\"invalid\""),
        (r#"{"op":"name","kind":"resource","text":"a/b"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"resource","text":"a b"}"#, "\"invalid\""),
        (r#"{"op":"name","kind":"action","text":"call"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"action","text":"projects:read"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"action","text":"projects"}"#, "\"invalid\""),
        (r#"{"op":"name","kind":"label","text":"cost-center"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"label","text":"Cost"}"#, "\"invalid\""),
    ]);
}

#[test]
fn scanning_follows_the_page() {
    let token = "kgt1_wk59pfKL0jFi2YYv_LBpEGbpRuHrzDSVdqUC8DwRDe03wkPM1_de913c61";
    let scan = |text: &str| serde_json::json!({ "op": "scan", "issuer": "kg", "text": text }).to_string();
    assert_answers(&[
        (&scan(""), "\"ok\",\"found\":[]"),
        (&scan(token), "\"ok\",\"found\":[[0,63]]"),
        (&scan(&format!("\u{e9}{token}\u{1f511}\n\0{token}")), "\"ok\",\"found\":[[2,65],[71,134]]"),
        (&scan(&format!("{token}-{token}")), "\"ok\",\"found\":[[0,63],[64,127]]"),
        (&scan(&format!("{token}{token}")), "\"ok\",\"found\":[[0,63],[63,126]]"),
        (&scan(&format!("_{token}")), "\"ok\",\"found\":[[1,64]]"),
        (&scan(&format!("{token}0")), "\"ok\",\"found\":[[0,63]]"),
        (&scan(&format!("\\n{token}\\n")), "\"ok\",\"found\":[[2,65]]"),
        (&scan(&format!("\x1b[32m{token}\x1b[0m")), "\"ok\",\"found\":[[5,68]]"),
        (&scan(&token.replace("de91", "de90")), "\"ok\",\"found\":[]"),
        (&scan(&token.replace("kgt1", "kgt2")), "\"ok\",\"found\":[]"),
        (&scan(&token.replace("kgt1", "KGt1")), "\"ok\",\"found\":[]"),
        (&scan(token).replace("\"kg\"", "\"acme\""), "\"ok\",\"found\":[]"),
        (&scan(token).replace("\"kg\"", "\"sk\""), "\"invalid_issuer\""),
        (&scan(token).replace("\"kg\"", "\"\""), "\"invalid_issuer\""),
        (&scan(token).replace("\"kg\"", "\"KG\""), "\"invalid_issuer\""),
    ]);
}

/// What others made is found where it is whole, whatever is around it, and nowhere else.
#[test]
fn vectors_are_found_as_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/token-v1.json")).unwrap();
    let (accept, reject) = (vectors["accept"].as_array().unwrap(), vectors["reject"].as_array().unwrap());
    let question = |case: &Value| {
        let text = format!("({})", case["token"].as_str().unwrap());
        serde_json::json!({ "op": "scan", "issuer": case["issuer"], "text": text }).to_string() + "\n"
    };
    let responses = ask(accept.iter().map(question).collect::<String>().as_bytes());
    assert_eq!(responses.len(), accept.len());
    for (case, answer) in accept.iter().zip(responses) {
        let end = case["token"].as_str().unwrap().len() + 1;
        assert_eq!(answer, format!("{{\"result\":\"ok\",\"found\":[[1,{end}]]}}"), "{case}");
    }
    let responses = ask(reject.iter().map(question).collect::<String>().as_bytes());
    assert_eq!(responses.len(), reject.len());
    for (case, answer) in reject.iter().zip(responses) {
        // These have something around a whole token, which a header must not have and a text may.
        let around = [
            "one too long",
            "doubled",
            "leading space",
            "trailing space",
            "trailing newline",
            "trailing NUL",
            "secret-token scheme",
            "bearer kept",
        ];
        let is_around = around.contains(&case["why"].as_str().unwrap());
        assert_eq!(answer != r#"{"result":"ok","found":[]}"#, is_around, "{case}: {answer}");
    }
}
