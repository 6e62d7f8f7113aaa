//! `config check --connect`: looks at each part that the settings name, all at
//! the same time, and ties each finding to the setting that is responsible.

use collective_config::{Engine, Entry, Loaded, Origin};
use collective_core::Code;
use collective_core::ports::{About, Finding, Verdict};
use serde::Serialize;

use crate::errors::CliError;
use crate::output::{Output, Tone};
use crate::settings;

/// A finding with its part and its setting.
#[derive(Debug, Serialize)]
pub(super) struct Placed {
    part: &'static str,
    verdict: Verdict,
    code: &'static str,
    /// The setting that is responsible.
    key: String,
    /// Where it was said.
    at: Origin,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Looks at all parts; there are none for the embedded engine.
pub(super) async fn look(loaded: &Loaded) -> Vec<Placed> {
    let Engine::Distributed(parts) = &loaded.settings.engine else {
        return Vec::new();
    };
    let parts = settings::distributed(parts);
    let (store, bus, cache) = tokio::join!(
        collective_store::postgres::look(&parts.postgres),
        collective_bus::rabbitmq::look(&parts.rabbitmq),
        collective_cache::redis::look(&parts.redis),
    );
    [("store", store), ("bus", bus), ("cache", cache)]
        .into_iter()
        .flat_map(|(part, found)| found.into_iter().map(move |it| (part, it)))
        .map(|(part, finding)| placed(part, finding, &loaded.entries))
        .collect()
}

fn placed(part: &'static str, finding: Finding, entries: &[Entry]) -> Placed {
    let key = key(part, finding.about);
    let at = entries.iter().find(|entry| entry.key == key);
    Placed {
        part,
        verdict: finding.verdict,
        code: finding.code.as_str(),
        at: at.map_or(Origin::Default, |entry| entry.from.clone()),
        key,
        message: finding.seen,
        hint: finding.hint,
    }
}

fn key(part: &str, about: About) -> String {
    let name = match about {
        About::Host => "host",
        About::Port => "port",
        About::Tls => "tls",
        About::CaFile => "ca_file",
        About::User => "user",
        About::Password => "password",
        About::Space if part == "bus" => "vhost",
        About::Space => "database",
    };
    format!("{part}.{name}")
}

/// One line for what is as it should be; the place too for what isn't.
pub(super) fn show(out: &Output, finding: &Placed) -> Result<(), CliError> {
    let (word, tone) = match finding.verdict {
        Verdict::Fine => ("ok    ", Tone::Good),
        Verdict::Notice => ("notice", Tone::Warn),
        Verdict::Wrong => ("wrong ", Tone::Bad),
    };
    let message = crate::text::line(&finding.message);
    let said = match finding.verdict {
        Verdict::Fine | Verdict::Notice => message,
        Verdict::Wrong => format!(
            "{}: error[{}]: {}: {message}",
            finding.at, finding.code, finding.key
        ),
    };
    out.line(format!(
        "{}  {:<5}  {said}",
        out.paint(tone, word),
        finding.part
    ))?;
    match &finding.hint {
        Some(hint) => out.line(format!("               hint: {hint}")),
        None => Ok(()),
    }
}

/// The end of the command: whether a server can stand on all of it.
pub(super) fn outcome(found: &[Placed]) -> Result<(), CliError> {
    let wrong = found.iter().filter(|it| it.verdict == Verdict::Wrong);
    match wrong.count() {
        0 => Ok(()),
        count => Err(CliError::Outcome {
            what: match count {
                1 => "1 thing is wrong with the parts".to_owned(),
                count => format!("{count} things are wrong with the parts"),
            },
            hint: None,
            exit: Code::InvalidField.exit_code(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use collective_core::ports::FindingCode;

    use super::*;

    #[test]
    fn the_document_names_every_code_and_no_other() {
        let document = include_str!("../../../../../docs/configuration.md");
        let (_, table) = document.split_once("## Codes of findings").unwrap();
        let named: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
            .map(|(code, _)| code)
            .collect();
        assert_eq!(named, FindingCode::ALL.map(FindingCode::as_str));
    }

    #[test]
    fn every_finding_is_about_a_setting_that_there_is() {
        use About::{CaFile, Host, Password, Port, Space, Tls, User};
        for part in ["store", "bus", "cache"] {
            for about in [Host, Port, Tls, CaFile, User, Password, Space] {
                let key = key(part, about);
                let known = collective_config::KEYS.iter().any(|it| it.name == key);
                assert!(known, "{key}");
            }
        }
    }
}
