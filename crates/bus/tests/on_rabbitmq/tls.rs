//! The broker over TLS: whom it is trusted as, and what is said when it isn't.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use collective_bus::rabbitmq::TlsOptions;
use collective_bus::{RabbitBus, RabbitOptions};
use collective_core::ports::Bus;
use collective_testkit::process::{free_port, run};
use collective_testkit::servers::{RabbitMq, RabbitMqOptions};
use tempfile::TempDir;

use crate::ground::{DEADLINE, event, eventually, options};

/// Certificates of an authority of our own, and a broker that shows one of them.
pub(crate) struct Secured {
    folder: TempDir,
    port: u16,
}

impl Secured {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let secured = Self {
            folder,
            port: free_port().expect("a port"),
        };
        secured.openssl(
            &[
                &["req", "-x509", "-subj", "/CN=authority", "-out", "ca.pem"],
                &new_key("ca.key")[..],
            ]
            .concat(),
        );
        secured.openssl(
            &[
                &["req", "-x509", "-subj", "/CN=stranger", "-out", "other.pem"],
                &new_key("other.key")[..],
            ]
            .concat(),
        );
        secured.openssl(
            &[
                &["req", "-new", "-subj", "/CN=broker", "-out", "broker.csr"],
                &new_key("broker.key")[..],
            ]
            .concat(),
        );
        let names = secured.path("names");
        fs::write(names, "subjectAltName=IP:127.0.0.1").expect("a file");
        secured.certify("2");
        secured
    }

    /// Gives the broker a certificate for this many days.
    pub(crate) fn certify(&self, days: &str) {
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            "broker.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            days,
            "-extfile",
            "names",
            "-out",
            "broker.pem",
        ]);
    }

    /// What the broker needs to listen with it.
    pub(crate) fn settings(&self) -> RabbitMqOptions {
        let file = |name: &str| self.path(name).display().to_string();
        RabbitMqOptions {
            settings: vec![
                format!("listeners.ssl.1 = 127.0.0.1:{}", self.port),
                format!("ssl_options.cacertfile = {}", file("ca.pem")),
                format!("ssl_options.certfile = {}", file("broker.pem")),
                format!("ssl_options.keyfile = {}", file("broker.key")),
                "ssl_options.verify = verify_none".to_owned(),
            ],
            plugins: Vec::new(),
        }
    }

    fn over_tls(&self, server: &RabbitMq, ca: Option<&str>, verify: bool) -> RabbitOptions {
        RabbitOptions {
            port: self.port,
            tls: Some(TlsOptions {
                ca_file: ca.map(|name| self.path(name)),
                verify,
            }),
            ..options(server)
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path()).args(arguments);
        run(command).expect("openssl makes certificates");
    }
}

fn new_key(file: &str) -> [&str; 7] {
    [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        file,
    ]
}

/// A broker whose certificate the named authority vouches for is used; one of a stranger isn't,
/// unless nobody wants to know.
pub(crate) async fn only_a_broker_that_is_vouched_for_is_used(
    server: &RabbitMq,
    secured: &Secured,
) {
    for (ca, verify) in [(Some("ca.pem"), true), (None, false)] {
        let bus = RabbitBus::connect(secured.over_tls(server, ca, verify));
        bus.connected(DEADLINE).await.expect("the bus connects");
        bus.publish(&[event(1)]).await.expect("published");
        bus.close().await;
    }
    for ca in [Some("other.pem"), None] {
        let said = refusal(secured.over_tls(server, ca, true)).await;
        assert!(
            said.contains("no TLS") && said.contains("UnknownIssuer"),
            "{said}"
        );
    }
    let elsewhere = RabbitOptions {
        host: "localhost".to_owned(),
        ..secured.over_tls(server, Some("ca.pem"), true)
    };
    let said = refusal(elsewhere).await;
    assert!(
        said.contains("no TLS") && said.contains("not valid for name"),
        "{said}"
    );
    let said = refusal(secured.over_tls(server, Some("missing.pem"), true)).await;
    assert!(said.contains("missing.pem"), "{said}");
    let said = refusal(secured.over_tls(server, Some("broker.key"), true)).await;
    assert!(said.contains("holds no certificate"), "{said}");
}

/// A certificate that has run out is named as that.
pub(crate) async fn an_expired_certificate_is_told_as_that(server: &RabbitMq, secured: &Secured) {
    let bus = RabbitBus::connect(secured.over_tls(server, Some("ca.pem"), true));
    // The broker listens over TLS a moment later than without.
    let said = eventually("the certificate is looked at", async || {
        let said = bus.state().last_error?;
        said.contains("no TLS").then_some(said)
    })
    .await;
    assert!(said.contains("expired"), "{said}");
    bus.close().await;
}

async fn refusal(options: RabbitOptions) -> String {
    let bus = RabbitBus::connect(options);
    let said = eventually("an error is noted", async || bus.state().last_error).await;
    bus.close().await;
    said
}
