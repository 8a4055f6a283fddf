//! Counts the instructions of one call, in the binary that a release build makes, in two ways.
//!
//! - [`Cpu::Native`] runs the call one instruction at a time, as a debugger does. So what is counted is what this
//!   machine runs, its instructions for SHA-256 included, which callgrind does not know.
//! - [`Cpu::Valgrind`] runs it under callgrind. There `cpuid` shows no SHA extensions, so `sha2` takes its software
//!   backend, as on a server without them.
//!
//! Both count one call, after one that was not counted, less the count of a call that does nothing. Where no hash is
//! involved they agree but for a few instructions of the C library, which has variants for many processors.

pub mod scenario;
pub mod timing;
pub mod usual;

use std::{env, error::Error, hint::black_box, io, process::Command};

use nix::{
    sys::{
        ptrace,
        signal::{Signal, raise},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};

pub use scenario::{Scenario, Work};

/// What runs the instructions that are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cpu {
    Native,
    Valgrind,
}

/// Does nothing, to know what the counting itself costs.
const NOTHING: Scenario = Scenario { name: "nothing", prepare: || Box::new(|| ()) };

/// Counts the instructions of scenarios, each in a process of its own: of this very program, whose `main` has to call
/// [`run_if_asked`] first.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    cpu: Cpu,
    nothing: u64,
}

impl Counter {
    pub fn new(cpu: Cpu) -> Result<Self, Box<dyn Error>> {
        Ok(Self { cpu, nothing: count(cpu, NOTHING.name)? })
    }

    pub fn count(&self, scenario: &str) -> Result<u64, Box<dyn Error>> {
        Ok(count(self.cpu, scenario)?.saturating_sub(self.nothing))
    }
}

fn count(cpu: Cpu, scenario: &str) -> Result<u64, Box<dyn Error>> {
    match cpu {
        Cpu::Native => step(Command::new(env::current_exe()?).args([CHILD, STEPPED, scenario])),
        Cpu::Valgrind => callgrind(Command::new("valgrind").args(CALLGRIND).arg(env::current_exe()?).args([
            CHILD,
            "callgrind",
            scenario,
        ])),
    }
}

/// In a process that [`Counter`] started, runs what it asks for and tells that the program has nothing else to do.
pub fn run_if_asked(scenarios: &[Scenario]) -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [child, way, name] = arguments.as_slice() else { return Ok(false) };
    if child != CHILD {
        return Ok(false);
    }
    let scenario = [NOTHING].iter().chain(scenarios).find(|scenario| scenario.name == name).copied();
    let mut work = (scenario.ok_or("no such scenario")?.prepare)();
    // Finds out what the processor can do, and resolves what is linked lazily.
    work();
    if way == STEPPED {
        ptrace::traceme()?;
        raise(Signal::SIGSTOP)?;
        counted(&mut work);
        raise(Signal::SIGSTOP)?;
    } else {
        counted(&mut work);
    }
    Ok(true)
}

/// What is counted; callgrind finds it by its name.
#[inline(never)]
fn counted(work: &mut Work) {
    black_box(work)();
}

/// Runs a child that stops itself before and after what is counted, and counts its steps in between.
fn step(command: &mut Command) -> Result<u64, Box<dyn Error>> {
    let child = command.spawn()?;
    let pid = Pid::from_raw(child.id().try_into()?);
    wait_for_stop(pid, Signal::SIGSTOP)?;
    let mut steps = 0;
    loop {
        ptrace::step(pid, None)?;
        match waitpid(pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => steps += 1,
            WaitStatus::Stopped(_, Signal::SIGSTOP) => break,
            other => return Err(format!("the counted process ended early: {other:?}").into()),
        }
    }
    ptrace::cont(pid, None)?;
    match waitpid(pid, None)? {
        WaitStatus::Exited(_, 0) => Ok(steps),
        other => Err(format!("the counted process failed: {other:?}").into()),
    }
}

fn wait_for_stop(pid: Pid, signal: Signal) -> Result<(), Box<dyn Error>> {
    match waitpid(pid, None)? {
        WaitStatus::Stopped(_, stopped_by) if stopped_by == signal => Ok(()),
        other => Err(format!("the counted process did not start: {other:?}").into()),
    }
}

fn callgrind(command: &mut Command) -> Result<u64, Box<dyn Error>> {
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "valgrind is not installed".into(),
        _ => Box::<dyn Error>::from(error),
    })?;
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    match collected.filter(|_| output.status.success()) {
        Some(count) => Ok(count.parse()?),
        None => Err(format!("callgrind failed:\n{report}").into()),
    }
}

const CHILD: &str = "--counted";
const STEPPED: &str = "stepped";
const CALLGRIND: [&str; 3] =
    ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*keygate_bench_instructions::counted*"];
