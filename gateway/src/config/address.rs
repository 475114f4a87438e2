//! Where the peers listen.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

use super::quantity::text_form;

/// A source server: a host and port, or the directory of a Unix socket and the port its file is named after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HostAddress {
    /// A host name or IP address.
    Tcp {
        /// Name or address; an IPv6 address stands without its brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A directory that holds `.s.PGSQL.<port>`.
    Unix {
        /// The directory, absolute.
        directory: PathBuf,
        /// The port in the name of the socket file.
        port: u16,
    },
}

/// A Kafka broker to start from: a host name or IP address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BrokerAddress {
    host: String,
    port: u16,
}

const RULE: &str = "must be host:port with a port from 1 to 65535; an IPv6 address stands in brackets, as [::1]:5432";

/// Reads `host:port` strictly: what is not certain to be an address is refused here, not at the first connection.
fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or(RULE)?;
    if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RULE);
    }
    let port = port.parse().ok().filter(|port| *port > 0).ok_or(RULE)?;
    if let Some(inner) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| RULE)?;
        return Ok((inner.to_owned(), port));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(legal) {
        return Err(RULE);
    }
    Ok((host.to_owned(), port))
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
}

impl FromStr for HostAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<HostAddress, &'static str> {
        if !text.starts_with('/') {
            return host_and_port(text).map(|(host, port)| HostAddress::Tcp { host, port });
        }
        let rule = "must be the directory of a Unix socket and a port, as /run/postgresql:5432";
        let (directory, port) = text.rsplit_once(':').ok_or(rule)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(rule)?;
        Ok(HostAddress::Unix { directory: PathBuf::from(directory), port })
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostAddress::Tcp { host, port } => write_host(f, host, *port),
            HostAddress::Unix { directory, port } => write!(f, "{}:{port}", directory.display()),
        }
    }
}

impl FromStr for BrokerAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<BrokerAddress, &'static str> {
        host_and_port(text).map(|(host, port)| BrokerAddress { host, port })
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host, self.port)
    }
}

text_form!(HostAddress, "^.+:[0-9]{1,5}$", "host:port, or /directory/of/the/socket:port.");
text_form!(BrokerAddress, "^.+:[0-9]{1,5}$", "host:port");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["localhost:1", "127.0.0.1:65535", "[::1]:5432", "db-1.example.org:5432", "/run/postgresql:5432"] {
            assert_eq!(text.parse::<HostAddress>().map(|a| a.to_string()), Ok(text.to_owned()));
        }
        for bad in [
            "",
            ":1",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a b:1",
            "::1:5432",
            "[::g]:1",
            "a,b:1",
            "/run",
            "/run:0",
            "http://a:1",
        ] {
            assert!(bad.parse::<HostAddress>().is_err(), "{bad:?}");
        }
        assert!("/run:1".parse::<BrokerAddress>().is_err());
        assert_eq!("[::1]:9092".parse::<BrokerAddress>().map(|a| a.to_string()), Ok("[::1]:9092".to_owned()));
    }
}
