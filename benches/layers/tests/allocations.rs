//! How often each request allocates. Here, since a counting allocator would slow down what is timed.

use std::error::Error;

use allocation_counter::measure;
use keygate_bench_layers::{Serve, around_handler, bare, idle, keys, on_routes, send};
use tokio::runtime::{Builder, Runtime};

/// Six around the handler. On the routes nine, of which six are those of any two layers that put a value into the
/// extensions.
#[test]
fn both_layers_add_six_allocations_to_the_bare_handler() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_current_thread().build()?;
    let (store, token) = runtime.block_on(keys())?;
    let header = format!("Bearer {}", token.expose_secret());
    let of_bare = count(&runtime, &bare(), &header);
    let more = [
        count(&runtime, &around_handler(store.clone())?, &header),
        count(&runtime, &on_routes(store)?, &header),
        count(&runtime, &idle(), &header),
    ]
    .map(|count| count - of_bare);
    assert_eq!(more, [6, 9, 6], "beside {of_bare} of the bare handler");
    Ok(())
}

fn count<S: Serve>(runtime: &Runtime, service: &S, header: &str) -> u64 {
    // The first request sets up what later ones share.
    runtime.block_on(send(service, header));
    measure(|| runtime.block_on(send(service, header))).count_total
}
