//! What a command is given: where to write, and whom to call.

use std::io::{BufRead, Read};
use std::path::Path;

use collective_client::Client;
use collective_core::limits::MAX_BODY_LEN;

use crate::args::Global;
use crate::connect::ServerArgs;
use crate::errors::CliError;
use crate::output::Output;

/// What a command is given.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where to write.
    pub(crate) out: Output,
    /// Where the server is.
    pub(crate) server: ServerArgs,
}

impl Context {
    /// From the global options.
    pub(crate) fn new(global: &Global) -> Self {
        Self {
            out: Output::new(global.json, global.quiet, global.color),
            server: global.server.clone(),
        }
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.server.client()
    }

    /// Asks before something that can't be taken back. `yes` answers for a script.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<(), CliError> {
        if yes {
            return Ok(());
        }
        if !self.out.can_ask() {
            return Err(CliError::usage(
                format!("{question} needs a yes, and there is nobody to ask"),
                "add --yes, or look first with --dry-run",
            ));
        }
        eprint!("{question}? [y/N] ");
        let mut answer = String::new();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| CliError::file("can't read the answer", error))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(CliError::Outcome {
            what: "nothing was done".to_owned(),
            hint: None,
            exit: crate::errors::INTERRUPTED,
        })
    }
}

/// Reads a file, or standard input for `-`, within the size of a request.
pub(crate) fn read_input(path: &Path) -> Result<String, CliError> {
    let what = || format!("can't read {}", path.display());
    let mut text = String::new();
    // One byte more than the bound shows that there is more.
    let bound = MAX_BODY_LEN as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(bound)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(bound).read_to_string(&mut text))
    };
    read.map_err(|error| CliError::file(what(), error))?;
    if text.len() > MAX_BODY_LEN {
        return Err(collective_core::Rejection::too_large(
            &path.display().to_string(),
            text.len(),
            MAX_BODY_LEN,
        )
        .into());
    }
    Ok(text)
}
