//! What both layers add to a bare axum handler, on the allow path.
//!
//! ```text
//! cargo run --release -p keygate-bench-layers
//! taskset -c 0 target/release/keygate-bench-layers
//! ```
//!
//! Bare and layered requests take turns in one run, so that a noisy machine disturbs both alike; what is printed is the
//! median of the ratios. They are measured over a connection on loopback, as a client sees it, and in process: there a
//! request is made, served by a clone of the service as servers do it, and its answer read to the end. The processor
//! time is that of client and server together, as the kernel counts it (`/proc/self/task`).
//!
//! `taskset` keeps client and server on one processor, which therefore never sleeps. With two, most of what is compared
//! may be the time that it takes to wake them, and beside that everything looks cheap.

use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use keygate_bench_layers::{Serve, around_handler, bare, idle, keys, on_routes, send};
use tokio::runtime::{Builder, Runtime};
use tower::make::Shared;

const ROUNDS: usize = 401;
const REQUESTS: usize = 500;
const WIRE_REQUESTS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (store, token) = runtime.block_on(keys())?;
    let header = format!("Bearer {}", token.expose_secret());
    let (bare, handler, routes, idle) = (bare(), around_handler(store.clone())?, on_routes(store)?, idle());

    let mut in_process = [vec![], vec![], vec![], vec![]];
    for _ in 0..ROUNDS {
        let [of_bare, of_handler, of_routes, of_idle] = &mut in_process;
        of_bare.push(time(&runtime, &bare, &header));
        of_handler.push(time(&runtime, &handler, &header));
        of_routes.push(time(&runtime, &routes, &header));
        of_idle.push(time(&runtime, &idle, &header));
    }

    let mut wires = [Wire::to(&runtime, bare, &header)?, Wire::to(&runtime, handler, &header)?];
    let (mut wire_times, mut wire_ratios, mut processor_more) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [(bare_time, bare_processor), (time, processor)] = {
            let [bare, layered] = &mut wires;
            [bare.time()?, layered.time()?]
        };
        wire_ratios.push(time / bare_time);
        wire_times.push(bare_time);
        processor_more.push(processor - bare_processor);
    }

    println!("over a connection   bare        {:6.0} ns", median(wire_times) * 1e9);
    let wire_ratio = median(wire_ratios);
    let is_met = if wire_ratio <= WIRE_BAR { "met" } else { "NOT MET" };
    println!("                    layered     {wire_ratio:6.3} times, {is_met}: at most {WIRE_BAR}");
    println!("                    layered     {:6.0} ns of processor time more", median(processor_more) * 1e9);
    let [bare, layered @ ..] = in_process;
    println!("in process          bare        {:6.0} ns", median(bare.clone()) * 1e9);
    for (name, times) in ["handler", "route_layer", "idle layers"].into_iter().zip(layered) {
        let ratio = median(times.iter().zip(&bare).map(|(layered, bare)| layered / bare).collect());
        println!("                    {name:12}{ratio:5.3} times");
    }
    Ok(())
}

/// Seconds for one request in process.
fn time<S: Serve>(runtime: &Runtime, service: &S, header: &str) -> f64 {
    runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..REQUESTS {
            send(service, header).await;
        }
        start.elapsed().as_secs_f64() / REQUESTS as f64
    })
}

/// A connection that is kept, to a server of its own.
struct Wire {
    stream: TcpStream,
    request: String,
}

impl Wire {
    fn to<S: Serve>(runtime: &Runtime, service: S, header: &str) -> Result<Self, Box<dyn Error>> {
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        runtime.spawn(async move { axum::serve(listener, Shared::new(service)).await });
        let request = format!("GET /hello HTTP/1.1\r\nhost: bench\r\nauthorization: {header}\r\n\r\n");
        Ok(Self { stream, request })
    }

    /// Seconds for one request and its answer, and seconds of processor time.
    fn time(&mut self) -> std::io::Result<(f64, f64)> {
        let mut answer = [0; 1024];
        let (processor, start) = (processor_time()?, Instant::now());
        for _ in 0..WIRE_REQUESTS {
            self.stream.write_all(self.request.as_bytes())?;
            let length = self.stream.read(&mut answer)?;
            let answer = answer.get(..length).unwrap_or_default();
            assert!(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"hello"));
        }
        let seconds = start.elapsed().as_secs_f64();
        let of_one = |seconds: f64| seconds / WIRE_REQUESTS as f64;
        Ok((of_one(seconds), of_one(processor_time()? - processor)))
    }
}

/// Seconds that the threads of this process have run.
fn processor_time() -> std::io::Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        let counts = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += counts.split(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or(f64::NAN);
    }
    Ok(nanoseconds / 1e9)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What both layers may take at most over a connection, beside the bare handler.
const WIRE_BAR: f64 = 1.05;
