//! The life of the server: it opens what it needs, serves, and ends in bounded time.

use core::{error::Error, net::SocketAddr, time::Duration};
use std::{
    fs,
    io::{self, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
};

use axum::Router;
use axum_server::{Handle, tls_rustls::RustlsConfig};
use keygate::{
    Token,
    sink::{ChannelSink, SinkCapacity},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    app::{App, router},
    config::{Config, Task, Tls},
    console::{self, refusals::Refusals},
    database::{self, Database, Lookup},
    edge,
    log::Log,
    metrics::{Counts, Metrics},
    restore,
    setup::{self, FirstStart},
    work::{self, Work},
};

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("no server ever started on this database")]
    NeverStarted,
    #[error("there is no such user")]
    NoUser,
    #[error("the first key cannot be printed")]
    Show(#[source] io::Error),
    #[error("cannot read `{}`", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("cannot use the certificate `{}` and its key `{}`", .0.certificates.display(), .0.key.display())]
    Tls(Tls, #[source] io::Error),
}

/// Does what is done instead of serving.
pub(crate) async fn carry_out(config: &Config, task: &Task) -> Result<(), Box<dyn Error>> {
    // What a task would make of nothing looks like a log without events.
    if !database::is_there(&config.storage) {
        return Err(StartError::NeverStarted.into());
    }
    let _lock = match task {
        Task::Restored(_) => database::lock(&config.storage)?,
        Task::ExportLog(_) | Task::SignIn(_) => None,
    };
    let database = Database::open(&config.storage).await?;
    if !setup::is_over(&database, config.issuer).await? {
        return Err(StartError::NeverStarted.into());
    }
    match task {
        Task::ExportLog(file) => {
            let count = restore::export(&database, file).await?;
            tell(&format!("{count} events were added"))?;
        }
        Task::Restored(file) => {
            let keys = restore::restored(config, &database, file).await?;
            keys.iter().try_for_each(|key| tell(&format!("revoked {key}")))?;
            tell(&format!("{} keys were revoked again; every cache forgets what it has", keys.len()))?;
        }
        Task::SignIn(user) => {
            let link = console::Links::new(&database).make(user).await?.ok_or(StartError::NoUser)?;
            let url = console::link_url(&console::base(config, config.listen), &link);
            tell(&format!("Sign in with this link, once, within a day:\n\n  {url}\n"))?;
        }
    }
    Ok(database.close().await?)
}

/// Serves until a signal ends it.
pub(crate) async fn run(config: &Config, log: &Log) -> Result<(), Box<dyn Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Before anything is made: a second server on one address stops here.
    let listener = listen(config.listen)?;
    let operations = config.operations.map(listen).transpose()?;
    let tls = match &config.tls {
        Some(tls) => Some(read_tls(tls).await?),
        None => None,
    };

    let _lock = database::lock(&config.storage)?;
    let database = Database::open(&config.storage).await?;
    let first = FirstStart::claim(&database, config.issuer).await?;
    if first.is_some() {
        setup::seed(&database).await?;
    }
    let (sink, receivers) = ChannelSink::new(SinkCapacity::default());
    let refusals = Arc::new(Refusals::default());
    let touches = Arc::new(log.follow(receivers, Arc::clone(&refusals))?);
    let lookup = Lookup::new(database.clone(), config.cache_seconds);
    let counts = Arc::new(Counts::default());
    let (stop, stopped) = watch::channel(false);
    let shared = (sink.clone(), Arc::clone(&counts));
    let app = Arc::new(App::new(config, (database.clone(), lookup.clone()), shared, stopped).await?);
    let address = listener.local_addr()?;
    if let Some(first) = first {
        let token = setup::first_key(&app.keys, app.longest_validity()).await?;
        let link = setup::first_link(&database).await?;
        let url = console::link_url(&console::base(config, address), &link);
        tell(&format!("The page for keys; this link signs the administrator in, once, within a day:\n\n  {url}\n"))?;
        let base = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
        // Where nobody can have read it, the first start is not over: the next one makes another secret.
        show(&base, &token).map_err(StartError::Show)?;
        first.finish(&database, config.issuer).await?;
    }
    let metrics = Arc::new(Metrics::new(Arc::clone(&counts), sink.clone(), lookup, log.lost()));
    let background = work::start(Work { app: Arc::clone(&app), touches, refusals, sink: sink.clone() });

    let handle = Handle::new();
    let mut servers = JoinSet::new();
    if let Some(operations) = operations {
        info!(address = %operations.local_addr()?, "operations");
        servers.spawn(serve(operations, None, edge::operations(&app, metrics), handle.clone())?);
    }
    servers.spawn(serve(listener, tls, router(&app), handle.clone())?);
    // Not earlier: a supervisor takes this line for "ready".
    info!(%address, "listening");
    if config.tls.is_none() && !address.ip().is_loopback() {
        warn!(%address, "listening without TLS: keys travel in the clear, unless a proxy in front ends TLS");
    }
    tell(&format!("listening on {address}"))?;

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        Some(ended) = servers.join_next() => ended??,
    }
    info!("stopping");
    stop.send_replace(true);
    handle.graceful_shutdown(Some(GRACE));
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    background.finish(GRACE_OF_WORK).await;
    if let Err(error) = database.close().await {
        warn!(%error, "the database did not close");
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| StartError::Listen(address, error))
}

async fn read_tls(tls: &Tls) -> Result<RustlsConfig, StartError> {
    // Several providers may be compiled in: which one is meant has to be said.
    drop(rustls::crypto::ring::default_provider().install_default());
    let read = |file: &PathBuf| fs::read(file).map_err(|error| StartError::Read(file.clone(), error));
    let (certificates, key) = (read(&tls.certificates)?, read(&tls.key)?);
    RustlsConfig::from_pem(certificates, key).await.map_err(|error| StartError::Tls(tls.clone(), error))
}

/// Serves one listener. A head that does not come is not waited for.
fn serve(
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    router: Router,
    handle: Handle<SocketAddr>,
) -> io::Result<impl Future<Output = io::Result<()>> + Send + 'static> {
    use hyper_util::rt::TokioTimer;

    macro_rules! with_limits {
        ($server:expr) => {{
            let mut server = $server.handle(handle).first_request_timeout(HEAD);
            let builder = server.http_builder();
            builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).half_close(false);
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(HEAD)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(MAX_HEAD);
            server
        }};
    }
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let (plain, encrypted) = match tls {
        None => (Some(with_limits!(axum_server::from_tcp(listener)?)), None),
        Some(tls) => (None, Some(with_limits!(axum_server::from_tcp_rustls(listener, tls)?))),
    };
    Ok(async move {
        match (plain, encrypted) {
            (Some(server), _) => server.serve(service).await,
            (None, Some(server)) => server.serve(service).await,
            (None, None) => Ok(()),
        }
    })
}

/// Prints the first key, and what to do with it. Nothing else ever prints one.
fn show(base: &str, token: &Token) -> io::Result<()> {
    let key = token.expose_secret();
    writeln!(
        io::stdout(),
        "The administrator's key, which is shown only now:\n\n  {key}\n\nTry it:\n\n  \
         export KEY={key}\n  \
         curl -H \"Authorization: Bearer $KEY\" {base}/v1/models\n  \
         curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"prompt\":\"hello\"}}' {base}/models/abcd1234/production/predict\n  \
         curl -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"name\":\"partner\",\"type\":\"WORKSPACE_INVOKE\",\"model_ids\":[\"abcd1234\"]}}' {base}/v1/teams/core/api_keys\n  \
         curl -H \"Authorization: Bearer $KEY\" {base}/v1/api_keys\n"
    )
}

/// Ignores a closed pipe: it does not end the server.
fn tell(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// How long requests may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How long the end waits for what is not written yet.
const GRACE_OF_WORK: Duration = Duration::from_secs(2);
/// How long the head of a request may take, and a connection without requests stays.
const HEAD: Duration = Duration::from_secs(10);
const STREAMS: u32 = 100;
const MAX_HEAD: u32 = 64 * 1024;
