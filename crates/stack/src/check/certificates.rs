//! Certificates: there, good for a while, and their keys readable by who needs them.
//!
//! Looked at are those that something is going to ask for: the proxy's, those of
//! servers that let nobody in without TLS, and those that are there anyway.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::compose::shown;
use crate::finding::{Finding, FindingCode as Code};
use crate::stack::Stack;

/// The variable of the folder with all of them, and what it is if nobody says.
const FOLDER: (&str, &str) = ("TLS_FOLDER", "../tls");
/// Days before its end from which a certificate is told: time to have another made.
const DAYS: u64 = 30;
const DAY: u64 = 24 * 60 * 60;
/// Whom nginx runs as in the proxy's image; it reads its key from the mount.
const PROXY_USER: u32 = 101;
/// Servers with a certificate of their own, and what makes TLS the only way in. They
/// start as root, which copies the key for its server.
const SERVERS: [(&str, &str); 3] = [
    ("postgres", "POSTGRES_REQUIRE_TLS"),
    ("rabbitmq", "RABBITMQ_REQUIRE_TLS"),
    ("redis", "REDIS_REQUIRE_TLS"),
];
/// Makes all of them, for networks that nobody else sees.
const MAKE: &str = "put it there; `infrastructure/docker/tls/make-test-certificates.sh` makes \
                    one of an authority of its own";

/// Looks at each.
pub(super) fn look(stack: &Stack) -> Vec<Finding> {
    let said = stack.value(FOLDER.0).unwrap_or_else(|| FOLDER.1.to_owned());
    let folder = plain(&stack.place.compose_folder().join(said));
    // Other environments mount none into the servers.
    let servers = SERVERS.iter().filter(|_| stack.environment.is_serious());
    let is_required = |name: &str| stack.value(name).as_deref() == Some("true");
    let mut findings = Vec::new();
    let mut is_asked_for_an_authority = false;
    for (server, variable) in servers {
        let folder = folder.join(server);
        is_asked_for_an_authority |= is_required(variable);
        if is_required(variable) || folder.join("server.crt").exists() {
            findings.extend(pair(&folder, None));
        }
    }
    if is_asked_for_an_authority {
        findings.extend(authority(&folder.join("ca/ca.crt")));
    }
    if stack.proxy {
        let folder = folder.join("proxy");
        findings.extend(pair(&folder, Some(PROXY_USER)));
        findings.extend(names(&folder.join("htpasswd")));
    }
    findings
}

/// The path without the steps up in it, so that it can be read.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in path.components() {
        if step == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(step);
        }
    }
    plain
}

/// A certificate and its key.
fn pair(folder: &Path, user: Option<u32>) -> Vec<Finding> {
    let mut findings = vec![certificate(&folder.join("server.crt"))];
    let key = folder.join("server.key");
    findings.extend(match readable(&key, user) {
        Ok(true) => None,
        Ok(false) => Some(unreadable(&key, user)),
        Err(error) => Some(missing(&key, &error)),
    });
    findings
}

/// What all who connect trust; they run as users of their own.
fn authority(path: &Path) -> Vec<Finding> {
    let mut findings = vec![certificate(path)];
    if matches!(readable(path, Some(u32::MAX)), Ok(false)) {
        let mend = format!("chmod a+r {0}; chmod a+rx {0}/..", shown(path));
        let seen = "servers, exporters and the proxy have to read it, and can't";
        findings.push(Finding::wrong(Code::KeyUnreadable, shown(path), seen, mend));
    }
    findings
}

/// The names that the proxy's pages ask for.
fn names(path: &Path) -> Option<Finding> {
    let why = match readable(path, Some(PROXY_USER)) {
        Ok(true) => return None,
        Ok(false) => format!("user {PROXY_USER} of the proxy can't read it"),
        Err(error) => error.to_string(),
    };
    let mend = format!(
        "htpasswd -B -c {} NAME, readable for user {PROXY_USER}",
        shown(path)
    );
    let seen = format!("the pages are closed to everybody: {why}");
    Some(Finding::notice(Code::PagesClosed, shown(path), seen, mend))
}

fn certificate(path: &Path) -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    match fs::read(path) {
        Ok(pem) => judge(path, end_of(&pem), now),
        Err(error) => missing(path, &error),
    }
}

fn missing(path: &Path, error: &io::Error) -> Finding {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let mend = "run the check as a user who may, such as root";
        let seen = "this user may not look at it";
        return Finding::notice(Code::CertificateMissing, shown(path), seen, mend);
    }
    Finding::wrong(
        Code::CertificateMissing,
        shown(path),
        error.to_string(),
        MAKE,
    )
}

fn unreadable(path: &Path, user: Option<u32>) -> Finding {
    let user = user.unwrap_or_default();
    let seen = format!("user {user}, who needs it, can't read it");
    let mend = format!("chown {user} {}; chmod 0400 {0}", shown(path));
    Finding::wrong(Code::KeyUnreadable, shown(path), seen, mend)
}

/// When the first of the certificates of a file ends, in seconds since 1970.
fn end_of(pem: &[u8]) -> Option<u64> {
    CertificateDer::pem_slice_iter(pem)
        .map(|one| {
            let certificate = Certificate::from_der(&one.ok()?).ok()?;
            let end = certificate.tbs_certificate.validity.not_after;
            Some(end.to_unix_duration().as_secs())
        })
        .collect::<Option<Vec<u64>>>()?
        .into_iter()
        .min()
}

fn judge(path: &Path, end: Option<u64>, now: u64) -> Finding {
    let place = shown(path);
    let mend = "have another one made, put it there, and start again what reads it";
    match end {
        None => Finding::wrong(
            Code::CertificateMissing,
            place,
            "there is no certificate in it (PEM)",
            MAKE,
        ),
        Some(end) if end <= now => {
            let seen = format!("it ended {} days ago", (now - end) / DAY);
            Finding::wrong(Code::CertificateExpired, place, seen, mend)
        }
        Some(end) if end - now < DAYS * DAY => {
            let seen = format!("it ends in {} days", (end - now) / DAY);
            Finding::notice(Code::CertificateEnding, place, seen, mend)
        }
        Some(end) => {
            let seen = format!("good for {} days", (end - now) / DAY);
            Finding::fine(Code::CertificateEnding, place, seen)
        }
    }
}

/// Whether a user can read a file in a container that its folder is mounted into;
/// nobody in particular is root.
fn readable(path: &Path, user: Option<u32>) -> io::Result<bool> {
    let file = fs::metadata(path)?;
    let Some(user) = user else { return Ok(true) };
    let folder: PathBuf = path.parent().unwrap_or(path).to_owned();
    Ok(may(&file, user, 0o4) && may(&fs::metadata(folder)?, user, 0o1))
}

/// Whether the mode lets a user, whose group has the same number, do it.
fn may(about: &Metadata, user: u32, bit: u32) -> bool {
    let shift = if about.uid() == user {
        6
    } else if about.gid() == user {
        3
    } else {
        0
    };
    about.mode() >> shift & bit != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::finding::Level;

    const PEM: &str = "\
-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIULPAcLyNXVcBPoFo3syf7Kgda0pYwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIcmFiYml0bXEwHhcNMjYxMTMwMTk1MzM5WhcNMjcxMTMwMTk1
MzM5WjATMREwDwYDVQQDDAhyYWJiaXRtcTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABBlwwlrD+1xBxgKLvD3+QaiwttHlMRLDXnD22rp6c85OiGVeNYWh6tBbcjU8
4vyIx6TIaanUZwf4CFqoszKB+pmjUzBRMB0GA1UdDgQWBBSQiKzxUcUkIaIEEG+c
p0tCgRxlXjAfBgNVHSMEGDAWgBSQiKzxUcUkIaIEEG+cp0tCgRxlXjAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIHJ7HOSUQvFzHaisLCZHXd1HZ2Ss
0XTox/NNJmgZYob+AiASJboeY8Jc46/ww/40tfun6BjOk7oesAg82qVph3gTMg==
-----END CERTIFICATE-----
";
    /// 30 November 2027, 19:53:39.
    const END: u64 = 1_827_604_419;

    #[test]
    fn the_end_of_a_certificate_is_read_and_the_first_of_a_chain_counts() {
        assert_eq!(end_of(PEM.as_bytes()), Some(END));
        assert_eq!(end_of(format!("{PEM}\n{PEM}").as_bytes()), Some(END));
        for none in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert_eq!(end_of(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn what_has_ended_is_wrong_and_what_ends_soon_is_told() {
        let at = |end, now| {
            let found = judge(Path::new("/tls/proxy/server.crt"), end, now);
            (found.code, found.level, found.seen)
        };
        let days = |count: u64| count * DAY;
        for (end, now, code, level, seen) in [
            (
                None,
                0,
                Code::CertificateMissing,
                Level::Wrong,
                "there is no certificate in it (PEM)",
            ),
            (
                Some(days(9)),
                days(9),
                Code::CertificateExpired,
                Level::Wrong,
                "it ended 0 days ago",
            ),
            (
                Some(days(9)),
                days(11),
                Code::CertificateExpired,
                Level::Wrong,
                "it ended 2 days ago",
            ),
            (
                Some(days(39)),
                days(10),
                Code::CertificateEnding,
                Level::Notice,
                "it ends in 29 days",
            ),
            (
                Some(days(40)),
                days(10),
                Code::CertificateEnding,
                Level::Fine,
                "good for 30 days",
            ),
        ] {
            assert_eq!(at(end, now), (code, level, seen.to_owned()));
        }
    }

    #[test]
    fn a_key_is_for_the_user_that_needs_it() {
        let temp = tempfile::tempdir().unwrap();
        let key = temp.path().join("server.key");
        fs::write(&key, "").unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let me = fs::metadata(&key).unwrap().uid();
        let other = me + 101;
        for (folder, file, user, expected) in [
            (0o755, 0o600, me, true),
            (0o755, 0o600, other, false),
            (0o755, 0o644, other, true),
            (0o700, 0o644, other, false),
            (0o755, 0o200, me, false),
        ] {
            set(&key, file);
            set(temp.path(), folder);
            let found = readable(&key, Some(user)).unwrap();
            assert_eq!(found, expected, "{folder:o} {file:o} {user}");
        }
        set(temp.path(), 0o755);
        let gone = temp.path().join("nowhere.key");
        let told: Vec<Code> = pair(temp.path(), Some(other))
            .into_iter()
            .map(|found| found.code)
            .collect();
        assert_eq!(told, [Code::CertificateMissing, Code::KeyUnreadable]);
        assert_eq!(
            missing(&gone, &readable(&gone, None).unwrap_err()).level,
            Level::Wrong
        );
    }
}
