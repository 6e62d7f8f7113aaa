//! What a look finds: how bad, where, what was seen, and how it is mended.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Worth a look.
    Notice,
    /// Needs mending.
    Wrong,
}

/// A stable text for each kind of finding.
macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal;)*) => {
        /// What kind of finding it is. The text of a code never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FindingCode {
            $(#[doc = $doc] $name,)*
        }

        impl FindingCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// One sentence of what it means, for the docs.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii(),)* }
            }
        }
    };
}

codes! {
    #[doc = " The Docker engine doesn't answer, or is too old."]
    Docker = "docker";
    #[doc = " Compose is missing or too old."]
    Compose = "compose";
    #[doc = " A compose file of the environment is missing."]
    ComposeFile = "compose_file";
    #[doc = " Compose files are read in a wrong order."]
    OverrideOrder = "override_order";
    #[doc = " A part runs that this command isn't said to have."]
    PartUnsaid = "part_unsaid";
    #[doc = " The file of variables is missing or can't be read."]
    EnvFile = "env_file";
    #[doc = " Others can read the file of variables."]
    EnvPermissions = "env_permissions";
    #[doc = " Others can read a file with a secret."]
    SecretPermissions = "secret_permissions";
    #[doc = " A line of the file of variables is wrong."]
    EnvLine = "env_line";
    #[doc = " A variable is set twice."]
    VariableTwice = "variable_twice";
    #[doc = " A variable that the environment needs isn't set."]
    VariableMissing = "variable_missing";
    #[doc = " A secret is short, simple, or a default that everybody knows."]
    VariableWeak = "variable_weak";
    #[doc = " A certificate or a key that is asked for isn't there, or is none."]
    CertificateMissing = "certificate_missing";
    #[doc = " A certificate has ended."]
    CertificateExpired = "certificate_expired";
    #[doc = " A certificate ends within 30 days."]
    CertificateEnding = "certificate_ending";
    #[doc = " A key, or the authority's certificate, can't be read by the user that needs it."]
    KeyUnreadable = "key_unreadable";
    #[doc = " The proxy has no names that it could ask for, so its pages are closed to everybody."]
    PagesClosed = "pages_closed";
    #[doc = " Compose refuses the files with these variables."]
    ConfigInvalid = "config_invalid";
    #[doc = " A port that the stack publishes is taken by something else."]
    PortTaken = "port_taken";
    #[doc = " There is less memory than the environment needs."]
    Memory = "memory";
    #[doc = " There is less room on the disk than the environment needs."]
    Disk = "disk";
    #[doc = " The kernel allows fewer memory maps than Elasticsearch needs."]
    MapCount = "map_count";
    #[doc = " The engine can't give the open files that services ask for."]
    OpenFiles = "open_files";
    #[doc = " A volume was made by another major version of PostgreSQL."]
    VolumeVersion = "volume_version";
    #[doc = " A service has no container."]
    ContainerMissing = "container_missing";
    #[doc = " A container ended, or is started again and again."]
    ContainerExits = "container_exits";
    #[doc = " A container runs, and its health check fails."]
    ContainerUnhealthy = "container_unhealthy";
    #[doc = " PostgreSQL doesn't take connections."]
    DatabaseAway = "database_away";
    #[doc = " A password of the file of variables isn't the one that a server knows."]
    Login = "login";
    #[doc = " RabbitMQ's management page can't be reached."]
    ManagementUi = "management_ui";
    #[doc = " A container was ended for lack of memory, or is close to it."]
    OutOfMemory = "out_of_memory";
    #[doc = " The folder holds no such backup, or none that is old enough."]
    BackupMissing = "backup_missing";
    #[doc = " A file of the backup is missing or was changed."]
    BackupBroken = "backup_broken";
    #[doc = " The backup is encrypted, and no key is given, or one that doesn't open it."]
    BackupKey = "backup_key";
    #[doc = " A part that is asked for is not in the backup, or not in this environment."]
    BackupPart = "backup_part";
    #[doc = " The backup is of another major version of PostgreSQL than the stack."]
    BackupVersion = "backup_version";
    #[doc = " The backup's database or administrator is called otherwise than the stack's."]
    BackupNames = "backup_names";
    #[doc = " The time lies outside of what the backup and its WAL cover."]
    RestoreTime = "restore_time";
    #[doc = " There is less room on the disk than the restore needs."]
    RestoreDisk = "restore_disk";
    #[doc = " A container of the stack runs: nothing is restored under it."]
    RestoreRunning = "restore_running";
    #[doc = " What becomes of a volume: it is made, or what it holds is set aside."]
    RestoreVolume = "restore_volume";
    #[doc = " A restore was interrupted, and is neither finished nor undone."]
    RestoreUnfinished = "restore_unfinished";
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for FindingCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind it is.
    pub code: FindingCode,
    /// How bad it is.
    pub level: Level,
    /// Where: a file and line, a variable, a port, a volume, a service.
    pub place: String,
    /// What was seen. Never a secret.
    pub seen: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(crate) fn fine(
        code: FindingCode,
        place: impl Into<String>,
        seen: impl Into<String>,
    ) -> Self {
        Self {
            code,
            level: Level::Fine,
            place: place.into(),
            seen: seen.into(),
            mend: None,
        }
    }

    /// Worth a look.
    pub(crate) fn notice(
        code: FindingCode,
        place: impl Into<String>,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Notice,
            mend: Some(mend.into()),
            ..Self::fine(code, place, seen)
        }
    }

    /// Needs mending.
    pub(crate) fn wrong(
        code: FindingCode,
        place: impl Into<String>,
        seen: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Wrong,
            ..Self::notice(code, place, seen, mend)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_codes_have_the_same_text() {
        let texts: BTreeSet<&str> = FindingCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), FindingCode::ALL.len());
    }
}
