//! Passwords: every method logs in, and a refused one is offered once.

use super::{SOON, Scene, single};
use millrace_gaussdb_sim::{Encryption, Hba, Options, Product};
use millrace_tests::gateway::Gateway;
use std::time::Duration;

#[test]
fn each_method() {
    for (number, (encryption, hba)) in [
        (Encryption::Sha256, Hba::Sha256),
        (Encryption::Md5, Hba::Md5),
        (Encryption::Sha256, Hba::Md5),
        (Encryption::Md5, Hba::Sha256OfMd5),
        (Encryption::Combined, Hba::Sha256),
        (Encryption::Combined, Hba::Md5),
        (Encryption::Sm3, Hba::Sm3),
    ]
    .into_iter()
    .enumerate()
    {
        let mut options = single(Product::OpenGauss);
        options.logins[0].encryption = encryption;
        (options.sql_hba, options.replication_hba) = (hba, hba);
        let scene = Scene::new(&format!("gs-login-{number}"), options);
        let (mut gateway, _) = scene.start();
        gateway.stop_cleanly();
    }
}

/// Each refusal by its name, and none is tried again: `attempts` stays where it was.
#[test]
fn each_refusal_has_its_name() {
    let changed = |change: fn(&mut Options)| {
        let mut options = single(Product::OpenGauss);
        change(&mut options);
        options
    };
    let cases = [
        ("no_hba_entry", changed(|options| options.replication_hba = Hba::Missing)),
        ("not_replication_role", changed(|options| options.logins[0].role.replication = false)),
        ("role_cannot_log_in", changed(|options| options.logins[0].role.login = false)),
        ("authentication_failed", changed(|options| options.logins.clear())),
    ];
    for (number, (code, options)) in cases.into_iter().enumerate() {
        let scene = Scene::new(&format!("gs-refused-{number}"), options);
        let mut gateway = Gateway::start(&scene.task);
        gateway.wait_halted(code, SOON);
        let attempts = scene.cluster.attempts("cdc");
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(scene.cluster.attempts("cdc"), attempts, "{code}");
        assert_eq!(scene.cluster.slots(0), [] as [String; 0], "{code}");
    }
}

#[test]
fn tls_of_a_certificate_nobody_vouches_for() {
    let mut scene = Scene::new("gs-tls", Options { tls: true, ..single(Product::OpenGauss) });
    scene.task.text("source.sslmode", "require");
    let (mut gateway, _) = scene.start();
    gateway.stop_cleanly();
    scene.task.text("source.sslmode", "verify-full");
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_halted("tls_certificate", SOON);
}

/// By three nodes and over some time: the account must not be locked by us.
#[test]
fn a_wrong_password_is_offered_once() {
    let mut scene = Scene::new("gs-wrong", Options::new());
    scene.task.text("source.password", "Wrong@123");
    let mut gateway = Gateway::start(&scene.task);
    gateway.wait_halted("authentication_failed", SOON);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.cluster.attempts("cdc"), 1);
}

/// While it streams: all shards lose their connections, and one of them asks.
#[test]
fn an_account_locked_under_us_is_asked_for_once() {
    let scene = Scene::new("gs-locked", Options::new());
    let (mut gateway, _) = scene.start();
    let before = scene.cluster.attempts("cdc");
    scene.cluster.lock_account("cdc", true);
    for node in 0..3 {
        scene.cluster.inject(node, millrace_gaussdb_sim::Fault::Reset { after: 0 });
        super::commit(&scene.cluster, 1, 1);
    }
    millrace_tests::eventually("all shards are halted", SOON, || {
        let status = gateway.status();
        let shards = status["shards"].as_array()?.clone();
        shards.iter().all(|shard| shard["failure"]["code"] == "account_locked").then_some(())
    });
    assert_eq!(scene.cluster.attempts("cdc"), before + 1);
}
