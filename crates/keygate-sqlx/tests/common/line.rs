//! A line to a server, which can be cut or fall silent.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses some of it")]

use core::{future, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::common::Server;

/// Passes on what is said to a server and what it says.
pub(crate) struct Line {
    pub(crate) port: u16,
    server: (String, u16),
    is_silent: watch::Sender<bool>,
    work: JoinHandle<()>,
}

impl Line {
    pub(crate) async fn new(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = (server.options.get_host().to_owned(), server.options.get_port());
        let port = listener.local_addr().unwrap().port();
        let is_silent = watch::Sender::new(false);
        let work = tokio::spawn(pass_on(listener, server.clone(), is_silent.subscribe()));
        Self { port, server, is_silent, work }
    }

    /// Ends what is open, and refuses what comes.
    pub(crate) async fn cut(&mut self) {
        self.work.abort();
        assert!((&mut self.work).await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn restore(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.is_silent = watch::Sender::new(false);
        self.work = tokio::spawn(pass_on(listener, self.server.clone(), self.is_silent.subscribe()));
    }

    /// Takes connections and keeps them open, but passes nothing on any more.
    pub(crate) fn silence(&self) {
        self.is_silent.send(true).unwrap();
    }

    /// Passes on what comes from now on. What was open stays silent, as after a failover.
    pub(crate) fn restore_new(&self) {
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
                let ((mut asks, client), (answers, mut server)) = (client.split(), server.split());
                // Ends when either side does.
                tokio::select! {
                    _ = copy(&mut asks, &mut server) => {}
                    () = pass_on_late(answers, client) => {}
                }
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

/// No answer is there yet when a task is polled that did not wait for it, however busy the machine is.
async fn pass_on_late(mut answers: impl AsyncRead + Unpin, mut client: impl AsyncWrite + Unpin) {
    let mut answer = [0; 8_192];
    while let Ok(length @ 1..) = answers.read(&mut answer).await {
        sleep(Duration::from_millis(5)).await;
        let answer = answer.get(..length).unwrap();
        if client.write_all(answer).await.is_err() {
            return;
        }
    }
}
