//! A server of one connection that says what was recorded and keeps what it hears.

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::X509;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

const LOG_INS: &str = include_str!("../data/opengauss/authentication.txt");
const STREAMS: &str = include_str!("../data/opengauss/stream.txt");

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Lines of a case.
fn case(recorded: &'static str, name: &str) -> impl Iterator<Item = (&'static str, Vec<u8>)> + use<> {
    let head = format!("case {name}\n");
    let at = recorded.find(&head).unwrap() + head.len();
    let lines = recorded[at..].lines().take_while(|line| !line.starts_with("case "));
    let lines = lines.filter_map(|line| line.split_once(' ')).filter(|(kind, _)| kind.len() == 1 && *kind != "#");
    lines.map(|(kind, hex)| (kind, bytes(hex)))
}

/// The first five messages of the server in a recorded stream.
pub fn stream_body(name: &str) -> Vec<Vec<u8>> {
    case(STREAMS, name).filter(|(kind, _)| matches!(*kind, "k" | "w")).map(|(_, body)| body).take(5).collect()
}

/// A data port whose successor is free too.
pub struct Ports {
    pub data: u16,
}

impl Ports {
    pub fn find() -> Self {
        loop {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let data = first.local_addr().unwrap().port();
            if data < u16::MAX && TcpListener::bind(("127.0.0.1", data + 1)).is_ok() {
                return Self { data };
            }
        }
    }

    /// Listens at the data port (0) or the one after it (1).
    pub fn listen(&self, offset: u16) -> TcpListener {
        TcpListener::bind(("127.0.0.1", self.data + offset)).unwrap()
    }
}

/// What the client said.
#[derive(Default)]
pub struct Heard {
    pub passwords: Vec<Vec<u8>>,
    pub queries: Vec<String>,
    pub updates: Vec<Vec<u8>>,
    pub done: bool,
}

pub struct Server(JoinHandle<Heard>);

impl Server {
    /// Plays a recorded log-in; the client must answer it byte for byte. Then settings, slots and a stream.
    pub fn play(listener: &TcpListener, name: &'static str) -> Self {
        Self::serve(listener, move |mut socket, heard| {
            skip_startup(&mut socket);
            if log_in(&mut socket, name, heard) {
                converse(socket, heard);
            }
        })
    }

    /// Plays a recorded log-in under TLS and vanishes at the first query, as a process that is killed.
    pub fn vanish(listener: &TcpListener, name: &'static str) -> Self {
        let acceptor = acceptor();
        Self::serve(listener, move |mut socket, heard| {
            let mut request = [0; 8];
            socket.read_exact(&mut request).unwrap();
            assert_eq!(request, [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
            socket.write_all(b"S").unwrap();
            let mut secured = acceptor.accept(socket).unwrap();
            skip_startup(&mut secured);
            assert!(log_in(&mut secured, name, heard));
            message(&mut secured).unwrap();
        })
    }

    /// Answers the start-up with an error.
    pub fn refuse(listener: &TcpListener, fields: &str) -> Self {
        let length = fields.len() as u32 + 4;
        Self::say(listener, [b"E", length.to_be_bytes().as_slice(), fields.as_bytes()].concat())
    }

    /// Answers the start-up with these bytes.
    pub fn say(listener: &TcpListener, bytes: Vec<u8>) -> Self {
        Self::serve(listener, move |mut socket, heard| {
            skip_startup(&mut socket);
            socket.write_all(&bytes).unwrap();
            while let Some(message) = message(&mut socket) {
                heard.passwords.push(message);
            }
        })
    }

    fn serve(listener: &TcpListener, talk: impl FnOnce(TcpStream, &mut Heard) + Send + 'static) -> Self {
        let listener = listener.try_clone().unwrap();
        Self(std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut heard = Heard::default();
            talk(socket, &mut heard);
            heard
        }))
    }

    /// Waits for the end of the connection.
    pub async fn heard(self) -> Heard {
        tokio::task::spawn_blocking(move || self.0.join().unwrap()).await.unwrap()
    }
}

fn skip_startup(socket: &mut impl Read) {
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
    socket.read_exact(&mut startup).unwrap();
}

/// Plays a log-in; false when the client gave up.
fn log_in(socket: &mut (impl Read + Write), name: &str, heard: &mut Heard) -> bool {
    for (kind, recorded) in case(LOG_INS, name).skip(1) {
        if kind == "s" {
            socket.write_all(&recorded).unwrap();
        } else {
            let Some(answer) = message(socket) else { return false };
            assert_eq!(answer, recorded, "{name}");
            heard.passwords.push(answer);
        }
    }
    true
}

/// TLS with a certificate nobody vouches for.
fn acceptor() -> SslAcceptor {
    let key =
        PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap()).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    certificate.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&certificate.build()).unwrap();
    acceptor.build()
}

/// The next message, `None` at the end of the connection.
fn message(socket: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0; 5];
    socket.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let mut message = head.to_vec();
    message.resize(length + 1, 0);
    socket.read_exact(&mut message[5..]).ok()?;
    Some(message)
}

fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag], (body.len() as u32 + 4).to_be_bytes().as_slice(), body].concat()
}

fn converse(mut socket: TcpStream, heard: &mut Heard) {
    while let Some(message) = message(&mut socket) {
        let body = &message[5..];
        match message[0] {
            b'Q' => {
                let query = String::from_utf8(body[..body.len() - 1].to_vec()).unwrap();
                if query.starts_with("START_REPLICATION") {
                    let mut out = vec![b'W', 0, 0, 0, 7, 0, 0, 0];
                    for body in stream_body("confirm_serial_commit_end") {
                        out.extend(tagged(b'd', &body));
                    }
                    socket.write_all(&out).unwrap();
                } else if query.starts_with("SELECT") {
                    let mut out = tagged(b'T', &[b"\0\x01setting\0".as_slice(), &[0; 18]].concat());
                    out.extend(tagged(b'D', b"\0\x01\0\0\0\x0530000"));
                    out.extend(tagged(b'C', b"SELECT 1\0"));
                    out.extend(tagged(b'Z', b"I"));
                    socket.write_all(&out).unwrap();
                }
                heard.queries.push(query);
            }
            b'd' => heard.updates.push(body.to_vec()),
            b'c' => {
                heard.done = true;
                reset(socket);
                return;
            }
            _ => return,
        }
    }
}

/// Closes with a reset, as the recorded server does after CopyDone.
fn reset(socket: TcpStream) {
    let socket = tokio::net::TcpSocket::from_std_stream(socket);
    socket.set_zero_linger().unwrap();
}
