//! Forms: nothing means "all", and a secret is shown once.

use std::thread;

use crate::gateway::Gateway;

const INFERENCE: [(&str, &str); 4] =
    [("for", "team:core"), ("name", "checkout"), ("level", "inference"), ("expiry", "30")];

#[test]
fn what_is_not_chosen_is_refused() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let all = [("environments", "all"), ("models", "all")];
    let only = [("environments", "only"), ("environment", "production"), ("models", "only"), ("model", "abcd1234")];
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[], "environments"),
        (&[("environments", "all")], "models"),
        (&[("models", "all")], "environments"),
        (&[("environments", "only"), ("models", "all")], "at least one"),
        (&[("environments", "only"), ("environment", " "), ("models", "all")], "at least one"),
        (&[("environments", "all"), ("models", "only")], "at least one"),
        (&[("environments", "some"), ("models", "all")], "environments"),
        (&[("environments", "all"), ("models", "only"), ("model", "labs0001")], "no such model"),
    ];
    for (number, (fields, text)) in cases.into_iter().enumerate() {
        let form = number.to_string();
        let sent = [&INFERENCE[..], fields, &[("form", form.as_str())]].concat();
        let answer = administrator.create(&sent);
        assert_eq!((answer.status, answer.secret()), (422, None), "{fields:?}");
        let (_, alert) = answer.body.split_once("role=\"alert\">").unwrap();
        assert!(alert.split('<').next().unwrap().contains(text), "{fields:?}");
    }
    for missing in ["for", "name", "level", "expiry"] {
        let kept = INFERENCE.into_iter().filter(|(name, _)| *name != missing);
        let sent: Vec<_> = kept.chain(all).chain([("form", missing)]).collect();
        let answer = administrator.create(&sent);
        assert_eq!((answer.status, answer.secret()), (422, None), "without {missing}");
    }
    let custom = [
        ("form", "c"),
        ("for", "team:core"),
        ("name", "c"),
        ("level", "custom"),
        ("expiry", "7"),
        ("environments", "all"),
        ("resources", "all"),
    ];
    assert_eq!(administrator.create(&custom).status, 422, "a custom key lists its actions");
    assert_eq!(gateway.texts("SELECT name FROM keygate_keys"), ["first-key"]);

    let made = administrator.create(&[&INFERENCE[..], &only, &[("form", "made")]].concat());
    assert!(made.secret().is_some(), "{}", made.body);
    let page = administrator.get("/console").body;
    assert!(page.contains("<small>production</small>") && page.contains("Llama 4 Scout (abcd1234)"));
}

#[test]
fn nothing_is_chosen_before_the_person_chooses() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    for query in [
        "",
        "?step=2&for=team:core&name=a",
        "?step=3&for=team:core&name=a&level=inference",
        "?step=3&for=team:core&name=a&level=custom",
        "?step=2&for=me&name=a",
    ] {
        let page = administrator.get(&format!("/console/keys/new{query}")).body;
        for radio in
            page.split("<input").filter(|input| input.contains("type=\"radio\"") || input.contains("type=\"checkbox\""))
        {
            let tag = radio.split('>').next().unwrap();
            let is_asked_before = tag.contains("name=\"for\"") || tag.contains("name=\"level\"");
            assert!(!tag.contains("checked") || is_asked_before, "{query}: {tag}");
            assert!(tag.contains("required") || tag.contains("checkbox"), "{query}: {tag}");
        }
    }
}

#[test]
fn the_secret_is_in_one_answer_and_a_reload_makes_no_other() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let form = [("form", "once"), ("for", "me"), ("name", "mine"), ("expiry", "never")];
    let made = administrator.create(&form);
    let secret = made.secret().unwrap();
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    let id = secret.split('_').nth(1).unwrap();

    let again = administrator.create(&form);
    assert_eq!((again.status, again.secret()), (409, None));
    assert!(again.body.contains(&format!("/console/keys/{id}/rotate")), "it says which key was made");

    let rotate = |form: &str, how: &str| {
        administrator.post(&format!("/console/keys/{id}/rotate"), &[("form", form), ("how", how), ("overlap", "3600")])
    };
    let second = rotate("r", "start").secret().unwrap();
    assert_ne!(second, secret);
    assert_eq!((rotate("r", "start").status, rotate("r", "cut-over").status), (409, 409));
    for page in ["/console", &format!("/console/keys/{id}"), "/console/log", &format!("/console/keys/{id}/revoke")] {
        let page = administrator.get(page).body;
        let hidden = |secret: &str| !page.contains(secret.split('_').nth(2).unwrap());
        assert!(hidden(&secret) && hidden(&second));
    }
    let bearer = |secret: &str| {
        let header = format!("Bearer {secret}");
        gateway.stranger().send("GET", "/v1/models", &[("authorization", header.as_str())], &[]).status
    };
    assert_eq!((bearer(&secret), bearer(&second)), (200, 200), "the old secret stays for a time");
    assert_eq!(administrator.post(&format!("/console/keys/{id}/end-overlap"), &[]).status, 303);
    assert_eq!((bearer(&secret), bearer(&second)), (401, 200));
}

#[test]
fn a_form_that_is_sent_twice_at_once_makes_one_key() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let send = || administrator.create(&[("form", "once"), ("for", "me"), ("name", "mine"), ("expiry", "7")]).status;
    let statuses: Vec<_> = thread::scope(|scope| {
        let tries: Vec<_> = (0..6).map(|_| scope.spawn(send)).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 5, "{statuses:?}");
}

#[test]
fn what_the_policy_forbids_is_neither_offered_nor_made() {
    let gateway = Gateway::start(&["--max-key-days", "30"]);
    let administrator = gateway.administrator();
    let page = administrator.get("/console/keys/new?step=2&for=me&name=mine").body;
    let offered: Vec<_> =
        page.split("name=\"expiry\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(offered, ["7", "30", "date"]);
    for (number, (expiry, date)) in
        [("90", ""), ("365", ""), ("never", ""), ("date", "2099-01-01"), ("date", "2001-01-01"), ("date", "x")]
            .into_iter()
            .enumerate()
    {
        let form = number.to_string();
        let answer = administrator.create(&[
            ("form", &form),
            ("for", "me"),
            ("name", "mine"),
            ("expiry", expiry),
            ("date", date),
        ]);
        assert_eq!((answer.status, answer.secret()), (422, None), "{expiry} {date}");
        assert!(answer.body.contains("role=\"alert\""));
    }
}

#[test]
fn a_name_that_is_taken_can_be_mended_in_place() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    administrator.personal_key("taken");
    let taken = administrator.create(&[("form", "2"), ("for", "me"), ("name", "taken"), ("expiry", "30")]);
    assert_eq!(taken.status, 422);
    assert!(taken.body.contains("Another key of this owner has that name"));
    let expiry = taken.body.split("value=\"30\"").nth(1).unwrap().split('>').next().unwrap();
    assert!(expiry.contains("checked"), "what was chosen stays: {expiry}");
    let form = taken.body.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(administrator.create(&[("form", form), ("for", "me"), ("name", "free"), ("expiry", "30")]).status, 200);
}

#[test]
fn what_a_person_writes_is_text_on_the_page() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let evil = "<script>alert(1)</script>";
    administrator.post("/console/users", &[("user", "eve"), ("name", evil), ("team", "core"), ("role", "member")]);
    let id = administrator.personal_key("mine").split('_').nth(1).unwrap().to_owned();
    let labels = administrator.post(&format!("/console/keys/{id}/labels"), &[("labels", &format!("note={evil}"))]);
    assert_eq!(labels.status, 303);
    for page in [
        "/console/users",
        "/console",
        "/console?q=%3Cscript%3Ealert(1)%3C/script%3E",
        &format!("/console/keys/{id}"),
        "/console/log",
    ] {
        assert!(!administrator.get(page).body.contains(evil), "{page}");
    }
}

#[test]
fn the_page_of_a_key_tells_what_was_refused_lately() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let form = [("form", "1"), ("environments", "all"), ("models", "only"), ("model", "wxyz5678")];
    let token = administrator.create(&[&INFERENCE[..], &form].concat()).secret().unwrap();
    let bearer = format!("Bearer {token}");
    let path = "/models/abcd1234/environments/production/predict";
    for _ in 0..3 {
        let answer = gateway.stranger().send("POST", path, &[("authorization", &bearer)], &[]);
        assert_eq!(answer.status, 404);
    }
    let page = || administrator.get(&format!("/console/keys/{}", token.split('_').nth(1).unwrap())).body;
    let start = std::time::Instant::now();
    while !page().contains("Refused: call model abcd1234 in production. The key is restricted to other models.") {
        assert!(start.elapsed().as_secs() < 20, "{}", page());
        thread::sleep(core::time::Duration::from_millis(250));
    }
    let shown = page();
    assert!(shown.contains("<small>3 times, last "), "{shown}");
    // It leads to the decision that the request would get now.
    let link = shown.split('"').find(|text| text.contains("?action=call")).unwrap().replace("&#38;", "&");
    let asked = administrator.get(link.split('#').next().unwrap()).body;
    assert!(asked.contains("<strong>Refused.</strong> The key is restricted to other models."), "{asked}");
}

#[test]
fn filters_find_what_needs_attention() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    for name in ["unused", "used", "rotated", "ended"] {
        administrator.personal_key(name);
    }
    let id = |name: &str| gateway.texts(&format!("SELECT id FROM keygate_keys WHERE name = '{name}'")).remove(0);
    let (old, rotated) = ("unixepoch() - 91 * 86400", id("rotated"));
    let form = [("form", "r"), ("how", "start"), ("overlap", "86400")];
    assert!(administrator.post(&format!("/console/keys/{rotated}/rotate"), &form).secret().is_some());
    gateway.execute(&format!("UPDATE keygate_keys SET created_at = {old} WHERE name <> 'rotated'"));
    gateway.execute("UPDATE keygate_keys SET last_used_at = unixepoch() - 60 WHERE name IN ('used', 'first-key')");
    gateway.execute("UPDATE keygate_keys SET expires_at = unixepoch() - 60 WHERE name = 'ended'");
    let shown = |query: &str| {
        let page = administrator.get(&format!("/console?{query}")).body;
        let mut names: Vec<_> = page
            .split("<a class=\"name\"")
            .skip(1)
            .map(|rest| rest.split(['>', '<']).nth(1).unwrap().to_owned())
            .collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(shown(""), "first-key rotated unused used", "ended keys are behind the toggle");
    assert_eq!(shown("ended=show"), "ended first-key rotated unused used");
    assert_eq!(shown("only=unused"), "unused");
    assert_eq!(shown("only=never-ends"), "first-key");
    assert_eq!(shown("only=ends-soon"), "rotated unused used");
    assert_eq!(shown("only=old-secret"), "", "the old secret was not used since");
    gateway.execute("UPDATE keygate_keys SET previous_last_used_at = unixepoch() WHERE previous_digest IS NOT NULL");
    assert_eq!(shown("only=old-secret"), "rotated");
    assert_eq!(shown("q=USED"), "unused used");
    assert_eq!(shown(&format!("q={rotated}")), "rotated");
}

#[test]
fn a_list_that_is_not_whole_says_so() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    administrator.personal_key("last");
    let columns = gateway.texts("SELECT name FROM pragma_table_info('keygate_keys')");
    let values: Vec<_> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" => "printf('Z%015d', number)",
            "name" => "'fill-' || number",
            "created_at" => "created_at - 1",
            other => other,
        })
        .collect();
    gateway.execute(&format!(
        "INSERT INTO keygate_keys ({}) WITH RECURSIVE numbers(number) AS \
         (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 10000) \
         SELECT {} FROM keygate_keys, numbers WHERE name = 'last'",
        columns.join(", "),
        values.join(", ")
    ));
    let shown = |query: &str| {
        let page = administrator.get(&format!("/console?q=last{query}")).body;
        (page.contains(">last</a>"), page.contains("There are more keys than this page reads."))
    };
    assert_eq!(shown(""), (false, true));
    // What is revoked takes no room from what is not.
    gateway.execute(
        "UPDATE keygate_keys SET status = 'revoked', revoked_at = created_at, revoked_cause = 'requested' \
         WHERE name LIKE 'fill-%'",
    );
    assert_eq!(shown(""), (true, false));
    assert_eq!(shown("&ended=show"), (false, true));
}

#[test]
fn the_latest_refusals_are_kept() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    gateway.execute(
        "INSERT INTO gateway_models (id, team_id, name) WITH RECURSIVE numbers(number) AS \
         (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 60) \
         SELECT printf('mm%06d', number), 'core', 'M' FROM numbers",
    );
    gateway.execute(
        "INSERT INTO gateway_deployments (id, model_id) SELECT 'd-' || id, id FROM gateway_models WHERE id LIKE 'mm%'",
    );
    gateway.execute(
        "INSERT INTO gateway_environments (model_id, name, deployment_id) \
         SELECT id, 'production', 'd-' || id FROM gateway_models WHERE id LIKE 'mm%'",
    );
    let form = [("form", "1"), ("environments", "only"), ("environment", "staging"), ("models", "all")];
    let token = administrator.create(&[&INFERENCE[..], &form].concat()).secret().unwrap();
    let bearer = format!("Bearer {token}");
    let call = |model: &str| {
        let path = format!("/models/{model}/environments/production/predict");
        let answer = gateway.stranger().send("POST", &path, &[("authorization", &bearer)], &[]);
        assert_eq!(answer.status, 403);
    };
    let wait = |is_there: &dyn Fn() -> bool| {
        let start = std::time::Instant::now();
        while !is_there() {
            assert!(start.elapsed().as_secs() < 20, "{:?}", gateway.texts("SELECT event FROM gateway_refusals"));
            thread::sleep(core::time::Duration::from_millis(250));
        }
    };
    let kept = || gateway.texts("SELECT what FROM gateway_refusals").len();
    // A moment later, the server knows them.
    thread::sleep(core::time::Duration::from_millis(1500));
    for number in 1..=60 {
        call(&format!("mm{number:06}"));
    }
    wait(&|| kept() == 50);
    thread::sleep(core::time::Duration::from_secs(1));
    call("abcd1234");
    let page = || administrator.get(&format!("/console/keys/{}", token.split('_').nth(1).unwrap())).body;
    wait(&|| page().contains("Refused: call model abcd1234 in production"));
    assert_eq!(kept(), 50);
}

#[test]
fn refusals_of_two_people_are_two() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let form = [("form", "1"), ("environments", "all"), ("models", "all")];
    let token = administrator.create(&[&INFERENCE[..], &form].concat()).secret().unwrap();
    let id = token.split('_').nth(1).unwrap();
    for user in ["ada", "bob"] {
        let person = gateway.sign_in(&administrator.invite(user, "core", "member"));
        assert!([403, 404].contains(&person.post(&format!("/console/keys/{id}/disable"), &[]).status));
    }
    let page = || administrator.get(&format!("/console/keys/{id}")).body;
    let start = std::time::Instant::now();
    while !(page().contains("<small>1 time, last ") && page().contains("· ada") && page().contains("· bob")) {
        assert!(start.elapsed().as_secs() < 20, "{}", page());
        thread::sleep(core::time::Duration::from_millis(250));
    }
}

#[test]
fn what_is_to_be_tried_runs_nothing_of_a_model_id() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let model = "x';echo${IFS}run;'\"\\";
    let quoted = model.replace('\'', "''");
    gateway.execute("INSERT INTO gateway_teams (id, name) VALUES ('odd', 'Odd')");
    gateway.execute(&format!("INSERT INTO gateway_models (id, team_id, name) VALUES ('{quoted}', 'odd', 'Odd')"));
    gateway.execute(&format!("INSERT INTO gateway_deployments (id, model_id) VALUES ('odd', '{quoted}')"));
    gateway.execute(&format!(
        "INSERT INTO gateway_environments (model_id, name, deployment_id) VALUES ('{quoted}', 'production', 'odd')"
    ));
    thread::sleep(core::time::Duration::from_millis(1500));
    let ivy = gateway.sign_in(&administrator.invite("ivy", "odd", "admin"));
    let made = ivy.create(&[("form", "1"), ("for", "me"), ("name", "mine"), ("expiry", "7")]);
    let snippet = made.text_of("snippet-curl").unwrap();
    let snippet = [("&#39;", "'"), ("&#34;", "\""), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
        .into_iter()
        .fold(snippet, |text, (from, to)| text.replace(from, to));
    let script = format!("curl() {{ for last; do :; done; printf '%s' \"$last\"; }}\n{snippet}");
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sent.get("model").and_then(|model| model.as_str()), Some(model));
    let python = made.text_of("snippet-python").unwrap();
    assert!(python.contains(r#"model=&#34;x&#39;;echo${IFS}run;&#39;\&#34;\\&#34;,"#), "{python}");
}

#[test]
fn a_day_has_one_spelling() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    for (number, date) in ["2090-01-31T00:00[Asia/Tokyo]", "20900131", "2090-1-31", "2090-01-31 00:00", "+002090-01-31"]
        .iter()
        .enumerate()
    {
        let form = number.to_string();
        let fields = [("form", form.as_str()), ("for", "me"), ("name", "mine"), ("expiry", "date"), ("date", date)];
        assert_eq!(administrator.create(&fields).status, 422, "{date}");
    }
    let fields = [("form", "f"), ("for", "me"), ("name", "mine"), ("expiry", "date"), ("date", "2090-01-31")];
    assert_eq!(administrator.create(&fields).status, 200);
}
