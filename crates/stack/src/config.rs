//! What the compose files come to: the answer of `compose config`, of either
//! Compose.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

/// The resolved files, as far as this crate needs them.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Resolved {
    #[serde(default)]
    pub(crate) services: BTreeMap<String, Service>,
    #[serde(default)]
    volumes: BTreeMap<String, Option<Volume>>,
}

/// One service.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Service {
    pub(crate) image: Option<String>,
    #[serde(default)]
    ports: Vec<Value>,
    #[serde(default)]
    volumes: Vec<Value>,
    #[serde(default)]
    environment: Value,
    #[serde(default)]
    profiles: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Volume {
    name: Option<String>,
}

/// A port that a service wants on the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) service: String,
    pub(crate) ip: IpAddr,
    pub(crate) port: u16,
}

/// A volume in a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Its name in the compose files.
    pub(crate) declared: String,
    /// Its name as the engine knows it.
    pub(crate) volume: String,
    /// Where it is in the container.
    pub(crate) target: String,
}

/// Reads the YAML that both Composes print. Services that wait for their profile
/// are no part of the stack; only Compose 2 leaves them out by itself.
pub(crate) fn read(yaml: &str) -> Result<Resolved, String> {
    let mut resolved: Resolved = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    resolved
        .services
        .retain(|_, service| service.profiles.is_empty());
    Ok(resolved)
}

impl Resolved {
    /// The ports that the stack wants on the machine.
    pub(crate) fn published(&self) -> Vec<Published> {
        let mut all = Vec::new();
        for (name, service) in &self.services {
            all.extend(
                service
                    .ports
                    .iter()
                    .filter_map(|port| published(name, port)),
            );
        }
        all
    }

    /// The name of a volume as the engine knows it, if the files have it.
    pub(crate) fn volume(&self, volume: &str, project: &str) -> Option<String> {
        let declared = self.volumes.get(volume)?;
        let name = declared.as_ref().and_then(|declared| declared.name.clone());
        Some(name.unwrap_or_else(|| format!("{project}_{volume}")))
    }

    /// The services whose environment holds a text.
    pub(crate) fn told(&self, text: &str) -> Vec<&str> {
        let is_told = |service: &Service| match &service.environment {
            Value::Object(fields) => fields
                .values()
                .any(|value| value.as_str().is_some_and(|value| value.contains(text))),
            Value::Array(lines) => lines
                .iter()
                .any(|line| line.as_str().is_some_and(|line| line.contains(text))),
            _ => false,
        };
        self.services
            .iter()
            .filter(|(_, service)| is_told(service))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The services that have a volume.
    pub(crate) fn users_of(&self, volume: &str) -> Vec<&str> {
        let uses = |service: &Service| {
            let mut mounts = service.volumes.iter().filter_map(mount);
            mounts.any(|(source, _)| source == volume)
        };
        self.services
            .iter()
            .filter(|(_, service)| uses(service))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The named volumes of a service; `project` stands before names that the
    /// files leave open.
    pub(crate) fn mounted(&self, service: &str, project: &str) -> Vec<Mounted> {
        let Some(service) = self.services.get(service) else {
            return Vec::new();
        };
        service
            .volumes
            .iter()
            .filter_map(mount)
            .filter_map(|(source, target)| {
                let volume = self.volume(&source, project)?;
                Some(Mounted {
                    declared: source,
                    volume,
                    target,
                })
            })
            .collect()
    }
}

/// `127.0.0.1:5432:5432/tcp` of Compose 1, a mapping of Compose 2.
fn published(service: &str, port: &Value) -> Option<Published> {
    let (ip, port) = match port {
        Value::String(text) => {
            let text = text.split('/').next()?;
            let (rest, _) = text.rsplit_once(':')?;
            match rest.rsplit_once(':') {
                Some((ip, port)) => (ip.to_owned(), port.to_owned()),
                None => (String::new(), rest.to_owned()),
            }
        }
        Value::Object(fields) => {
            let text = |name: &str| match fields.get(name) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            };
            (text("host_ip"), text("published"))
        }
        _ => return None,
    };
    let ip = ip.trim_matches(['[', ']']).parse();
    Some(Published {
        service: service.to_owned(),
        ip: ip.unwrap_or(IpAddr::from([0, 0, 0, 0])),
        port: port.parse().ok()?,
    })
}

/// Source and target of a mount: `data:/var/lib/data:rw`, or a mapping.
fn mount(volume: &Value) -> Option<(String, String)> {
    match volume {
        Value::String(text) => {
            let mut parts = text.split(':');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        }
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name)?.as_str().map(str::to_owned);
            Some((text("source")?, text("target")?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "\
services:
  postgres:
    image: postgres:15-alpine
    ports:
    - 127.0.0.1:5432:5432/tcp
    - published: 9000
      target: 9000
    volumes:
    - postgres_data:/var/lib/postgresql/data:rw
    - /etc/x:/etc/x:ro
    - other:/other
  watcher:
    image: x
    profiles: [watch]
volumes:
  postgres_data:
    name: x_postgres_data
  other: {}
";

    const TWO: &str = "\
name: compose
services:
  postgres:
    image: postgres:15-alpine
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        target: 5432
        published: \"5432\"
        protocol: tcp
      - mode: ingress
        target: 9000
        published: \"9000\"
    volumes:
      - type: volume
        source: postgres_data
        target: /var/lib/postgresql/data
        volume: {}
      - type: bind
        source: /etc/x
        target: /etc/x
      - type: volume
        source: other
        target: /other
volumes:
  postgres_data:
    name: x_postgres_data
  other:
    name: compose_other
";

    #[test]
    fn both_composes_say_the_same() {
        for yaml in [ONE, TWO] {
            let resolved = read(yaml).unwrap();
            assert_eq!(resolved.services.len(), 1);
            let ports: Vec<String> = resolved
                .published()
                .iter()
                .map(|port| format!("{} {}:{}", port.service, port.ip, port.port))
                .collect();
            assert_eq!(ports, ["postgres 127.0.0.1:5432", "postgres 0.0.0.0:9000"]);
            let volumes: Vec<String> = resolved
                .mounted("postgres", "compose")
                .iter()
                .map(|mounted| format!("{} {}", mounted.volume, mounted.target))
                .collect();
            let expected = [
                "x_postgres_data /var/lib/postgresql/data",
                "compose_other /other",
            ];
            assert_eq!(volumes, expected);
        }
    }
}
