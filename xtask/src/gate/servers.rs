//! The real servers that tests start: whether their programs are here, and how
//! they get here where that may be.
//!
//! Tests in binaries named `on_...` start PostgreSQL, RabbitMQ and Redis by
//! themselves. Installing needs Debian's packages and root, or sudo without a
//! password; elsewhere those tests are left out, and it is said what is missing.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

/// A server or what a test asks it with, the package that brings it, and how it shows that it is here.
struct Server {
    name: &'static str,
    package: &'static str,
    is_here: fn() -> bool,
}

const SERVERS: [Server; 8] = [
    Server {
        name: "PostgreSQL",
        package: "postgresql",
        is_here: has_postgres,
    },
    Server {
        name: "RabbitMQ",
        package: "rabbitmq-server",
        is_here: || {
            let script = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
            (script.is_file() || on_path("rabbitmq-server")) && on_path("epmd")
        },
    },
    Server {
        name: "Redis",
        package: "redis-server",
        is_here: || on_path("redis-server") || on_path("valkey-server"),
    },
    Server {
        name: "Prometheus",
        package: "prometheus",
        is_here: || on_path("promtool"),
    },
    Server {
        name: "Alertmanager",
        package: "prometheus-alertmanager",
        is_here: || on_path("amtool"),
    },
    Server {
        name: "jq",
        package: "jq",
        is_here: || on_path("jq"),
    },
    Server {
        name: "curl",
        package: "curl",
        is_here: || on_path("curl"),
    },
    Server {
        name: "Python's YAML",
        package: "python3-yaml",
        is_here: || succeeds("/usr/bin/python3", &["-c", "import yaml"]),
    },
];

/// Installs what is missing, if it may. Gives the names of what is missing then.
pub(super) fn prepare() -> Result<Vec<&'static str>> {
    let packages: Vec<&str> = missing().map(|server| server.package).collect();
    if packages.is_empty() {
        return Ok(Vec::new());
    }
    match installer() {
        Some(installer) => {
            println!("    installing {}", packages.join(" "));
            // A failure shows below: what is still missing.
            install(&installer, &["update"]);
            let mut arguments = vec!["install", "-y", "--no-install-recommends"];
            arguments.extend(&packages);
            install(&installer, &arguments);
        }
        None => println!(
            "    to have them: apt-get install {}, as root, on Debian or Ubuntu",
            packages.join(" ")
        ),
    }
    Ok(missing().map(|server| server.name).collect())
}

fn missing() -> impl Iterator<Item = &'static Server> {
    SERVERS.iter().filter(|server| !(server.is_here)())
}

/// How apt-get is called with the rights it needs, if that can be.
fn installer() -> Option<Vec<&'static str>> {
    if !on_path("apt-get") {
        return None;
    }
    let answers = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command
            .output()
            .ok()
            .filter(|answer| answer.status.success())
    };
    let user = answers("id", &["-u"])?;
    if user.stdout.trim_ascii() == b"0" {
        return Some(vec!["apt-get"]);
    }
    answers("sudo", &["-n", "true"]).map(|_| vec!["sudo", "-n", "apt-get"])
}

fn install(installer: &[&str], arguments: &[&str]) {
    let Some((program, first)) = installer.split_first() else {
        return;
    };
    let mut command = Command::new(program);
    command.args(first).args(arguments).stdin(Stdio::null());
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // No service of a package's own is started: the runlevel has none.
    command.env("RUNLEVEL", "1").stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => println!("    apt-get {}: {status}", arguments.join(" ")),
        Err(error) => println!("    apt-get {}: {error}", arguments.join(" ")),
    }
}

fn has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let of_debian = versions
        .flatten()
        .any(|version| version.path().join("bin/initdb").is_file());
    of_debian || (on_path("postgres") && on_path("initdb"))
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let answer = command.output();
    answer.is_ok_and(|answer| answer.status.success())
}

fn on_path(program: &str) -> bool {
    // Debian keeps servers where an ordinary user's PATH doesn't look.
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(usual)
        .any(|folder| folder.join(program).is_file())
}
