//! What Prometheus hears of backups: a text file for the node exporter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::manifest::Part;
use crate::error::StackError;

const SUCCESS: &str = "collective_backup_last_success_timestamp_seconds";
const VERIFY: &str = "collective_backup_last_verify_timestamp_seconds";
const SIZE: &str = "collective_backup_size_bytes";
const RESULT: &str = "collective_backup_last_result";

/// Each metric with its help.
const HELP: [(&str, &str); 4] = [
    (
        RESULT,
        "Whether the last backup or its proof went well: 1, or 0.",
    ),
    (SUCCESS, "When the last good backup was whole."),
    (
        VERIFY,
        "When a backup was last restored into a throw-away server and compared.",
    ),
    (SIZE, "Bytes of the last good backup."),
];

/// The exporter is another user.
const MODE: u32 = 0o644;

/// The values, by metric and part.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Metrics(BTreeMap<(String, String), f64>);

impl Metrics {
    /// Changes the file: it is read, changed, and replaced at once.
    pub(super) fn change(path: &Path, change: impl FnOnce(&mut Self)) -> Result<(), StackError> {
        let unwritable = |source| StackError::file("can't write", path, source);
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(unwritable)?;
        let mut metrics = Self::parse(&fs::read_to_string(path).unwrap_or_default());
        change(&mut metrics);
        let mut file = tempfile::Builder::new()
            .prefix(".collective_backup-")
            .permissions(fs::Permissions::from_mode(MODE))
            .tempfile_in(folder)
            .map_err(unwritable)?;
        // The umask took bits that the exporter needs.
        fs::set_permissions(file.path(), fs::Permissions::from_mode(MODE)).map_err(unwritable)?;
        file.write_all(metrics.render().as_bytes())
            .map_err(unwritable)?;
        file.persist(path)
            .map_err(|error| unwritable(error.error))?;
        Ok(())
    }

    /// A part was taken.
    pub(super) fn taken(&mut self, part: Part, bytes: u64, at: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
        self.set(SIZE, part, bytes as f64);
        self.set(SUCCESS, part, seconds(at));
        self.set(RESULT, part, 1.0);
    }

    /// A part was proven.
    pub(super) fn proven(&mut self, part: Part, at: Timestamp) {
        self.set(VERIFY, part, seconds(at));
        self.set(RESULT, part, 1.0);
    }

    /// Taking or proving a part went wrong.
    pub(super) fn failed(&mut self, part: Part) {
        self.set(RESULT, part, 0.0);
    }

    fn set(&mut self, metric: &str, part: Part, value: f64) {
        self.0.insert((metric.to_owned(), part.to_string()), value);
    }

    fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (metric, rest) = line.split_once("{part=\"")?;
            let (part, value) = rest.split_once("\"} ")?;
            Some((
                (metric.to_owned(), part.to_owned()),
                value.trim().parse().ok()?,
            ))
        };
        Self(text.lines().filter_map(sample).collect())
    }

    fn render(&self) -> String {
        let mut text = String::new();
        for (metric, help) in HELP {
            let samples: Vec<_> = self
                .0
                .iter()
                .filter(|((name, _), _)| name == metric)
                .collect();
            if samples.is_empty() {
                continue;
            }
            // Writing into a text can't fail.
            let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge");
            for ((_, part), value) in samples {
                let _ = writeln!(text, "{metric}{{part=\"{part}\"}} {value}");
            }
        }
        text
    }
}

fn seconds(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
    let seconds = at.as_second() as f64;
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_known_of_other_parts_stays() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("metrics/x.prom");
        let at = Timestamp::from_second(1_764_000_000).unwrap();
        Metrics::change(&path, |metrics| metrics.taken(Part::Postgres, 12, at)).unwrap();
        Metrics::change(&path, |metrics| metrics.failed(Part::Redis)).unwrap();
        Metrics::change(&path, |metrics| metrics.proven(Part::Postgres, at)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for line in [
            "collective_backup_size_bytes{part=\"postgres\"} 12",
            "collective_backup_last_success_timestamp_seconds{part=\"postgres\"} 1764000000",
            "collective_backup_last_verify_timestamp_seconds{part=\"postgres\"} 1764000000",
            "collective_backup_last_result{part=\"postgres\"} 1",
            "collective_backup_last_result{part=\"redis\"} 0",
            "# TYPE collective_backup_last_result gauge",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} in\n{text}");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }
}
