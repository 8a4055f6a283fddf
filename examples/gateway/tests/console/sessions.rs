//! Links, sessions, and how both end.

use std::{process::Command, thread};

use crate::gateway::{BINARY, Gateway, Person, token};

/// Has the server print a link for a user.
fn sign_in_link(gateway: &Gateway, user: &str) -> String {
    let output = Command::new(BINARY).args(["--sign-in", user, "--data"]).arg(gateway.folder.path()).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    text.lines().find(|line| line.contains("?link=")).unwrap().trim().to_owned()
}

#[test]
fn a_link_works_once_and_opening_it_uses_nothing_up() {
    let gateway = Gateway::start(&[]);
    let path = gateway.link.strip_prefix(&gateway.base).unwrap();
    for _ in 0..3 {
        let shown = gateway.stranger().get(path);
        assert_eq!((shown.status, shown.cookie()), (200, None));
    }
    assert!(gateway.administrator().is_signed_in());
    let again = gateway.use_link(&gateway.link);
    assert_eq!((again.status, again.cookie()), (403, None));
    let wrong = gateway.use_link("?link=0000");
    assert_eq!((wrong.status, wrong.body == again.body), (403, true), "an unknown link is answered as a used one");
}

#[test]
fn of_many_who_use_a_link_at_once_one_is_signed_in() {
    let gateway = Gateway::start(&[]);
    let try_it = || gateway.use_link(&gateway.link).status;
    let statuses: Vec<_> = thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(try_it)).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
}

#[test]
fn a_link_ends_after_a_day_and_the_next_one_replaces_it() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let first = administrator.invite("ada", "core", "member");
    let second = administrator.post("/console/users/ada/link", &[]).text_of("link").unwrap();
    assert_eq!(gateway.use_link(&first).status, 403);
    let ends = gateway.texts("SELECT CAST(expires_at - unixepoch() AS TEXT) FROM gateway_sign_in_links");
    let seconds: u64 = ends.first().unwrap().parse().unwrap();
    assert!((86_340..=86_400).contains(&seconds), "{ends:?}");
    gateway.execute("UPDATE gateway_sign_in_links SET expires_at = unixepoch()");
    assert_eq!(gateway.use_link(&second).status, 403);
}

#[test]
fn of_many_links_that_are_made_at_once_at_most_one_works() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    administrator.invite("ada", "core", "member");
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(administrator.post("/console/users/ada/link", &[]).status, 200));
        }
    });
    let links = gateway.texts("SELECT user_id FROM gateway_sign_in_links WHERE user_id = 'ada'");
    assert!(links.len() <= 1, "{links:?}");
}

#[test]
fn the_cookie_is_for_this_site_and_no_script() {
    let gateway = Gateway::start(&[]);
    let signed_in = gateway.use_link(&gateway.link);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.starts_with("keygate="), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=3600"), "{cookie}");

    let gateway = Gateway::start(&["--host", "keys.example.com"]);
    let headers = [("host", "keys.example.com"), ("sec-fetch-site", "same-origin")];
    assert!(gateway.link.starts_with("https://keys.example.com/console/sign-in?link="), "{}", gateway.link);
    let path = format!("/console/sign-in?link={}", token(&gateway.link));
    let signed_in = gateway.stranger().send("POST", &path, &headers, &[]);
    let cookie = signed_in.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-keygate="), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=3600"), "{cookie}");
}

#[test]
fn signing_in_begins_a_session_that_nobody_named_before() {
    let gateway = Gateway::start(&[]);
    let mut planted = gateway.stranger();
    planted.cookie = "keygate=AAAAAAAAAAAAAAAAAAAAAA".into();
    let signed_in = planted.post(&format!("/console/sign-in?link={}", token(&gateway.link)), &[]);
    assert_ne!(signed_in.cookie().unwrap(), planted.cookie);
    assert!(!planted.is_signed_in());
    let id = signed_in.cookie().unwrap().split_once('=').unwrap().1.to_owned();
    let stored = gateway.texts("SELECT digest || data FROM gateway_sessions").concat();
    assert!(!stored.contains(&id), "what is stored opens no session");
}

#[test]
fn a_session_ends_by_signing_out_by_idleness_and_by_age() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    assert_eq!(administrator.post("/console/sign-out", &[]).status, 303);
    assert!(!administrator.is_signed_in());

    let idle = gateway.sign_in(&sign_in_link(&gateway, "admin"));
    gateway.execute("UPDATE gateway_sessions SET expires_at = unixepoch() - 1");
    assert!(!idle.is_signed_in());

    let old = gateway.sign_in(&sign_in_link(&gateway, "admin"));
    let begin_ago = |seconds: u32| {
        gateway.execute(&format!(
            "UPDATE gateway_sessions SET data = json_set(data, '$.signed_in.began_at', unixepoch() - {seconds})"
        ));
    };
    begin_ago(12 * 3600 - 30);
    assert!(old.is_signed_in());
    begin_ago(12 * 3600);
    assert!(!old.is_signed_in());
}

#[test]
fn a_session_that_is_used_goes_on() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    gateway.execute(
        "UPDATE gateway_sessions SET expires_at = unixepoch() + 60, \
         data = json_set(data, '$.signed_in.seen_at', unixepoch() - 3540)",
    );
    assert!(administrator.is_signed_in());
    let left = gateway.texts("SELECT CAST(expires_at - unixepoch() AS TEXT) FROM gateway_sessions");
    assert!(left.first().unwrap().parse::<u32>().unwrap() > 3500, "{left:?}");
}

#[test]
fn one_who_is_deprovisioned_loses_sessions_links_and_keys_in_one_act() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let ada = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    let key = ada.personal_key("ada-key");
    let bearer = format!("Bearer {key}");
    let call = || gateway.stranger().send("GET", "/v1/models", &[("authorization", &bearer)], &[]).status;
    assert_eq!((ada.is_signed_in(), call()), (true, 200));

    let asked = administrator.get("/console/users/ada/deprovision");
    assert!(asked.body.contains("ada-key") && asked.body.contains("1 session"), "it says what would end");
    assert_eq!((ada.is_signed_in(), call()), (true, 200), "asking ends nothing");

    assert_eq!(administrator.post("/console/users/ada/deprovision", &[]).status, 303);
    assert_eq!((ada.is_signed_in(), call()), (false, 401));
    let link = administrator.invite("bea", "core", "member");
    assert_eq!(administrator.post("/console/users/bea/deprovision", &[]).status, 303);
    assert_eq!(gateway.use_link(&link).status, 403);
    assert!(gateway.texts("SELECT digest FROM gateway_sessions WHERE user_id = 'ada'").is_empty());

    // One who comes back is somebody else.
    let back = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    assert_eq!((back.is_signed_in(), ada.is_signed_in(), call()), (true, false, 401));
}

/// What the API does ends sessions as well, also where its rows cannot be deleted.
#[test]
fn a_session_of_one_who_left_is_refused_by_the_directory() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let ada = gateway.sign_in(&administrator.invite("ada", "core", "admin"));
    gateway.execute("DELETE FROM keygate_members WHERE user_id = 'ada'");
    gateway.execute("DELETE FROM keygate_users WHERE id = 'ada'");
    assert!(!ada.is_signed_in());
    let bearer = format!("Bearer {}", gateway.key);
    let bob = gateway.sign_in(&administrator.invite("bob", "core", "admin"));
    let by_api = [("authorization", bearer.as_str())];
    let answer = gateway.stranger().send("POST", "/v1/users/bob/deprovision", &by_api, &[]);
    assert_eq!((answer.status, bob.is_signed_in()), (200, false), "{}", answer.body);
}

#[test]
fn wrong_links_lock_nobody_out() {
    let gateway = Gateway::start(&[]);
    for _ in 0..50 {
        assert_eq!(gateway.use_link("?link=0000").status, 403);
    }
    assert!(gateway.administrator().is_signed_in());
}

#[test]
fn a_link_for_a_user_that_is_not_there_is_not_made() {
    let gateway = Gateway::start(&[]);
    let output = Command::new(BINARY).args(["--sign-in", "nobody", "--data"]).arg(gateway.folder.path()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no such user"));
}

#[test]
fn a_secret_is_shown_also_where_the_session_cannot_be_written() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    gateway.execute("UPDATE gateway_sessions SET data = json_set(data, '$.signed_in.seen_at', unixepoch() - 120)");
    gateway.execute("CREATE TRIGGER full BEFORE UPDATE ON gateway_sessions BEGIN SELECT RAISE(FAIL, 'full'); END");
    administrator.personal_key("kept");
}

#[test]
fn a_link_is_not_used_up_where_no_session_can_begin() {
    let gateway = Gateway::start(&[]);
    gateway.execute("CREATE TRIGGER full BEFORE INSERT ON gateway_sessions BEGIN SELECT RAISE(FAIL, 'full'); END");
    let failed = gateway.use_link(&gateway.link);
    assert_eq!((failed.status, failed.cookie()), (503, None));
    gateway.execute("DROP TRIGGER full");
    assert!(gateway.administrator().is_signed_in());
}

#[test]
fn a_link_opens_only_while_the_one_who_made_it_is_an_administrator() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    administrator.invite("ada", "core", "member");
    administrator.invite("bob", "core", "member");
    let mallory = gateway.sign_in(&administrator.invite("mallory", "core", "admin"));
    let set_administrator = |person: &Person<'_>, value: &str| {
        gateway.execute(&format!("UPDATE gateway_users SET is_administrator = {value} WHERE id = 'mallory'"));
        while person.get("/console/users").status != if value == "TRUE" { 200 } else { 403 } {
            thread::sleep(core::time::Duration::from_millis(50));
        }
    };
    let link = |user: &str| mallory.post(&format!("/console/users/{user}/link"), &[]).text_of("link").unwrap();
    set_administrator(&mallory, "TRUE");
    let (for_ada, for_bob) = (link("ada"), link("bob"));
    set_administrator(&mallory, "FALSE");
    assert_eq!(gateway.use_link(&for_ada).status, 403);
    set_administrator(&mallory, "TRUE");
    gateway.sign_in(&for_ada);

    // One who comes back is somebody else.
    gateway.execute("DELETE FROM keygate_members WHERE user_id = 'mallory'");
    gateway.execute("DELETE FROM keygate_users WHERE id = 'mallory'");
    assert_eq!(gateway.use_link(&for_bob).status, 403);
    let back = gateway.sign_in(&administrator.invite("mallory", "core", "admin"));
    set_administrator(&back, "TRUE");
    assert_eq!(gateway.use_link(&for_bob).status, 403);
}

#[test]
fn the_page_of_a_link_names_its_user_and_who_is_signed_in() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let link = administrator.invite("ada", "core", "member");
    let bob = gateway.sign_in(&administrator.invite("bob", "core", "member"));
    let path = link.strip_prefix(&gateway.base).unwrap();
    let shown = gateway.stranger().get(path);
    assert!(shown.body.contains("as <strong>ada</strong>"), "{}", shown.body);
    let shown = bob.get(path);
    assert!(
        shown.body.contains("as <strong>ada</strong>") && shown.body.contains("signed in as bob"),
        "{}",
        shown.body
    );
    // One who was not told that they are signed in is told first.
    let told = bob.post(path, &[]);
    assert_eq!((told.status, told.cookie()), (409, None));
    assert!(told.body.contains("signed in as bob") && bob.is_signed_in(), "{}", told.body);
    let action = told.body.split("action=\"").find(|text| text.starts_with("/console/sign-in")).unwrap();
    let action = action.split('"').next().unwrap().replace("&#38;", "&");
    assert_eq!(bob.post(&action, &[]).status, 303);
    assert!(!bob.is_signed_in(), "their session is another one now");
}

#[test]
fn a_new_link_ends_the_sessions_of_its_user() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let stolen = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    let link = administrator.post("/console/users/ada/link", &[]).text_of("link").unwrap();
    assert!(!stolen.is_signed_in());
    let ada = gateway.sign_in(&link);
    assert!(ada.is_signed_in() && administrator.is_signed_in(), "nobody else's");
    sign_in_link(&gateway, "admin");
    assert!(ada.is_signed_in() && !administrator.is_signed_in(), "so does one that the server prints");
}
