//! A relay between a process and the server, whose way can be blocked, cut and opened again.

use std::{net, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

use crate::lab::patiently;

/// What is read at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// Passes on all bytes, or none.
pub struct Relay {
    url: String,
    state: Arc<State>,
    /// Ends with this.
    _connections: JoinSet<()>,
}

/// Whether there is a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stay, and nothing passes.
    Blocked,
    /// No connection stays.
    Cut,
}

struct State {
    way: watch::Sender<Way>,
    /// How many connections have been asked for.
    knocked: watch::Sender<usize>,
}

impl Relay {
    /// A relay before the server at this URL.
    pub fn before(server: &str) -> Self {
        let server = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let listener = TcpListener::from_std(listener).unwrap();
        let state = Arc::new(State { way: watch::Sender::new(Way::Open), knocked: watch::Sender::default() });
        let mut connections = JoinSet::new();
        let shared = state.clone();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((process, _)) = listener.accept().await {
                shared.knocked.send_modify(|knocked| *knocked += 1);
                open.spawn(serve(process, server.clone(), shared.way.subscribe()));
            }
        });
        Self { url, state, _connections: connections }
    }

    /// Where the process is to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Passes nothing on, in either direction. Connections stay open, and what is said waits.
    pub fn block(&self) {
        self.state.way.send_replace(Way::Blocked);
    }

    /// Ends all connections with all that is on its way, and lets nobody through.
    pub fn cut(&self) {
        self.state.way.send_replace(Way::Cut);
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.state.way.send_replace(Way::Open);
    }

    /// Waits until somebody has asked for another connection, from now on.
    pub async fn knock(&self) {
        let mut knocked = self.state.knocked.subscribe();
        let before = *knocked.borrow_and_update();
        patiently(knocked.wait_for(|knocked| *knocked > before)).await.unwrap();
    }
}

/// One connection, until either side closes it or it is cut.
async fn serve(process: TcpStream, server: String, way: watch::Receiver<Way>) {
    let mut cut = way.clone();
    let passing = async {
        // A server that is down is for the process to notice.
        let Ok(server) = TcpStream::connect(server).await else { return };
        let (from_process, to_process) = process.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pass_on(from_process, to_server, way.clone()) => {}
            () = pass_on(from_server, to_process, way.clone()) => {}
        }
    };
    tokio::select! {
        biased;
        _ = async { cut.wait_for(|way| *way == Way::Cut).await.is_ok() } => {}
        () = passing => {}
    }
}

/// Passes on what one side says, as long as it may.
async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(bytes @ 1..) = from.read(&mut piece).await else { return };
        if way.wait_for(|way| *way == Way::Open).await.is_err() {
            return;
        }
        if to.write_all(&piece[..bytes]).await.is_err() {
            return;
        }
    }
}
