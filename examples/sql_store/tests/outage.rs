//! A PostgreSQL server that cannot be reached is an error soon, and no reason to start the service again.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use core::{future, time::Duration};

use common::{NOW, Place, Server, found, on, personal, stored};
use keygate::{Changed, KeyManagementStore, KeyRecord, KeyStore, Status};
use keygate_sql_store::{PostgresStore, StoreError};
use sqlx::ConnectOptions;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refused_connections() {
    on(async |server: &Server| {
        let (mut line, store, key) = through_a_line(server).await;
        line.cut().await;
        fails_soon(&store, &key).await;
        line.restore().await;
        works(&store, &key).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_falls_silent() {
    on(async |server: &Server| {
        let (line, store, key) = through_a_line(server).await;
        open_connections(server, &store, &key).await;
        line.silence();
        // All connections are in use now, and nothing comes back on any: they must not be waited for without bound.
        let waiting: Vec<_> = (0..15).map(|_| tokio::spawn(disable(store.clone(), key.clone()))).collect();
        let mut timed_out = 0;
        for disable in waiting {
            timed_out += u32::from(matches!(disable.await.unwrap(), Err(StoreError::TimedOut)));
        }
        assert!(timed_out > 0);
        line.restore_new();
        works(&store, &key).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_who_go_away() {
    on(async |server: &Server| {
        let (line, store, key) = through_a_line(server).await;
        open_connections(server, &store, &key).await;
        line.silence();
        for _ in 0..10 {
            timeout(Duration::from_millis(50), store.find(key.id())).await.unwrap_err();
        }
        line.restore_new();
        works(&store, &key).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sessions_that_the_server_ends() {
    on(async |server: &Server| {
        let store = server.open().await;
        let key = stored(&store, personal("ada"), "laptop").await;
        for _ in 0..5 {
            let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
            server.execute(all).await.unwrap();
            // A connection that was in use a moment ago is not asked whether it lives: one error for each is allowed.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            assert_eq!(store.find(key.id()).await.unwrap().as_deref(), Some(&key));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn locks_that_others_hold() {
    on(async |server: &Server| {
        let store = server.open().await;
        let key = stored(&store, personal("ada"), "laptop").await;
        let mut other = server.options.connect().await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT id FROM keygate_keys FOR UPDATE").execute(&mut other).await.unwrap();
        let started = Instant::now();
        assert!(matches!(store.revoke(key.id(), NOW).await, Err(StoreError::Database(_))));
        assert!(started.elapsed() < SOON);
        // Who only reads does not wait.
        assert_eq!(found(&store, key.id()).await, key);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        assert_eq!(store.revoke(key.id(), NOW).await.unwrap(), Ok(NOW));
    })
    .await;
}

#[tokio::test]
async fn nobody_there() {
    let started = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", listener.local_addr().unwrap());
    // Somebody who takes connections and says nothing, and then nobody at all.
    assert!(matches!(PostgresStore::connect(&url).await, Err(StoreError::Database(_))));
    drop(listener);
    assert!(matches!(PostgresStore::connect(&url).await, Err(StoreError::Database(_))));
    assert!(started.elapsed() < SOON);
}

async fn disable(store: PostgresStore, key: KeyRecord) -> Result<Changed, StoreError> {
    store.disable(key.id()).await
}

/// Makes the pool open all its connections, by changes that wait for a lock.
async fn open_connections(server: &Server, store: &PostgresStore, key: &KeyRecord) {
    let mut other = server.options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT id FROM keygate_keys FOR UPDATE").execute(&mut other).await.unwrap();
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(disable(store.clone(), key.clone()))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    for disable in waiting {
        assert_eq!(disable.await.unwrap().unwrap(), Ok(()));
    }
}

async fn fails_soon(store: &PostgresStore, key: &KeyRecord) {
    let started = Instant::now();
    assert!(store.find(key.id()).await.is_err());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(store.disable(key.id()).await.is_err());
}

async fn works(store: &PostgresStore, key: &KeyRecord) {
    let started = Instant::now();
    // Connections that broke in use are replaced as they are found out.
    while store.find(key.id()).await.is_err() {
        assert!(started.elapsed() < SOON);
    }
    assert_eq!(store.disable(key.id()).await.unwrap(), Ok(()));
    assert_eq!(found(store, key.id()).await.status(), Status::Disabled);
}

/// Opens a store that reaches the server through a line that can be cut.
async fn through_a_line(server: &Server) -> (Line, PostgresStore, KeyRecord) {
    let line = Line::new(server).await;
    let url = server.options.clone().host("127.0.0.1").port(line.port).to_url_lossy();
    let store = PostgresStore::connect(url.as_str()).await.unwrap();
    let key = stored(&store, personal("ada"), "laptop").await;
    (line, store, key)
}

/// Passes on what is said to a server and what it says.
struct Line {
    port: u16,
    server: (String, u16),
    is_silent: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Line {
    async fn new(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = (server.options.get_host().to_owned(), server.options.get_port());
        let port = listener.local_addr().unwrap().port();
        let is_silent = watch::Sender::new(false);
        let work = tokio::spawn(pass_on(listener, server.clone(), is_silent.subscribe()));
        Self { port, server, is_silent, work }
    }

    /// Ends what is open, and refuses what comes.
    async fn cut(&mut self) {
        self.work.abort();
        assert!((&mut self.work).await.unwrap_err().is_cancelled());
    }

    async fn restore(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.is_silent = watch::Sender::new(false);
        self.work = tokio::spawn(pass_on(listener, self.server.clone(), self.is_silent.subscribe()));
    }

    /// Takes connections and keeps them open, but passes nothing on any more.
    fn silence(&self) {
        self.is_silent.send(true).unwrap();
    }

    /// Passes on what comes from now on. What was open stays silent, as after a failover.
    fn restore_new(&self) {
        self.is_silent.send(false).unwrap();
    }
}

async fn pass_on(listener: TcpListener, server: (String, u16), is_silent: watch::Receiver<bool>) {
    // Aborts the connections when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let (server, mut is_silent) = (server.clone(), is_silent.clone());
        connections.spawn(async move {
            let talk = async {
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            };
            tokio::select! {
                biased;
                _ = is_silent.wait_for(|is_silent| *is_silent) => {}
                () = talk => return,
            }
            future::pending::<()>().await;
        });
    }
}

/// More than the bounds of the store in all: 2 s for a connection, 4 s for an answer.
const SOON: Duration = Duration::from_secs(7);
