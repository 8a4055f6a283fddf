//! From which sites and for which hosts the pages are served, and what a browser may do with them.

use crate::gateway::Gateway;

#[test]
fn a_change_comes_from_the_pages_themselves() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    let key = administrator.personal_key("victim");
    let id = key.split('_').nth(1).unwrap();
    let disable = format!("/console/keys/{id}/disable");
    let host = gateway.base.strip_prefix("http://").unwrap();
    let other_port = "http://127.0.0.1:1";
    let (other_scheme, no_scheme) = (format!("https://{host}"), format!("x://{host}"));
    let refused: [&[(&str, &str)]; 11] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", &gateway.base)],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", other_port)],
        &[("origin", &other_scheme)],
        &[("origin", &no_scheme)],
        &[("referer", &gateway.base)],
    ];
    for headers in refused {
        assert_eq!(administrator.send("POST", &disable, headers, &[]).status, 403, "{headers:?}");
        for method in ["DELETE", "PUT", "PATCH"] {
            assert_eq!(administrator.send(method, &disable, headers, &[]).status, 403, "{method} {headers:?}");
        }
    }
    let status = || administrator.get(&format!("/console/keys/{id}")).body.contains("badge disabled");
    assert!(!status(), "nothing was changed");
    let allowed: [&[(&str, &str)]; 2] =
        [&[("sec-fetch-site", "same-origin")], &[("origin", &format!("http://{host}"))]];
    for headers in allowed {
        assert_eq!(administrator.send("POST", &disable, headers, &[]).status, 303, "{headers:?}");
    }
    assert!(status());
}

#[test]
fn pages_are_for_loopback_and_the_configured_host() {
    let gateway = Gateway::start(&["--host", "keys.example.com"]);
    let ask = |path: &str, host: &str| gateway.stranger().send("GET", path, &[("host", host)], &[]).status;
    for host in [
        "127.0.0.1",
        "127.0.0.1:8080",
        "127.8.8.8",
        "localhost:1",
        "LOCALHOST",
        "[::1]:8080",
        "keys.example.com",
        "Keys.Example.com:443",
    ] {
        assert_eq!(ask("/console/sign-in?link=x", host), 200, "{host}");
    }
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "keys.example.com.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "[::2]",
        "0.0.0.0",
        "localhost/evil?a=",
        "localhost?a=",
        "localhost#a",
        "a@localhost",
    ] {
        assert_eq!(ask("/console/sign-in?link=x", host), 421, "{host}");
        assert_eq!(ask("/v1/models", host), 401, "keys may be used under any name");
    }
}

#[test]
fn a_browser_is_told_what_the_pages_need_and_no_more() {
    let gateway = Gateway::start(&[]);
    let administrator = gateway.administrator();
    for path in ["/console", "/console/keys/new", "/console/log", "/console/users", "/console/nothing"] {
        for person in [&administrator, &gateway.stranger()] {
            let page = person.get(path);
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self'"), "{policy}");
            assert!(policy.contains("frame-ancestors 'none'") && policy.contains("base-uri 'none'"), "{policy}");
            assert_eq!(page.header("cache-control"), Some("no-store"));
            assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
            assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
            assert!(!page.body.contains(" style=") && !page.body.contains("<style"), "{path}");
            let attributes = page.body.split(" on").skip(1);
            let mut ends = attributes.map(|rest| rest.trim_start_matches(|symbol: char| symbol.is_ascii_lowercase()));
            assert!(!ends.any(|rest| rest.starts_with('=')), "{path} has a handler in its text");
            let outside = page.body.split("href=\"").skip(1).find(|link| !link.starts_with(['/', '#']));
            assert_eq!(outside, None, "{path}");
        }
    }
    let page = administrator.get("/console").body;
    for extension in [".css", ".js", ".svg"] {
        let path =
            page.split('"').find(|text| text.starts_with("/console/assets/") && text.ends_with(extension)).unwrap();
        let asset = gateway.stranger().get(path);
        assert_eq!(asset.status, 200);
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    assert_eq!(gateway.stranger().get("/console/assets/other.css").status, 404);
}

#[test]
fn the_root_is_the_page_for_browsers_alone() {
    let gateway = Gateway::start(&[]);
    let ask = |accept: &str| gateway.stranger().send("GET", "/", &[("accept", accept)], &[]);
    let browser = ask("text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!((browser.status, browser.header("location")), (303, Some("/console")));
    assert_eq!(ask("*/*").status, 401);
    assert_eq!(ask("application/json").status, 401);
}

#[test]
fn an_origin_is_a_scheme_and_a_host() {
    let gateway = Gateway::start(&["--host", "keys.example.com"]);
    let sign_out = |host: &str, origin: &str| {
        gateway.stranger().send("POST", "/console/sign-out", &[("host", host), ("origin", origin)], &[])
    };
    let name = "keys.example.com";
    let answer = sign_out(name, "https://keys.example.com");
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert_eq!(sign_out(name, "http://keys.example.com").status, 403);
    assert_eq!(sign_out(name, "x://keys.example.com").status, 403);
    // There is no TLS here: on this machine itself, the scheme is HTTP.
    let answer = sign_out("localhost:1", "http://localhost:1");
    assert_eq!((answer.status, answer.header("strict-transport-security")), (303, None));
    assert_eq!(sign_out("localhost:1", "https://localhost:1").status, 403);
}

#[test]
fn the_page_is_found_with_a_slash_behind_it() {
    let gateway = Gateway::start(&[]);
    let answer = gateway.stranger().get("/console/");
    assert_eq!((answer.status, answer.header("location")), (308, Some("/console")));
}
