//! The statements of the pages on PostgreSQL, where the other tests have a file of SQLite.

use core::time::Duration;
use std::{env, thread, time::Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::gateway::Gateway;

/// Makes a database of its own on the server that the tests have; says what is skipped where there is none.
fn database() -> Option<String> {
    let Ok(server) = env::var("KEYGATE_TEST_POSTGRES") else {
        assert!(env::var_os("CI").is_none(), "PostgreSQL is missing: run the tests in with_postgres.sh");
        println!("skipped: PostgreSQL: run the tests in with_postgres.sh");
        return None;
    };
    let name = format!("console_{}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&server).await.unwrap();
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    });
    Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
}

#[test]
fn a_whole_life_on_postgresql() {
    let Some(database) = database() else { return };
    let gateway = Gateway::start_on(Some(&database), &[]);
    let administrator = gateway.administrator();
    assert_eq!(gateway.use_link(&gateway.link).status, 403);
    let ada = gateway.sign_in(&administrator.invite("ada", "core", "member"));
    let key = ada.personal_key("laptop");
    let again = ada.create(&[("form", "form-of-laptop"), ("for", "me"), ("name", "laptop"), ("expiry", "7")]);
    assert_eq!((again.status, again.secret()), (409, None));

    let bearer = format!("Bearer {key}");
    let path = "/models/labs0001/environments/production/predict";
    let call = || gateway.stranger().send("POST", path, &[("authorization", &bearer)], &[]).status;
    assert_eq!(call(), 404);
    let narrow = [
        ("form", "narrow"),
        ("for", "team:core"),
        ("name", "narrow"),
        ("level", "inference"),
        ("environments", "all"),
        ("models", "only"),
        ("model", "wxyz5678"),
        ("expiry", "7"),
    ];
    let narrow = administrator.create(&narrow).secret().unwrap();
    let of_narrow = format!("Bearer {narrow}");
    for _ in 0..2 {
        let path = "/models/abcd1234/environments/production/predict";
        assert_eq!(gateway.stranger().send("POST", path, &[("authorization", &of_narrow)], &[]).status, 404);
    }
    let page = || administrator.get(&format!("/console/keys/{}", narrow.split('_').nth(1).unwrap())).body;
    let start = Instant::now();
    while !page().contains("<small>2 times, last ") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", page());
        thread::sleep(Duration::from_millis(250));
    }
    assert!(administrator.get("/console/log").body.contains("Created as laptop"));
    assert!(administrator.get("/console/users/ada/deprovision").body.contains("1 session"));
    assert_eq!(administrator.post("/console/users/ada/deprovision", &[]).status, 303);
    assert_eq!((ada.is_signed_in(), call()), (false, 401));
    assert_eq!(administrator.post("/console/sign-out", &[]).status, 303);
    assert!(!administrator.is_signed_in());
}
