//! Values: from the text of a variable or flag, or a value of the file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use collective_core::Span;
use collective_core::text::shown;
use toml::de::DeValue;

use crate::mistake::MistakeCode;
use crate::secret::Secret;

/// Longest text of a setting: longer than any host name, path or filter.
const MAX_TEXT_LEN: usize = 4_096;
/// Units of a size, and their bytes.
const UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// What the values of a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that isn't empty.
    Text,
    /// Texts; in a variable separated by commas.
    List,
    /// True or false.
    Flag,
    /// A whole number between these.
    Count(u64, u64),
    /// A number of bytes of at least this, or a text such as `10GiB`.
    Size(u64),
    /// A length of time such as `5s`, in milliseconds between these.
    Span(u64, u64),
    /// A part of a whole, 0 to 1.
    Ratio,
    /// An address and port.
    Address,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A file, relative to the folder that the command is given in.
    Path,
    /// A password.
    Secret,
    /// An address that is called over HTTP; it holds no password.
    HttpUrl,
    /// A URL of this kind of server; it may hold a password.
    Url(&'static str),
    /// A file that holds the value of this key.
    SecretFile(&'static str),
}

impl Kind {
    /// What values look like, for the docs and hints.
    pub fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::List => "list of texts".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Count(least, most) => format!("{least} to {most}"),
            Self::Size(least) => format!("bytes, or a text such as `10GiB`; at least {least}"),
            Self::Span(least, most) => format!(
                "time such as `5s`, {} to {}",
                Span::from_millis(least),
                Span::from_millis(most)
            ),
            Self::Ratio => "0 to 1".to_owned(),
            Self::Address => "ADDRESS:PORT".to_owned(),
            Self::HttpUrl => "http://HOST:PORT".to_owned(),
            Self::Choice(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", "),
            Self::Path | Self::SecretFile(_) => "path".to_owned(),
            Self::Secret => "secret".to_owned(),
            Self::Url(_) => "secret URL".to_owned(),
        }
    }
}

/// A part of a whole, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio(u32);

impl Ratio {
    /// All of it.
    const WHOLE: f64 = 1_000_000.0;

    /// None for what isn't between 0 and 1.
    fn new(part: f64) -> Option<Self> {
        (0.0..=1.0)
            .contains(&part)
            .then(|| Self((part * Self::WHOLE).round() as u32))
    }

    /// As a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / Self::WHOLE
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_f64().fmt(f)
    }
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    List(Vec<String>),
    Flag(bool),
    Number(u64),
    Span(Span),
    Ratio(Ratio),
    Address(SocketAddr),
    Path(PathBuf),
    Secret(Secret),
}

impl fmt::Display for Value {
    /// As `config show` prints it; a secret as stars.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::List(texts) => f.write_str(&texts.join(",")),
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Span(span) => span.fmt(f),
            Self::Ratio(ratio) => ratio.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Secret(_) => f.write_str("***"),
        }
    }
}

/// Why a value is none: the kind of mistake, and what to say. It never repeats a secret.
pub(crate) type Wrong = (MistakeCode, String);

/// Reads the text of a variable, a flag or a default.
pub(crate) fn from_text(kind: Kind, text: &str) -> Result<Value, Wrong> {
    let bad = |what: &str| {
        (
            MistakeCode::BadValue,
            format!("`{}` is not {what}", shown(text)),
        )
    };
    if text.len() > MAX_TEXT_LEN {
        let message = format!("is longer than {MAX_TEXT_LEN} bytes");
        return Err((MistakeCode::OutOfBounds, message));
    }
    if text.contains('\0') {
        return Err((MistakeCode::BadValue, "contains a zero byte".to_owned()));
    }
    match kind {
        Kind::Text if text.trim().is_empty() => Err((MistakeCode::BadValue, "is empty".to_owned())),
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::List => {
            let texts = text.split(',').map(str::trim);
            let texts = texts.filter(|text| !text.is_empty()).map(str::to_owned);
            Ok(Value::List(texts.collect()))
        }
        Kind::Flag => match text {
            "true" | "1" | "yes" | "on" => Ok(Value::Flag(true)),
            "false" | "0" | "no" | "off" => Ok(Value::Flag(false)),
            _ => Err(bad("true or false")),
        },
        Kind::Count(..) => {
            let number = text.trim().parse().map_err(|_| bad("a whole number"))?;
            within(kind, number)
        }
        Kind::Size(_) => within(kind, size(text).ok_or_else(|| bad("a size"))?),
        Kind::Span(least, most) => {
            let span: Span = text.parse().map_err(|_| bad("a length of time"))?;
            if span < Span::from_millis(least) || span > Span::from_millis(most) {
                return Err(out_of_bounds(kind, text));
            }
            Ok(Value::Span(span))
        }
        Kind::Ratio => {
            let ratio = text.trim().parse().map_err(|_| bad("a number"))?;
            let ratio = Ratio::new(ratio).ok_or_else(|| out_of_bounds(kind, text))?;
            Ok(Value::Ratio(ratio))
        }
        Kind::HttpUrl => {
            crate::url::is_callable(text)?;
            Ok(Value::Text(text.to_owned()))
        }
        Kind::Address => {
            let address = text.parse().map_err(|_| bad("an address and port"))?;
            Ok(Value::Address(address))
        }
        Kind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
        Kind::Choice(_) => Err(bad(&format!("one of {}", kind.describe()))),
        Kind::Path | Kind::SecretFile(_) if text.is_empty() => {
            Err((MistakeCode::BadValue, "is empty".to_owned()))
        }
        Kind::Path | Kind::SecretFile(_) => Ok(Value::Path(PathBuf::from(text))),
        Kind::Secret | Kind::Url(_) if text.is_empty() => {
            Err((MistakeCode::BadValue, "is empty".to_owned()))
        }
        Kind::Secret | Kind::Url(_) => Ok(Value::Secret(Secret::new(text))),
    }
}

/// Reads a value of the file.
pub(crate) fn from_toml(kind: Kind, value: &DeValue<'_>) -> Result<Value, Wrong> {
    let wanted = |what: &str| {
        let message = format!("must be {what}, not {}", type_of(value));
        (MistakeCode::WrongType, message)
    };
    match (kind, value) {
        (Kind::Flag, DeValue::Boolean(flag)) => Ok(Value::Flag(*flag)),
        (Kind::Flag, _) => Err(wanted("true or false")),
        (Kind::Count(..) | Kind::Size(_), DeValue::Integer(number)) => {
            let read = u64::from_str_radix(number.as_str(), number.radix());
            within(
                kind,
                read.map_err(|_| out_of_bounds(kind, number.as_str()))?,
            )
        }
        (Kind::Count(..), _) => Err(wanted("a whole number")),
        (Kind::Size(_), DeValue::String(text)) => from_text(kind, text),
        (Kind::Size(_), _) => Err(wanted("a whole number or a text")),
        (Kind::Ratio, DeValue::Integer(number)) => from_text(kind, number.as_str()),
        (Kind::Ratio, DeValue::Float(number)) => from_text(kind, number.as_str()),
        (Kind::Ratio, _) => Err(wanted("a number")),
        (Kind::List, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| match item.get_ref() {
                DeValue::String(text) if !text.trim().is_empty() => Ok(text.to_string()),
                other => Err((
                    MistakeCode::WrongType,
                    format!("must be a list of texts, not of {}", type_of(other)),
                )),
            });
            texts.collect::<Result<_, _>>().map(Value::List)
        }
        (Kind::List, _) => Err(wanted("a list of texts")),
        (_, DeValue::String(text)) => from_text(kind, text),
        _ => Err(wanted("a text")),
    }
}

fn within(kind: Kind, number: u64) -> Result<Value, Wrong> {
    let (least, most) = match kind {
        Kind::Count(least, most) => (least, most),
        Kind::Size(least) => (least, u64::MAX),
        _ => (0, u64::MAX),
    };
    if number < least || number > most {
        return Err(out_of_bounds(kind, &number.to_string()));
    }
    Ok(Value::Number(number))
}

fn out_of_bounds(kind: Kind, text: &str) -> Wrong {
    let message = format!(
        "{} is outside of its bounds: {}",
        shown(text),
        kind.describe()
    );
    (MistakeCode::OutOfBounds, message)
}

fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    for (unit, bytes) in UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            return number.trim().parse::<u64>().ok()?.checked_mul(bytes);
        }
    }
    text.parse().ok()
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(text) if text.trim().is_empty() => "an empty text",
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
