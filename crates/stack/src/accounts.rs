//! Who logs in where, and the variable that each password comes from. One table
//! for proving logins and for changing passwords.

use crate::call::Call;
use crate::compose::exec;
use crate::doors::refused;
use crate::error::StackError;
use crate::place::Environment;
use crate::runner::Ran;
use crate::secret::Secret;
use crate::stack::Stack;

/// A server that has accounts; its service has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Postgres,
    Rabbitmq,
    Redis,
    Pgadmin,
    RedisCommander,
    Grafana,
    Elasticsearch,
    Apm,
}

impl Server {
    /// The service in the compose files.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::Redis => "redis",
            Self::Pgadmin => "pgadmin",
            Self::RedisCommander => "redis-commander",
            Self::Grafana => "grafana",
            // Any of its nodes would do.
            Self::Elasticsearch => "elasticsearch-1",
            Self::Apm => "apm-server",
        }
    }

    /// Whether it is one of the three that no stack is without.
    pub(crate) const fn is_core(self) -> bool {
        matches!(self, Self::Postgres | Self::Rabbitmq | Self::Redis)
    }

    /// Whether a service holds these accounts itself, and knows a new password
    /// from then on. Where only the environment says it, none does.
    pub(crate) fn is_kept_by(self, service: &str) -> bool {
        match self {
            _ if self.is_told() => false,
            Self::Elasticsearch => service.starts_with("elasticsearch-"),
            _ => service == self.service(),
        }
    }

    /// Whether the environment of its container is all that says its password.
    pub(crate) const fn is_told(self) -> bool {
        matches!(self, Self::RedisCommander | Self::Apm)
    }

    /// The administrator.
    pub(crate) fn admin(self) -> Account {
        let mut of_server = ACCOUNTS.into_iter().filter(|one| one.server == self);
        // Every server has an account in the table, its administrator first.
        of_server.next().unwrap_or(ACCOUNTS[0])
    }

    /// The administrator's password, which stands for a missing one where
    /// nothing is at stake.
    const fn admin_password(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some("POSTGRES_PASSWORD"),
            Self::Rabbitmq => Some("RABBITMQ_PASSWORD"),
            Self::Redis => Some("REDIS_PASSWORD"),
            _ => None,
        }
    }
}

/// One account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) server: Server,
    /// The variable that names the user, if one does.
    user_from: Option<&'static str>,
    /// The user, if no variable says another.
    user: &'static str,
    /// The variable of the password.
    pub(crate) password_from: &'static str,
}

const fn account(server: Server, user: &'static str, password_from: &'static str) -> Account {
    Account {
        server,
        user_from: None,
        user,
        password_from,
    }
}

const fn admin(
    server: Server,
    user_from: &'static str,
    user: &'static str,
    password_from: &'static str,
) -> Account {
    Account {
        user_from: Some(user_from),
        ..account(server, user, password_from)
    }
}

/// Every account, administrators first.
pub(crate) const ACCOUNTS: [Account; 19] = [
    admin(
        Server::Postgres,
        "POSTGRES_USER",
        "admin",
        "POSTGRES_PASSWORD",
    ),
    account(Server::Postgres, "collective_app", "COLLECTIVE_DB_PASSWORD"),
    account(
        Server::Postgres,
        "collective_readonly",
        "COLLECTIVE_READONLY_PASSWORD",
    ),
    account(
        Server::Postgres,
        "collective_monitor",
        "POSTGRES_EXPORTER_PASSWORD",
    ),
    admin(
        Server::Rabbitmq,
        "RABBITMQ_USER",
        "admin",
        "RABBITMQ_PASSWORD",
    ),
    account(
        Server::Rabbitmq,
        "collective",
        "COLLECTIVE_RABBITMQ_PASSWORD",
    ),
    account(Server::Rabbitmq, "monitor", "RABBITMQ_MONITOR_PASSWORD"),
    account(Server::Redis, "default", "REDIS_PASSWORD"),
    account(Server::Redis, "collective", "COLLECTIVE_REDIS_PASSWORD"),
    account(Server::Redis, "exporter", "REDIS_EXPORTER_PASSWORD"),
    admin(
        Server::Pgadmin,
        "PGADMIN_EMAIL",
        "admin@example.com",
        "PGADMIN_PASSWORD",
    ),
    admin(
        Server::RedisCommander,
        "REDIS_COMMANDER_USER",
        "admin",
        "REDIS_COMMANDER_PASSWORD",
    ),
    admin(Server::Grafana, "GRAFANA_USER", "admin", "GRAFANA_PASSWORD"),
    account(Server::Elasticsearch, "elastic", "ELASTIC_PASSWORD"),
    account(Server::Elasticsearch, "kibana_system", "KIBANA_PASSWORD"),
    account(
        Server::Elasticsearch,
        "logstash_writer",
        "LOGSTASH_ELASTICSEARCH_PASSWORD",
    ),
    account(
        Server::Elasticsearch,
        "log_reader",
        "GRAFANA_ELASTICSEARCH_PASSWORD",
    ),
    account(
        Server::Elasticsearch,
        "apm_writer",
        "APM_ELASTICSEARCH_PASSWORD",
    ),
    account(Server::Apm, "agents", "APM_SECRET_TOKEN"),
];

/// redis-cli in Redis' container, as the server lets people in: over TLS where
/// `REDIS_REQUIRE_TLS` is true. The container knows that better than a file here.
pub(crate) const REDIS_CLI: &str = "/opt/collective/redis/cli.sh";

/// The name of the database, if no variable says another.
const DATABASE: &str = "agent_orchestrator";

impl Stack {
    /// Who an account is.
    pub(crate) fn user(&self, account: &Account) -> String {
        account
            .user_from
            .and_then(|name| self.value(name))
            .unwrap_or_else(|| account.user.to_owned())
    }

    /// The password of an account, if there is one.
    pub(crate) fn password(&self, account: &Account) -> Option<Secret> {
        let own = self.value(account.password_from);
        let admins = || {
            (!self.environment.is_serious())
                .then(|| account.server.admin_password())
                .flatten()
                .and_then(|name| self.value(name))
        };
        own.or_else(admins).map(Secret::new)
    }

    /// The database.
    pub(crate) fn database(&self) -> String {
        // Tests have one of their own, so that they never meet another's data.
        if self.environment == Environment::Test {
            return self
                .value("POSTGRES_TEST_DB")
                .unwrap_or_else(|| format!("{DATABASE}_test"));
        }
        self.value("POSTGRES_DB")
            .unwrap_or_else(|| DATABASE.to_owned())
    }

    /// The call that gives an account another password in its running server.
    /// Both passwords travel by standard input. Redis goes on taking the one of
    /// before, until it is told to forget it.
    pub(crate) fn change_password(
        &self,
        account: &Account,
        secret: &Secret,
        container: &str,
    ) -> Result<Call, StackError> {
        let user = self.user(account);
        let new = secret.reveal();
        Ok(match account.server {
            Server::Postgres => self.psql(container, alter_role(&user, new)),
            Server::Rabbitmq => exec(
                container,
                None,
                ["rabbitmqctl", "--quiet", "change_password"],
            )
            .arg(user)
            .input(format!("{new}\n")),
            Server::Redis => {
                self.redis(container, &format!("ACL SETUSER {user} >{new}\nACL SAVE\n"))
            }
            _ => return self.change_at_door(account, secret, container),
        })
    }

    /// The call that has Redis forget a password.
    pub(crate) fn forget_password(&self, account: &Account, old: &Secret, container: &str) -> Call {
        let user = self.user(account);
        let old = old.reveal();
        self.redis(container, &format!("ACL SETUSER {user} <{old}\nACL SAVE\n"))
    }

    /// Commands for Redis as its administrator; they come on standard input.
    fn redis(&self, container: &str, commands: &str) -> Call {
        let admin = ACCOUNTS
            .iter()
            .find(|account| account.server == Server::Redis);
        let password = admin.and_then(|account| self.password(account));
        let secret = password
            .as_ref()
            .map(|password| ("REDISCLI_AUTH", password));
        exec(container, secret, [REDIS_CLI, "--no-auth-warning", "-e"]).input(commands)
    }

    /// A call of psql as PostgreSQL's administrator, by the socket inside of its
    /// container; the statements come on standard input.
    pub(crate) fn psql(&self, container: &str, sql: impl Into<String>) -> Call {
        let user = self.user(&ACCOUNTS[0]);
        let database = self.database();
        exec(container, None, ["psql", "-X", "-q", "-A", "-t", "-w"])
            .args([
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                &user,
                "-d",
                &database,
                "-f",
                "-",
            ])
            .input(sql)
    }

    /// Logs in with a password, by the network as a client does. `Err` says why
    /// it was refused.
    pub(crate) fn log_in(
        &self,
        account: &Account,
        password: &Secret,
        container: &str,
    ) -> Result<Result<(), String>, StackError> {
        let ran = self
            .runner()
            .look(&self.log_in_call(account, password, container))?;
        Ok(refusal(account.server, &ran).map_or(Ok(()), Err))
    }

    fn log_in_call(&self, account: &Account, password: &Secret, container: &str) -> Call {
        let user = self.user(account);
        match account.server {
            Server::Postgres => exec(
                container,
                Some(("PGPASSWORD", password)),
                ["psql", "-X", "-A", "-t", "-w", "-h", "127.0.0.1"],
            )
            .args(["-U", &user, "-d", &self.database(), "-c", "SELECT 1"]),
            Server::Rabbitmq => exec(
                container,
                None,
                ["rabbitmqctl", "--quiet", "authenticate_user"],
            )
            .arg(user)
            .input(format!("{}\n", password.reveal())),
            Server::Redis => exec(
                container,
                Some(("REDISCLI_AUTH", password)),
                [REDIS_CLI, "--no-auth-warning", "--user"],
            )
            .arg(user)
            .arg("ping"),
            _ => self.knock(account, password, container),
        }
    }
}

/// The statements that give a role of PostgreSQL another password, which no log
/// and no statistics hear of.
pub(crate) fn alter_role(user: &str, new: &str) -> String {
    format!(
        "SET log_statement = 'none';\n\
         SET log_min_duration_statement = -1;\n\
         SET pg_stat_statements.track_utility = off;\n\
         SET password_encryption = 'scram-sha-256';\n\
         ALTER ROLE \"{user}\" PASSWORD '{new}';\n"
    )
}

/// Why a login was refused, if it was.
fn refusal(server: Server, ran: &Ran) -> Option<String> {
    let is_in = match server {
        Server::Postgres | Server::Rabbitmq => ran.is_good(),
        // redis-cli's exit code is good whatever the answer.
        Server::Redis => ran.stdout.trim() == "PONG" && !ran.stderr.contains("AUTH failed"),
        _ => return refused(server, ran),
    };
    (!is_in).then(|| {
        let said = ran.said();
        said.lines().last().unwrap_or("no answer").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_decides_and_not_its_exit_code() {
        let ran = |stdout: &str, stderr: &str| Ran {
            code: Some(0),
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        };
        assert_eq!(refusal(Server::Redis, &ran("PONG\n", "")), None);
        let wrong = ran("NOAUTH Authentication required.\n", "");
        assert!(refusal(Server::Redis, &wrong).is_some());
        let wrong = ran(
            "PONG\n",
            "AUTH failed: WRONGPASS invalid username-password pair",
        );
        assert!(
            refusal(Server::Redis, &wrong)
                .unwrap()
                .contains("WRONGPASS")
        );
    }
}
