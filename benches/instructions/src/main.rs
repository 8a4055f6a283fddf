//! Instruction counts of each step of a request, compared with those that are written down.
//!
//! ```text
//! cargo run --release -p keygate-bench-instructions              # prints the counts
//! cargo run --release -p keygate-bench-instructions -- check     # fails if one grew by more than 5 %
//! cargo run --release -p keygate-bench-instructions -- write     # writes them down
//! ```

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, process::ExitCode};

use keygate_bench_instructions::{Counter, Cpu, run_if_asked, scenario};

/// By name: native, and without SHA extensions.
type Counts = BTreeMap<String, [u64; 2]>;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let scenarios = scenario::all();
    if run_if_asked(&scenarios)? {
        return Ok(ExitCode::SUCCESS);
    }
    let (native, software) = (Counter::new(Cpu::Native)?, Counter::new(Cpu::Valgrind)?);
    let mut counts = Counts::new();
    let mut table = format!("{:36}{:>10}{:>10}\n", "# instructions", "native", "software");
    for scenario in &scenarios {
        let both = [native.count(scenario.name)?, software.count(scenario.name)?];
        writeln!(table, "{:36}{:>10}{:>10}", scenario.name, both[0], both[1])?;
        counts.insert(scenario.name.to_owned(), both);
    }
    match env::args().nth(1).as_deref() {
        None => print!("{table}"),
        Some("write") => fs::write(BASELINE, table)?,
        Some("check") => return Ok(check(&counts, &read(&fs::read_to_string(BASELINE)?)?)),
        Some(_) => return Err("`check`, `write` or nothing".into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(table: &str) -> Result<Counts, Box<dyn Error>> {
    let mut counts = Counts::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let [name, native, software] = *line.split_whitespace().collect::<Vec<_>>() else {
            return Err("a line of the baseline is a name and two counts".into());
        };
        counts.insert(name.to_owned(), [native.parse()?, software.parse()?]);
    }
    Ok(counts)
}

/// Compares, and says what differs by more than the slack; only what grew, or has no counterpart, is a failure.
fn check(counts: &Counts, baseline: &Counts) -> ExitCode {
    let mut is_good = true;
    // Another processor without the extensions would be compared with what it cannot do.
    let columns: &[usize] = if has_sha() { &[0, 1] } else { &[1] };
    for name in counts.keys().chain(baseline.keys().filter(|name| !counts.contains_key(*name))) {
        let (Some(counted), Some(written)) = (counts.get(name), baseline.get(name)) else {
            println!("{name}: is only in one of the program and the baseline");
            is_good = false;
            continue;
        };
        for &column in columns {
            let (now, then) = (counted[column], written[column]);
            let cpu = ["native", "software"][column];
            if now * 100 > then * (100 + SLACK_PERCENT) + 100 * SLACK {
                println!("{name}, {cpu}: {now} instructions, {then} were written down");
                is_good = false;
            } else if now * (100 + SLACK_PERCENT) + 100 * SLACK < then * 100 {
                println!("{name}, {cpu}: {now} instructions, {then} were written down; write the better count down");
            }
        }
    }
    println!("{} scenarios compared, with {SLACK_PERCENT} % of slack", counts.len());
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(target_arch = "x86_64")]
fn has_sha() -> bool {
    std::is_x86_feature_detected!("sha")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_sha() -> bool {
    false
}

const SLACK_PERCENT: u64 = 5;
/// Five per cent of next to nothing is nothing.
const SLACK: u64 = 2;
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.txt");
