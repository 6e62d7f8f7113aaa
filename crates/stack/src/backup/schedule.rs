//! When backups are taken: a timer for systemd and a line for cron.

use std::path::Path;

/// What a schedule starts.
#[derive(Clone, Debug)]
pub struct Job<'j> {
    /// The program.
    pub program: &'j Path,
    /// The root of the project.
    pub root: &'j Path,
    /// The file of variables.
    pub env_file: &'j Path,
    /// The folder of backups.
    pub folder: &'j Path,
    /// The key, if backups are encrypted.
    pub key: Option<&'j Path>,
    /// How many backups stay.
    pub keep: usize,
}

/// A file of a schedule, with its name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

impl Job<'_> {
    /// Every day, and a proof every week. A key that can't open what it closed
    /// can't prove it either.
    fn commands(&self) -> [String; 2] {
        let common = format!(
            "--dir {} --env-file {} --to {}{}",
            self.root.display(),
            self.env_file.display(),
            self.folder.display(),
            self.key
                .map(|key| format!(" --key {}", key.display()))
                .unwrap_or_default(),
        );
        let program = self.program.display();
        [
            format!("{program} stack backup {common} --keep {}", self.keep),
            format!("{program} stack backup verify {common}"),
        ]
    }

    /// The units for `/etc/systemd/system`.
    pub fn systemd(&self) -> Vec<Unit> {
        let [backup, verify] = self.commands();
        let service = |what: &str, command: &str| {
            format!(
                "[Unit]\nDescription=Collective: {what}\nRequires=docker.service\nAfter=docker.service\n\n\
                 [Service]\nType=oneshot\nExecStart={command}\nTimeoutStartSec=6h\nNice=10\n"
            )
        };
        let timer = |what: &str, when: &str| {
            format!(
                "[Unit]\nDescription=Collective: {what}\n\n\
                 [Timer]\nOnCalendar={when}\nRandomizedDelaySec=15min\nPersistent=true\n\n\
                 [Install]\nWantedBy=timers.target\n"
            )
        };
        vec![
            Unit {
                name: "collective-backup.service",
                text: service("a backup", &backup),
            },
            Unit {
                name: "collective-backup.timer",
                text: timer("a backup every night", "*-*-* 02:00:00"),
            },
            Unit {
                name: "collective-backup-verify.service",
                text: service("the proof of the newest backup", &verify),
            },
            Unit {
                name: "collective-backup-verify.timer",
                text: timer("a proof every week", "Sun *-*-* 04:00:00"),
            },
        ]
    }

    /// The lines for a crontab.
    pub fn cron(&self) -> String {
        let [backup, verify] = self.commands();
        format!("0 2 * * * {backup}\n0 4 * * 0 {verify}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_starts_what_a_person_would_type() {
        let job = Job {
            program: Path::new("/usr/local/bin/collective"),
            root: Path::new("/srv/team"),
            env_file: Path::new("/srv/team/.env"),
            folder: Path::new("/backups"),
            key: Some(Path::new("/etc/collective/backup.key")),
            keep: 14,
        };
        let cron = job.cron();
        assert_eq!(
            cron.lines().next().unwrap(),
            "0 2 * * * /usr/local/bin/collective stack backup --dir /srv/team --env-file /srv/team/.env \
             --to /backups --key /etc/collective/backup.key --keep 14"
        );
        let units = job.systemd();
        assert_eq!(units.len(), 4);
        assert!(
            units[0]
                .text
                .contains("ExecStart=/usr/local/bin/collective stack backup --dir")
        );
        assert!(units[1].text.contains("OnCalendar=*-*-* 02:00:00"));
    }
}
