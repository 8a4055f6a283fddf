//! What an admin, a member and a stranger may see and do.

use crate::gateway::Gateway;

const PAGES: [&str; 6] = [
    "/console",
    "/console/keys/new",
    "/console/log",
    "/console/users",
    "/console/users/ada/deprovision",
    "/console/keys/ID",
];

#[test]
fn a_stranger_sees_nothing_and_changes_nothing() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    administrator.invite("ada", "core", "member");
    let id = administrator.personal_key("secret-name").split('_').nth(1).unwrap().to_owned();
    let stranger = gateway.stranger();
    for page in PAGES {
        let answer = stranger.get(&page.replace("ID", &id));
        assert_eq!(answer.status, 401, "{page}");
        assert!(!answer.body.contains("secret-name") && !answer.body.contains("Administrator"), "{page}");
    }
    for change in ["rename", "labels", "disable", "enable", "revoke", "rotate", "end-overlap"] {
        assert_eq!(stranger.post(&format!("/console/keys/{id}/{change}"), &[("name", "x")]).status, 401, "{change}");
    }
    assert_eq!(stranger.post("/console/keys", &[("form", "1")]).status, 401);
    assert_eq!(stranger.post("/console/users/ada/deprovision", &[]).status, 401);
    assert!(administrator.get(&format!("/console/keys/{id}")).body.contains("badge active"));
}

#[test]
fn a_member_has_their_own_keys_and_no_others() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let own = administrator.personal_key("of-the-administrator");
    let team = [
        ("form", "1"),
        ("for", "team:core"),
        ("name", "of-the-team"),
        ("level", "full"),
        ("environments", "all"),
        ("expiry", "never"),
    ];
    let team_key = administrator.create(&team).secret().unwrap();
    let ada = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    ada.personal_key("of-ada");

    let list = ada.get("/console").body;
    assert!(list.contains("of-ada") && !list.contains("of-the-administrator") && !list.contains("of-the-team"));
    assert!(!list.contains("/console/users"));
    for key in [&own, &team_key] {
        let id = key.split('_').nth(1).unwrap();
        assert!([403, 404].contains(&ada.get(&format!("/console/keys/{id}")).status));
        for change in ["disable", "revoke", "rotate"] {
            let answer = ada.post(&format!("/console/keys/{id}/{change}"), &[("form", "f"), ("how", "cut-over")]);
            assert!([403, 404].contains(&answer.status), "{change}: {}", answer.status);
        }
        assert!(!ada.get(&format!("/console/log?q={id}")).body.contains("Created as"));
    }
    // The form does not offer it, and the manager refuses it.
    assert!(!ada.get("/console/keys/new").body.contains("team:core"));
    let refused = ada.create(&team);
    assert_eq!((refused.status, refused.secret()), (403, None));
    for page in ["/console/users", "/console/users/admin/deprovision"] {
        assert_eq!(ada.get(page).status, 403);
    }
    assert_eq!(ada.post("/console/users", &[("user", "eve")]).status, 403);
    assert_eq!(ada.post("/console/users/admin/deprovision", &[]).status, 403);
    assert_eq!(ada.post("/console/users/admin/link", &[]).status, 403);
    let log = ada.get("/console/log").body;
    assert!(log.contains("of-ada") && !log.contains("of-the-team"));
    assert!(!ada.get("/console/log?owner=team:core").body.contains("of-the-team"));
}

#[test]
fn an_admin_of_a_team_has_its_keys_and_not_those_of_its_people() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let own = administrator.personal_key("of-the-administrator");
    let team = |form: &'static str, team: &'static str, name: &'static str| {
        [("form", form), ("for", team), ("name", name), ("level", "metrics"), ("models", "all"), ("expiry", "30")]
    };
    administrator.create(&team("1", "team:labs", "of-labs"));
    let bob = gateway.sign_in(&administrator.invite("bob", "core", "admin"));
    assert_eq!(bob.create(&team("1", "team:core", "of-core")).status, 200);
    let refused = bob.create(&team("2", "team:labs", "of-labs-2"));
    assert_eq!((refused.status, refused.secret()), (422, None));
    let list = bob.get("/console").body;
    assert!(list.contains("of-core") && !list.contains("of-labs") && !list.contains("of-the-administrator"));
    assert!([403, 404].contains(&bob.get(&format!("/console/keys/{}", own.split('_').nth(1).unwrap())).status));
}

#[test]
fn an_administrator_who_comes_back_is_none() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    gateway.sign_in(&administrator.invite("eve", "core", "admin"));
    gateway.execute("UPDATE gateway_users SET is_administrator = TRUE WHERE id = 'eve'");
    assert_eq!(administrator.post("/console/users/eve/deprovision", &[]).status, 303);
    let eve = gateway.sign_in(&administrator.invite("eve", "core", "admin"));
    assert_eq!(eve.get("/console/users").status, 403);
    assert_eq!(administrator.post("/console/users/admin/deprovision", &[]).status, 400, "not themselves");
}

#[test]
fn forms_name_no_team_model_or_environment_of_others() {
    let gateway = Gateway::start(&[]);
    let bob = gateway.sign_in(&gateway.administrator().invite("bob", "labs", "member"));
    let id = bob.personal_key("laptop").split('_').nth(1).unwrap().to_owned();
    let page = bob.get(&format!("/console/keys/{id}")).body;
    assert!(page.contains("\"labs0001\"") && page.contains("\"production\""), "{page}");
    let ask = |team: &str| bob.get(&format!("/console/keys/new?step=3&for=team:{team}&name=x&level=inference")).body;
    for text in ["abcd1234", "wxyz5678", "staging", "development", "team:core", "\"core\"", "Team Core"] {
        assert!(!page.contains(text), "{text}: {page}");
        assert!(!ask("core").contains(text), "{text}");
    }
    assert_eq!(ask("core"), ask("nobody"), "a team of others is as one that is not there");
    let create = |team: &str, model: &str| {
        let owner = format!("team:{team}");
        let fields = [("form", "1"), ("for", owner.as_str()), ("name", "x"), ("level", "inference"), ("expiry", "7")];
        let scopes = [("environments", "all"), ("models", "only"), ("model", model)];
        let answer = bob.create(&[&fields[..], &scopes].concat());
        (answer.status, answer.body)
    };
    assert_eq!(create("core", "abcd1234"), create("core", "none"));
    assert_eq!(create("core", "abcd1234"), create("nobody", "none"));
}

#[test]
fn the_page_of_a_key_tells_nothing_of_other_teams() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let bob = gateway.sign_in(&administrator.invite("bob", "labs", "member"));
    let key = bob.personal_key("laptop");
    let bearer = format!("Bearer {key}");
    let call = |path: &str| gateway.stranger().send("POST", path, &[("authorization", &bearer)], &[]).status;
    assert_eq!(call("/models/abcd1234/environments/production/predict"), 404);
    assert_eq!(call("/models/nobody00/environments/production/predict"), 404);
    let path = format!("/console/keys/{}", key.split('_').nth(1).unwrap());
    let start = std::time::Instant::now();
    while gateway.texts("SELECT what FROM gateway_refusals").len() < 2 {
        assert!(start.elapsed().as_secs() < 20, "the refusal is not written");
        std::thread::sleep(core::time::Duration::from_millis(250));
    }
    // For one who is not in the team, a model of it is as one that is not there.
    let page = bob.get(&path).body;
    assert!(!page.contains("abcd1234") && !page.contains("Check again"), "{page}");
    assert!(page.contains("Refused: a request. There is no such thing"), "{page}");
    assert!(page.contains("<small>2 times, last "), "both are one: {page}");
    // In the team, they see what it was.
    let join = [("user", "ann"), ("name", "ann"), ("team", "core"), ("role", "member")];
    assert_eq!(administrator.post("/console/users", &join).status, 200);
    gateway.execute(
        "INSERT INTO keygate_members (user_id, team_id, role) \
         SELECT 'bob', team_id, role FROM keygate_members WHERE user_id = 'ann'",
    );
    assert!(bob.get(&path).body.contains("Refused: call model abcd1234 in production"));
}

#[test]
fn a_user_has_an_id_that_a_path_can_name() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    for user in [".", "..", "a b", ""] {
        let form = [("user", user), ("name", "Dot"), ("team", "core"), ("role", "member")];
        assert_eq!(administrator.post("/console/users", &form).status, 422, "{user:?}");
    }
    assert!(gateway.texts("SELECT id FROM gateway_users WHERE name = 'Dot'").is_empty());
    for user in ["...", ".a", "a/b?c#d%2e"] {
        administrator.invite(user, "core", "member");
        let page = administrator.get("/console/users").body;
        let path = page.split('"').find(|text| text.ends_with("/deprovision") && !text.contains("/ada/")).unwrap();
        assert_eq!(administrator.post(&path.replace("&#38;", "&"), &[]).status, 303, "{path}");
    }
}
