//! What the other services keep: volumes that can't be had again.
//!
//! Metrics, logs and workers' folders are left out: they are large, and a new
//! stack makes them anew. Services that write into a volume stand still while it
//! is copied.

use std::path::Path;
use std::time::Duration;

use super::manifest::{Volume, Volumes};
use super::vault::{Key, Sealing};
use crate::compose::docker;
use crate::container::Container;
use crate::error::StackError;
use crate::runner::Runner;
use crate::stack::Stack;

/// The volumes that matter, by their names in the compose files, and whether a
/// service writes into it all the time.
const KEPT: [(&str, bool); 6] = [
    ("alertmanager_data", true),
    ("grafana_data", true),
    ("pgadmin_data", true),
    ("redis_insight_data", true),
    ("server_token", false),
    ("worker_keys", false),
];
/// How long one volume may take.
const STREAM_LIMIT: Duration = Duration::from_secs(1_800);
/// What begins the count of files among the complaints.
const COUNT: &str = "files:";

/// Takes them, with an image that is here anyway.
pub(super) fn take(
    stack: &Stack,
    containers: &[Container],
    image: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Volumes, StackError> {
    let resolved = stack.resolved()?;
    let project = stack.project_name();
    let mut volumes = Vec::new();
    for (volume, is_written) in KEPT {
        let Some(name) = resolved.volume(volume, &project) else {
            continue;
        };
        let there = docker(["volume", "inspect", "--format", "{{.Name}}", &name]);
        if !stack.runner().look(&there)?.is_good() {
            continue;
        }
        let writers: Vec<&str> = resolved
            .users_of(volume)
            .into_iter()
            .filter(|_| is_written)
            .filter_map(|service| {
                containers
                    .iter()
                    .find(|one| one.service == service && one.runs())
            })
            .map(|container| container.name.as_str())
            .collect();
        let still = StandStill::ask(stack.runner(), &writers)?;
        volumes.push(one(stack, volume, &name, image, folder, key)?);
        drop(still);
    }
    Ok(Volumes {
        image: image.to_owned(),
        volumes,
    })
}

fn one(
    stack: &Stack,
    volume: &str,
    name: &str,
    image: &str,
    folder: &Path,
    key: Option<&Key>,
) -> Result<Volume, StackError> {
    let script =
        format!("set -eu; cd /volume; echo \"{COUNT}$(find . -type f | wc -l)\" >&2; tar -czf - .");
    let mount = format!("{name}:/volume:ro");
    let call = docker(["run", "--rm", "--network", "none", "--volume", &mount])
        .args(["--user", "0", "--entrypoint", "sh", image, "-c", &script])
        .limit(STREAM_LIMIT);
    let mut file = Sealing::begin(folder, &format!("volumes/{volume}.tar.gz"), key)?;
    let said = stack.runner().pour(&call, &mut file)?;
    let files = said
        .lines()
        .find_map(|line| line.strip_prefix(COUNT)?.trim().parse().ok())
        .unwrap_or(0);
    Ok(Volume {
        volume: volume.to_owned(),
        content: file.finish()?,
        files,
    })
}

/// Containers that stand still as long as this lives.
struct StandStill<'r> {
    runner: &'r Runner,
    names: Vec<String>,
}

impl<'r> StandStill<'r> {
    fn ask(runner: &'r Runner, names: &[&str]) -> Result<Self, StackError> {
        let mut still = Self {
            runner,
            names: Vec::new(),
        };
        for name in names {
            runner.ask(&docker(["pause", name]))?;
            still.names.push((*name).to_owned());
        }
        Ok(still)
    }
}

impl Drop for StandStill<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            // Also after an interruption, where no other call is carried out.
            self.runner.restore(&docker(["unpause", name]));
        }
    }
}
