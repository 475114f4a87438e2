//! Connections: accepting them, plain or with TLS, and cutting them when an instance dies.

use crate::cluster::Shared;
use crate::node::SharedNode;
use crate::{sql, startup, walsender};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslAcceptor, SslMethod};
use openssl::x509::X509;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_openssl::SslStream;

/// A socket, plain or with TLS.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<SslStream<TcpStream>>),
}

impl Transport {
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// Ends the connection by a reset, as the recorded server does after CopyDone.
    pub(crate) fn reset(self) {
        let socket = match &self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.get_ref(),
        };
        // Where the system refuses, the peer sees an end instead of a reset.
        let _ = socket.set_zero_linger();
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

/// TLS with a certificate nobody vouches for.
pub(crate) fn acceptor() -> Result<SslAcceptor, openssl::error::ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    certificate.set_not_after(Asn1Time::days_from_now(30)?.as_ref())?;
    certificate.sign(&key, MessageDigest::sha256())?;
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_private_key(&key)?;
    acceptor.set_certificate(&certificate.build())?;
    Ok(acceptor.build())
}

/// Where a connection came in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: SharedNode,
    pub(crate) instance: usize,
    /// Port + 1.
    pub(crate) is_ha: bool,
}

impl Door {
    /// Whether the instance is the node's primary now.
    pub(crate) fn is_primary(&self) -> bool {
        self.node.primary() == self.instance
    }
}

/// Accepts connections of one port until the instance's run ends.
pub(crate) async fn listen(
    shared: Arc<Shared>,
    node: SharedNode,
    instance: usize,
    run: u64,
    is_ha: bool,
    listener: TcpListener,
) {
    let mut running = node.run(instance);
    let watched = running.clone();
    let door = Door { shared, node, instance, is_ha };
    loop {
        tokio::select! {
            // Nobody is left to start another run, or there is one.
            ended = running.wait_for(|now| *now != Some(run)) => { ended.ok(); return; }
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let (door, running) = (door.clone(), watched.clone());
                tokio::spawn(serve(door, running, run, socket));
            }
        }
    }
}

async fn serve(door: Door, mut running: watch::Receiver<Option<u64>>, run: u64, socket: TcpStream) {
    // Refused by the system at worst, which costs latency.
    let _ = socket.set_nodelay(true);
    // Kept apart from the session, so that it can be cut while that is busy.
    let cut = socket2(&socket);
    tokio::select! {
        // A broken connection is the client's to tell.
        ended = talk(door, socket) => { ended.ok(); }
        ended = running.wait_for(|now| *now != Some(run)) => {
            ended.ok();
            if let Some(socket) = cut {
                // The session drops its half without a word; this one goes last, with a reset.
                let _ = TcpStream::from_std(socket).map(|socket| socket.set_zero_linger());
            }
        }
    }
}

/// A second handle of a socket.
fn socket2(socket: &TcpStream) -> Option<std::net::TcpStream> {
    use std::os::fd::AsFd;
    socket.as_fd().try_clone_to_owned().ok().map(std::net::TcpStream::from)
}

async fn talk(door: Door, socket: TcpStream) -> io::Result<()> {
    let Some(start) = startup::start(&door, socket).await? else { return Ok(()) };
    if start.session.replication { walsender::run(door, start).await } else { sql::run(door, start).await }
}

/// Opens a TLS session.
pub(crate) async fn secure(acceptor: &SslAcceptor, socket: TcpStream) -> io::Result<Transport> {
    let ssl = Ssl::new(acceptor.context()).map_err(io::Error::other)?;
    let mut stream = SslStream::new(ssl, socket).map_err(io::Error::other)?;
    Pin::new(&mut stream).accept().await.map_err(io::Error::other)?;
    Ok(Transport::Tls(Box::new(stream)))
}
