//! A relay between a process and the server, whose way can be blocked, in both directions or in one, cut and opened again.

use std::net;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// What is read at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// Passes on all bytes, or none.
pub struct Relay {
    url: String,
    way: watch::Sender<Way>,
    /// Ends with this.
    _connections: JoinSet<()>,
}

/// Whether there is a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stay, and nothing passes.
    Blocked,
    /// Connections stay, and nothing passes from the server to the process.
    Deaf,
    /// No connection stays.
    Cut,
}

impl Relay {
    /// A relay before the server at this URL.
    pub fn before(server: &str) -> Self {
        let server = server.strip_prefix("nats://").unwrap().to_owned();
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let listener = TcpListener::from_std(listener).unwrap();
        let way = watch::Sender::new(Way::Open);
        let seen = way.subscribe();
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((process, _)) = listener.accept().await {
                open.spawn(serve(process, server.clone(), seen.clone()));
            }
        });
        Self { url, way, _connections: connections }
    }

    /// Where the process is to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Passes nothing on, in either direction. Connections stay open, and what is said waits.
    pub fn block(&self) {
        self.way.send_replace(Way::Blocked);
    }

    /// Passes on what the process says, and nothing that it is told.
    pub fn deafen(&self) {
        self.way.send_replace(Way::Deaf);
    }

    /// Ends all connections with all that is on its way, and lets nobody through.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
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
            () = pass_on(from_process, to_server, way.clone(), &[Way::Open, Way::Deaf]) => {}
            () = pass_on(from_server, to_process, way.clone(), &[Way::Open]) => {}
        }
    };
    tokio::select! {
        biased;
        _ = async { cut.wait_for(|way| *way == Way::Cut).await.is_ok() } => {}
        () = passing => {}
    }
}

/// Passes on what one side says, while the way is one of these.
async fn pass_on(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    open: &[Way],
) {
    let mut piece = vec![0; PIECE];
    loop {
        let Ok(bytes @ 1..) = from.read(&mut piece).await else { return };
        if way.wait_for(|way| open.contains(way)).await.is_err() {
            return;
        }
        if to.write_all(&piece[..bytes]).await.is_err() {
            return;
        }
    }
}
