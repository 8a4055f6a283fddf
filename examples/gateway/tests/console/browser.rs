//! Every flow in Chromium, from end to end: `browser.js` is the script, with Playwright and axe.

use std::{env, path::PathBuf, process::Command};

use crate::gateway::{BINARY, Gateway};

const HOW: &str = "install chromium and node, npm install playwright-core axe-core, and set KEYGATE_TEST_NODE_MODULES to \
                   the node_modules";

/// The folder with the modules, if everything is there; says what is skipped otherwise.
fn modules() -> Option<String> {
    let folder = env::var("KEYGATE_TEST_NODE_MODULES").unwrap_or_else(|_| "node_modules".into());
    let requires = "require(process.argv[1] + '/playwright-core'); require(process.argv[1] + '/axe-core')";
    let has = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if has(Command::new("node").args(["-e", requires, &folder])) && has(Command::new(chromium()).arg("--version")) {
        return Some(folder);
    }
    assert!(env::var_os("CI").is_none(), "a browser is missing: {HOW}");
    println!("skipped: the pages in a browser: {HOW}");
    None
}

fn chromium() -> String {
    env::var("KEYGATE_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into())
}

#[test]
fn every_flow_as_an_admin_a_member_and_a_stranger() {
    let Some(modules) = modules() else { return };
    let gateway = Gateway::start(&[]);
    let screenshots = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("console-screenshots");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/browser.js");
    let data = gateway.folder.path().to_str().unwrap();
    let output = Command::new("node")
        .args([script, &modules, &chromium(), &gateway.link, BINARY, data, screenshots.to_str().unwrap()])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    println!("{}", text(&output.stdout));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
