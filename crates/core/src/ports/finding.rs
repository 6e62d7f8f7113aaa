//! What was found when a part was looked at before anything stands on it.
//!
//! An adapter knows what is wrong and with which of its options; which setting
//! that is, and where it was said, is for whoever asked.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// A server can stand on it; worth a look.
    Notice,
    /// A server can't stand on it, or not for long.
    Wrong,
}

/// What kind of finding it is. The text of a code never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// It lets us in and says what it is.
    Connected,
    /// What we need to do there, we may.
    Permitted,
    /// The state of the schema.
    Schema,
    /// How far the clocks are apart.
    Clock,
    /// Whether there is room, and what happens when there is none.
    Room,
    /// Nobody answers there, or the name leads nowhere.
    Unreachable,
    /// Somebody is there and doesn't answer in time.
    NoAnswer,
    /// The encrypted connection doesn't come about.
    TlsRefused,
    /// User or password is refused.
    LoginRefused,
    /// There is no such database.
    NoDatabase,
    /// There is no such virtual host.
    NoVhost,
    /// The user lacks a permission.
    NoPermission,
    /// It can't be written to.
    ReadOnly,
    /// A bound of it is reached: connections or channels.
    LimitReached,
    /// It takes nothing for want of memory or disk.
    Full,
    /// The schema is newer than this binary.
    SchemaTooNew,
    /// Text can't be kept as it is.
    WrongEncoding,
    /// Something of our name is there and isn't as ours.
    OtherArguments,
    /// It refuses for another reason.
    Refused,
}

impl FindingCode {
    /// All of them, in the order of the docs.
    pub const ALL: [Self; 19] = [
        Self::Connected,
        Self::Permitted,
        Self::Schema,
        Self::Clock,
        Self::Room,
        Self::Unreachable,
        Self::NoAnswer,
        Self::TlsRefused,
        Self::LoginRefused,
        Self::NoDatabase,
        Self::NoVhost,
        Self::NoPermission,
        Self::ReadOnly,
        Self::LimitReached,
        Self::Full,
        Self::SchemaTooNew,
        Self::WrongEncoding,
        Self::OtherArguments,
        Self::Refused,
    ];

    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Permitted => "permitted",
            Self::Schema => "schema",
            Self::Clock => "clock",
            Self::Room => "room",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no_answer",
            Self::TlsRefused => "tls_refused",
            Self::LoginRefused => "login_refused",
            Self::NoDatabase => "no_database",
            Self::NoVhost => "no_vhost",
            Self::NoPermission => "no_permission",
            Self::ReadOnly => "read_only",
            Self::LimitReached => "limit_reached",
            Self::Full => "full",
            Self::SchemaTooNew => "schema_too_new",
            Self::WrongEncoding => "wrong_encoding",
            Self::OtherArguments => "other_arguments",
            Self::Refused => "refused",
        }
    }
}

/// Which option of a part a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Where it is.
    Host,
    /// Its port.
    Port,
    /// Whether and how the connection is encrypted.
    Tls,
    /// Who may vouch for it.
    CaFile,
    /// Who logs in.
    User,
    /// With what.
    Password,
    /// The database or the virtual host.
    Space,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind it is.
    pub code: FindingCode,
    /// How bad it is.
    pub verdict: Verdict,
    /// Which option is responsible.
    pub about: About,
    /// What was seen, without a secret.
    pub seen: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(code: FindingCode, about: About, seen: impl Into<String>) -> Self {
        Self {
            code,
            verdict: Verdict::Fine,
            about,
            seen: seen.into(),
            hint: None,
        }
    }

    /// Worth a look.
    pub fn notice(
        code: FindingCode,
        about: About,
        seen: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Notice,
            hint: Some(hint.into()),
            ..Self::fine(code, about, seen)
        }
    }

    /// Wrong; `seen` says what to do where there is no hint.
    pub fn wrong(code: FindingCode, about: About, seen: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Wrong,
            ..Self::fine(code, about, seen)
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
