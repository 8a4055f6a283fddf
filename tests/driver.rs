//! The driver: one line in, one line out, by the public API.
#![cfg(all(feature = "getrandom", feature = "http", feature = "memory", feature = "serde"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot run its driver fails")]

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use serde_json::Value;

/// Builds the driver, once, where this test was built: `cargo test --test driver` alone builds no examples.
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
    let vectors: Value = serde_json::from_str(include_str!("vectors/token-v1.json")).unwrap();
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
const KEY: &str = r#"{"status":"active","not_before":null,"expires_at":200,"owner":{"kind":"team","team":"core"},"level":"full","environments":["production"],"models":null}"#;
const CALL: &str = r#"{"team":"core","action":"call","model":"m1","environment":"production"}"#;

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
        r#"{"op":"header","headers":[["authorization"]],"x_api_key":false}"#,
        r#"{"op":"header","headers":[["author ization","x"]],"x_api_key":false}"#,
        r#"{"op":"header","headers":[["authorization","x\u0000"]],"x_api_key":false}"#,
        r#"{"op":"header","headers":[]}"#,
        // The number of a variant is not its name.
        r#"{"op":0,"issuer":"kg","token":"x"}"#,
        r#"{"op":"manage","actor":{"kind":"operator"},"operation":"create","target":{"kind":1,"team":"core"},"standing":null,"now":1}"#,
        r#"{"op":"manage","actor":{"kind":0},"operation":"create","target":{"kind":"team","team":"core"},"standing":null,"now":1}"#,
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    questions.push(b"{\"op\":\"parse\",\"issuer\":\"kg\",\"token\":\"\xff\"}".to_vec());
    for (key, request, standing, now) in [
        (KEY.replace(",\"models\":null", ""), CALL.into(), "null", "1"),
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

#[test]
fn grants_that_cannot_be_are_invalid() {
    let personal = KEY.replace(r#""kind":"team","team":"core""#, r#""kind":"personal","user":"ada""#);
    for key in [
        KEY.replace("[\"production\"]", "[]"),
        KEY.replace("\"production\"", "\"development\""),
        KEY.replace("\"production\"", "\"Production\""),
        KEY.replace("\"models\":null", "\"models\":[\"m1\"]"),
        KEY.replace("full", "metrics_only"),
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
    let personal = r#"{"status":"active","not_before":null,"expires_at":null,"owner":{"kind":"personal","user":"ada"},"level":null,"environments":null,"models":null}"#;
    let twice = KEY.replace("[\"production\"]", "[\"production\",\"production\"]");
    let other = CALL.replace("\"environment\":\"production\"", "\"environment\":null");
    assert_answers(&[
        (&decide(KEY, CALL, "null", "150"), "\"allow\""),
        (&decide(&twice, CALL, "\"outsider\"", "199"), "\"allow\""),
        (&decide(KEY, CALL, "null", "200"), "\"expired\""),
        (&decide(KEY, &other, "null", "150"), "\"environment_required\""),
        (&decide(&KEY.replace("active", "revoked"), CALL, "null", "200"), "\"revoked\""),
        (&decide(&KEY.replace("active", "disabled"), CALL, "null", "200"), "\"disabled\""),
        (&decide(personal, CALL, "null", "150"), "\"standing_required\""),
        (&decide(personal, CALL, "\"member\"", "150"), "\"allow\""),
        (&decide(personal, CALL, "\"deprovisioned\"", "150"), "\"owner_deprovisioned\""),
        (&decide(&personal.replace("active", "revoked"), CALL, "null", "150"), "\"revoked\""),
    ]);
}

#[test]
fn managing_follows_the_page() {
    let manage = |actor: &str, operation: &str, target: &str, standing: &str| {
        format!(
            r#"{{"op":"manage","actor":{actor},"operation":"{operation}","target":{target},"standing":{standing},"now":150}}"#
        )
    };
    let (team, ada) = (r#"{"kind":"team","team":"core"}"#, r#"{"kind":"personal","user":"ada"}"#);
    let (operator, user) = (r#"{"kind":"operator"}"#, r#"{"kind":"user","user":"ada"}"#);
    let key = |is_self: bool, key: &str| format!(r#"{{"kind":"key","self":{is_self},"key":{key}}}"#);
    let personal = r#"{"status":"active","not_before":null,"expires_at":null,"owner":{"kind":"personal","user":"ada"},"level":null,"environments":null,"models":null}"#;
    assert_answers(&[
        (&manage(operator, "create", team, "null"), "\"allow\""),
        (&manage(user, "create", team, "null"), "\"standing_required\""),
        (&manage(user, "create", team, "\"member\""), "\"level_insufficient\""),
        (&manage(user, "create", team, "\"admin\""), "\"allow\""),
        (&manage(user, "create", ada, "\"outsider\""), "\"allow\""),
        (&manage(user, "list", &ada.replace("ada", "bob"), "\"admin\""), "\"other_user\""),
        (&manage(&key(false, personal), "create", ada, "\"admin\""), "\"session_required\""),
        (&manage(&key(false, personal), "rotate", ada, "\"member\""), "\"allow\""),
        (&manage(&key(true, KEY), "revoke", team, "null"), "\"allow\""),
        (&manage(&key(false, KEY), "revoke", team, "null"), "\"level_insufficient\""),
        (&manage(&key(true, KEY), "rotate", team, "null"), "\"level_insufficient\""),
        (&manage(&key(true, &KEY.replace("active", "revoked")), "revoke", team, "null"), "\"revoked\""),
        (&manage(&operator.replace('}', ",\"x\":1}"), "create", team, "null"), "\"bad_line\""),
    ]);
}

#[test]
fn any_number_of_header_names_is_read() {
    let names: Vec<_> = (0..30_000).map(|number| format!(r#"["a{number}","x"]"#)).collect();
    let line =
        format!(r#"{{"op":"header","headers":[{},["authorization","Bearer x"]],"x_api_key":true}}"#, names.join(","));
    assert_answers(&[(&line, "\"ok\",\"token\":\"x\"")]);
}

#[test]
fn headers_and_names_follow_the_page() {
    assert_answers(&[
        (r#"{"op":"header","headers":[],"x_api_key":false}"#, "\"missing\""),
        (r#"{"op":"header","headers":[["AUTHORIZATION","bearer x"]],"x_api_key":false}"#, "\"ok\",\"token\":\"x\""),
        (r#"{"op":"header","headers":[["x-api-key","x"]],"x_api_key":false}"#, "\"missing\""),
        (r#"{"op":"header","headers":[["x-api-key","x"]],"x_api_key":true}"#, "\"ok\",\"token\":\"x\""),
        (r#"{"op":"header","headers":[["authorization","Bearer"]],"x_api_key":false}"#, "\"malformed\""),
        (r#"{"op":"header","headers":[["authorization","Basic"]],"x_api_key":false}"#, "\"missing\""),
        (r#"{"op":"name","kind":"issuer","text":"sk"}"#, "\"invalid\""),
        (r#"{"op":"name","kind":"environment","text":"development"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"key","text":"-"}"#, "\"ok\""),
        (r#"{"op":"name","kind":"team","text":""}"#, "\"invalid\""),
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
        (&scan(&format!("{token}{token}")), "\"ok\",\"found\":[]"),
        (&scan(&format!("_{token}")), "\"ok\",\"found\":[]"),
        (&scan(&format!("{token}0")), "\"ok\",\"found\":[]"),
        (&scan(&token.replace("de91", "de90")), "\"ok\",\"found\":[]"),
        (&scan(&token.replace("kgt1", "kgt2")), "\"ok\",\"found\":[]"),
        (&scan(&token.replace("kgt1", "KGt1")), "\"ok\",\"found\":[]"),
        (&scan(token).replace("\"kg\"", "\"acme\""), "\"ok\",\"found\":[]"),
        (&scan(token).replace("\"kg\"", "\"sk\""), "\"invalid_issuer\""),
        (&scan(token).replace("\"kg\"", "\"\""), "\"invalid_issuer\""),
        (&scan(token).replace("\"kg\"", "\"KG\""), "\"invalid_issuer\""),
    ]);
}

/// What others made is found where it is whole, and nowhere else.
#[test]
fn vectors_are_found_as_they_say() {
    let vectors: Value = serde_json::from_str(include_str!("vectors/token-v1.json")).unwrap();
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
