//! Test certificates, made with the openssl program: a root, a server for `localhost`, a client, and a root nobody trusts.

use crate::cluster::run;
use std::path::Path;
use std::process::Command;

pub const KEY_PASSPHRASE: &str = "key secret";

pub fn make(home: &Path) {
    let openssl = |args: &[&str]| run(Command::new("openssl").args(args).current_dir(home));
    let root = |name: &str| {
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &format!("/CN={name} root"),
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.crt"),
        ])
    };
    root("ca");
    root("other");
    std::fs::write(home.join("server.ext"), "subjectAltName=DNS:localhost\n").unwrap();
    std::fs::write(home.join("client.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=cert_user")] {
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.csr"),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &format!("{name}.csr"),
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-sha384",
            "-extfile",
            &format!("{name}.ext"),
            "-out",
            &format!("{name}.crt"),
        ]);
    }
    openssl(&[
        "pkcs8",
        "-topk8",
        "-in",
        "client.key",
        "-out",
        "client-encrypted.key",
        "-passout",
        &format!("pass:{KEY_PASSPHRASE}"),
    ]);
}
