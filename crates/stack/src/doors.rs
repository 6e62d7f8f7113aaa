//! The accounts of the pages for people and of the monitoring: how a password is
//! tried, and how it is changed.
//!
//! What their images bring does it, inside of their containers: pgAdmin's Python,
//! Redis Commander's node, Grafana's command, curl. Passwords come on standard
//! input, as part of a program or of curl's settings.

use std::fmt::Write;

use crate::accounts::{Account, Server};
use crate::call::Call;
use crate::compose::exec;
use crate::error::StackError;
use crate::runner::Ran;
use crate::secret::Secret;
use crate::stack::Stack;

/// By pgAdmin's own code: its command takes passwords as arguments.
const PGADMIN: &str = include_str!("doors/pgadmin.py");
/// A login at Redis Commander's page.
const REDIS_COMMANDER: &str = include_str!("doors/redis_commander.js");
/// Grafana's page has another path behind the reverse proxy.
const GRAFANA: &str = r#"path=
if [ "${GF_SERVER_SERVE_FROM_SUB_PATH:-}" = true ]; then
path=${GF_SERVER_ROOT_URL#*://}
case $path in */*) path=/${path#*/} ;; *) path= ;; esac
fi
exec curl --silent --show-error --max-time 20 --write-out '\n%{http_code}' --config - "http://127.0.0.1:3000${path%/}/api/user""#;
/// Elasticsearch's door, seen from inside.
const ELASTICSEARCH: &str = "https://localhost:9200";
/// The APM server's.
const APM: &str = "http://localhost:8200/";

impl Stack {
    /// The call that tries a password at a door.
    pub(crate) fn knock(&self, account: &Account, password: &Secret, container: &str) -> Call {
        let user = self.user(account);
        let password = password.reveal();
        match account.server {
            Server::Pgadmin => pgadmin(container, &user, Some(password), None),
            Server::RedisCommander => {
                let (user, password) = (quoted(&user), quoted(password));
                let program =
                    format!("const USER = {user}, PASSWORD = {password};\n{REDIS_COMMANDER}");
                exec(container, None, ["node", "-"]).input(program)
            }
            Server::Grafana => {
                let settings = format!("user = {}\n", quoted(&format!("{user}:{password}")));
                exec(container, None, ["sh", "-c", GRAFANA]).input(settings)
            }
            Server::Apm => {
                let header = quoted(&format!("Authorization: Bearer {password}"));
                curl(container, &[])
                    .arg(APM)
                    .input(format!("header = {header}\n"))
            }
            // Those of the three servers are tried by their own clients.
            Server::Elasticsearch | Server::Postgres | Server::Rabbitmq | Server::Redis => {
                let settings = format!("user = {}\n", quoted(&format!("{user}:{password}")));
                curl(container, &["--cacert", "config/certs/ca/ca.crt"])
                    .arg(format!("{ELASTICSEARCH}/_security/_authenticate"))
                    .input(settings)
            }
        }
    }

    /// The call that gives an account another password.
    pub(crate) fn change_at_door(
        &self,
        account: &Account,
        new: &Secret,
        container: &str,
    ) -> Result<Call, StackError> {
        let user = self.user(account);
        let new = new.reveal();
        match account.server {
            Server::Pgadmin => Ok(pgadmin(container, &user, None, Some(new))),
            // It changes the first user, who is the administrator of the first start.
            Server::Grafana => Ok(exec(
                container,
                None,
                ["grafana", "cli", "admin", "reset-admin-password"],
            )
            .arg("--password-from-stdin")
            .input(format!("{new}\n"))),
            Server::Elasticsearch => {
                let admin = account.server.admin();
                let secret = self.password(&admin).ok_or_else(|| {
                    StackError::usage(
                        format!("{} isn't set", admin.password_from),
                        "only its administrator changes passwords: set it to what it knows now",
                    )
                })?;
                let login = format!("{}:{}", self.user(&admin), secret.reveal());
                let body = format!("{{\"password\":{}}}", quoted(new));
                let mut settings = String::new();
                for (name, value) in [
                    ("user", login.as_str()),
                    ("header", "Content-Type: application/json"),
                    ("data", body.as_str()),
                ] {
                    // Writing to a string can't fail.
                    let _ = writeln!(settings, "{name} = {}", quoted(value));
                }
                let call = curl(container, &["--fail", "--cacert", "config/certs/ca/ca.crt"]);
                Ok(call
                    .arg(format!("{ELASTICSEARCH}/_security/user/{user}/_password"))
                    .input(settings))
            }
            Server::RedisCommander
            | Server::Apm
            | Server::Postgres
            | Server::Rabbitmq
            | Server::Redis => Err(StackError::usage(
                format!("{} has no command that changes it", account.password_from),
                "its container is made anew with another environment",
            )),
        }
    }
}

/// Why a door stayed closed, if it did.
pub(crate) fn refused(server: Server, ran: &Ran) -> Option<String> {
    let said = || {
        let said = ran.said();
        said.lines().last().unwrap_or("no answer").to_owned()
    };
    if !ran.is_good() {
        return Some(said());
    }
    match server {
        Server::Grafana | Server::Elasticsearch | Server::Apm => {
            let (body, code) = ran.stdout.rsplit_once('\n').unwrap_or(("", &ran.stdout));
            // The APM server answers everybody, and says its version to those that
            // show the token (Elastic, "APM Server information API").
            let is_in = code.trim() == "200" && (server != Server::Apm || body.contains("version"));
            (!is_in).then(|| format!("it answers HTTP {}", code.trim()))
        }
        _ => None,
    }
}

/// curl with its settings on standard input; the answer's code is the last line.
fn curl(container: &str, more: &[&str]) -> Call {
    exec(container, None, ["curl", "--silent", "--show-error"])
        .args(["--max-time", "20", "--write-out", r"\n%{http_code}"])
        .args(more.iter().copied())
        .args(["--config", "-"])
}

fn pgadmin(container: &str, user: &str, password: Option<&str>, new: Option<&str>) -> Call {
    let text = |value: Option<&str>| value.map_or_else(|| "None".to_owned(), quoted);
    let program = format!(
        "EMAIL = {}\nPASSWORD = {}\nNEW = {}\n{PGADMIN}",
        quoted(user),
        text(password),
        text(new)
    );
    exec(container, None, ["/venv/bin/python3", "-"]).input(program)
}

/// A text between quotes, as JSON, Python, JavaScript and curl's settings read it
/// alike. None of them can hold a line break in a password anyway.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(code: i32, stdout: &str) -> Ran {
        Ran {
            code: Some(code),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn what_a_door_answers_decides() {
        for (server, answer, expected) in [
            (Server::Grafana, ran(0, "{\"id\":1}\n200"), None),
            (
                Server::Grafana,
                ran(0, "{}\n401"),
                Some("it answers HTTP 401"),
            ),
            (
                Server::Elasticsearch,
                ran(0, "{}\n401"),
                Some("it answers HTTP 401"),
            ),
            (Server::Elasticsearch, ran(7, "no\n000"), Some("000")),
            // Without the right token the APM server says 200, and nothing.
            (Server::Apm, ran(0, "\n200"), Some("it answers HTTP 200")),
            (Server::Apm, ran(0, "{\"version\":\"8.19.0\"}\n200"), None),
            (Server::Pgadmin, ran(0, ""), None),
            (
                Server::Pgadmin,
                ran(1, "it is another password"),
                Some("it is another password"),
            ),
            (Server::RedisCommander, ran(1, ""), Some("no answer")),
        ] {
            assert_eq!(refused(server, &answer).as_deref(), expected, "{server:?}");
        }
    }

    #[test]
    fn a_password_of_odd_characters_stays_one_word() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quoted("two\nlines"), "\"twolines\"");
    }
}
