//! `collective completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective completions bash > ~/.local/share/bash-completion/completions/collective
  collective completions zsh > ~/.zfunc/_collective
  collective completions fish > ~/.config/fish/completions/collective.fish";

/// Which shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub(crate) fn run(args: &CompletionsArgs, context: &Context) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "collective", &mut script);
    context.out.raw(&script)
}
