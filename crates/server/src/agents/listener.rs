//! Connections of hosts, bounded: so many of each host and of whoever shows no certificate, each for so long.
//!
//! Where there are too many of one, its oldest ends: a host that came back isn't locked out by what it left behind, and nobody is by
//! others.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use engine::link::Agents;
use link::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::tls::TlsListener;

/// Connections of whoever shows no certificate of a host, and how long one lasts.
const STRANGERS_MAX: usize = 16;
const STRANGER_LIFE: Duration = Duration::from_secs(30);
/// Connections of one host, and how long one lasts.
const OF_ONE_MAX: usize = 4;
const LIFE: Duration = Duration::from_secs(600);
/// After this long a host is asked to connect anew.
const OLD: Duration = Duration::from_secs(480);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The certificate that was shown; its signature holds, and so does its time.
    pub(super) certificate: Option<CertificateDer<'static>>,
    since: Instant,
}

impl Peer {
    pub(super) fn is_old(&self) -> bool {
        self.since.elapsed() > OLD
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self {
            address: *stream.remote_addr(),
            certificate: certificate(&stream.io().stream),
            since: Instant::now(),
        }
    }
}

fn certificate(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    Some(chain.first()?.clone().into_owned())
}

/// A listener that counts.
pub(super) struct Bounded {
    inner: TlsListener,
    agents: Arc<Agents>,
    /// By host, what ends its connections, oldest first; nobody's name is empty.
    open: BTreeMap<String, VecDeque<oneshot::Sender<()>>>,
}

impl Bounded {
    pub(super) fn new(inner: TlsListener, agents: Arc<Agents>) -> Self {
        Self {
            inner,
            agents,
            open: BTreeMap::new(),
        }
    }

    fn count(&mut self, stream: TlsStream<TcpStream>) -> Counted {
        let shown = certificate(&stream);
        let known = shown.and_then(|one| self.agents.who(&one).ok().flatten());
        let (most, life) = match &known {
            Some(_) => (OF_ONE_MAX, LIFE),
            None => (STRANGERS_MAX, STRANGER_LIFE),
        };
        let name = known.map(|agent| agent.name).unwrap_or_default();
        self.open.retain(|_, open| {
            open.retain(|one| !one.is_closed());
            !open.is_empty()
        });
        let open = self.open.entry(name).or_default();
        if open.len() >= most {
            // Dropped, it ends its connection.
            open.pop_front();
        }
        let (end, ended) = oneshot::channel();
        open.push_back(end);
        Counted {
            stream,
            ended: Some(ended),
            life: Box::pin(sleep(life)),
        }
    }
}

impl Listener for Bounded {
    type Io = Counted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = self.inner.accept().await;
        (self.count(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.inner.local_addr()
    }
}

/// A connection that ends when its time is over, or another takes its place.
pub(super) struct Counted {
    stream: TlsStream<TcpStream>,
    /// None when it has ended.
    ended: Option<oneshot::Receiver<()>>,
    life: Pin<Box<Sleep>>,
}

impl Counted {
    fn lives(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let over = || Err(io::ErrorKind::TimedOut.into());
        let Some(ended) = &mut self.ended else {
            return over();
        };
        if Pin::new(ended).poll(context).is_ready() || self.life.as_mut().poll(context).is_ready() {
            self.ended = None;
            return over();
        }
        Ok(())
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.lives(context)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lives(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lives(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lives(context)?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
