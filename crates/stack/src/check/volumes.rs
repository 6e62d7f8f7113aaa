//! Volumes that are there already: made by the PostgreSQL that is to open them.

use std::fs;
use std::path::Path;

use crate::compose::docker;
use crate::config::Resolved;
use crate::finding::{Finding, FindingCode as Code};
use crate::stack::Stack;
use crate::version::major_of_image;

/// The service whose data has a version.
const SERVICE: &str = "postgres";
/// Where its data is in the container.
const TARGET: &str = "/var/lib/postgresql/data";
/// The file that says which major version made it.
const VERSION_FILE: &str = "PG_VERSION";

/// Compares the volume with the image.
pub(super) fn look(stack: &Stack, resolved: &Resolved) -> Vec<Finding> {
    let image = resolved
        .services
        .get(SERVICE)
        .and_then(|service| service.image.as_deref());
    let Some((image, wanted)) = image.and_then(|image| Some((image, major_of_image(image)?)))
    else {
        return Vec::new();
    };
    resolved
        .mounted(SERVICE, &stack.project_name())
        .into_iter()
        .filter(|mounted| mounted.target == TARGET)
        .filter_map(|mounted| {
            let made_by = made_by(stack, &mounted.volume, image)?;
            Some(judge(&mounted.volume, made_by, image, wanted))
        })
        .collect()
}

fn judge(volume: &str, made_by: u32, image: &str, wanted: u32) -> Finding {
    if made_by == wanted {
        let seen = format!("made by PostgreSQL {made_by}");
        return Finding::fine(Code::VolumeVersion, volume, seen);
    }
    Finding::wrong(
        Code::VolumeVersion,
        volume,
        format!("made by PostgreSQL {made_by}, and {image} is to open it"),
        format!(
            "take an image of PostgreSQL {made_by}; to move on, dump the database there and \
             restore the dump into a new volume"
        ),
    )
}

/// The major version that made the volume; `None` if it is new, or can't be seen.
fn made_by(stack: &Stack, volume: &str, image: &str) -> Option<u32> {
    let inspect = docker(["volume", "inspect", "--format", "{{.Mountpoint}}", volume]);
    let ran = stack.runner().look(&inspect).ok()?;
    if !ran.is_good() {
        return None;
    }
    let on_disk = Path::new(ran.stdout.trim()).join(VERSION_FILE);
    let text = match fs::read_to_string(on_disk) {
        Ok(text) => text,
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && can_list(ran.stdout.trim()) =>
        {
            return None;
        }
        Err(_) => read_inside(stack, volume, image)?,
    };
    text.trim().parse().ok()
}

fn can_list(folder: &str) -> bool {
    fs::read_dir(folder).is_ok()
}

/// Reads it by a container, where the engine's folder can't be seen from here.
/// Only by an image that is here: a look pulls nothing.
fn read_inside(stack: &Stack, volume: &str, image: &str) -> Option<String> {
    let has_image = stack
        .runner()
        .look(&docker(["image", "inspect", image]))
        .ok()?;
    if !has_image.is_good() {
        return None;
    }
    let mount = format!("{volume}:/volume:ro");
    let call = docker(["run", "--rm", "--network", "none", "--volume", &mount])
        .args(["--entrypoint", "cat", image])
        .arg(format!("/volume/{VERSION_FILE}"));
    stack.runner().ask(&call).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    #[test]
    fn a_volume_of_another_major_version_is_told() {
        let told = judge("postgres_data", 14, "postgres:15-alpine", 15);
        assert_eq!(told.level, Level::Wrong);
        assert!(told.seen.contains("PostgreSQL 14") && told.seen.contains("postgres:15-alpine"));
        assert_eq!(
            judge("postgres_data", 15, "postgres:15-alpine", 15).level,
            Level::Fine
        );
    }
}
