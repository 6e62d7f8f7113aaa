//! What a person could type, and is shown as such.
//!
//! Secrets travel by standard input or by the environment, which a call never
//! shows, so that no list of processes and no log has them.

use std::fmt;
use std::process::Command;
use std::time::Duration;

use crate::secret::Secret;

/// How long a call that only looks may take: one of `rabbitmqctl` takes 15 s on a
/// busy machine.
const LOOK_LIMIT: Duration = Duration::from_secs(120);

/// A command, as it can be typed.
#[derive(Clone, Debug)]
pub struct Call {
    pub(crate) program: String,
    args: Vec<String>,
    env: Vec<(String, Secret)>,
    pub(crate) input: Option<Secret>,
    pub(crate) limit: Duration,
}

impl Call {
    /// A command without arguments.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            input: None,
            limit: LOOK_LIMIT,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable that the process gets, and that nobody is shown.
    #[must_use]
    pub(crate) fn secret(mut self, name: &str, value: Secret) -> Self {
        self.env.push((name.to_owned(), value));
        self
    }

    /// What the process gets on standard input, and nobody is shown.
    #[must_use]
    pub(crate) fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(Secret::new(text));
        self
    }

    /// Another limit in time.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The program and its arguments.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.program.as_str()).chain(self.args.iter().map(String::as_str))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value.reveal())));
        command
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.words().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&quoted(word))?;
        }
        Ok(())
    }
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_as_a_shell_reads_it() {
        let call = Call::new("docker").args(["ps", "--format", "{{json .}}", "it's", ""]);
        assert_eq!(
            call.to_string(),
            r"docker ps --format '{{json .}}' 'it'\''s' ''"
        );
    }
}
