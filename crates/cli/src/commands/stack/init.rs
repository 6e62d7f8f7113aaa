//! `collective stack init`: a file of variables with strong secrets.

use std::io::BufRead;
use std::path::PathBuf;

use clap::Args;
use collective_stack::{Choice, Environment, Init, Overlays, Written, init, questions};

use super::environment;
use crate::context::Context;
use crate::errors::CliError;

const EXAMPLES: &str = "\
Examples:
  collective stack init --env dev
  collective stack init --env production --monitoring --set PGADMIN_EMAIL=ops@example.com
  collective stack init --env staging --prefix blue- --env-file blue.env
  printf '%s' \"$COOKIE\" | collective stack init --env production --set-stdin RABBITMQ_ERLANG_COOKIE

Every secret gets 48 random hexadecimal digits. The file is for its owner only,
appears whole or not at all, and is never overwritten. Values of secrets are not
printed, and are not taken from arguments: give one on standard input.";

/// What the file is for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// dev, test, staging or production; asked for on a terminal
    #[arg(long = "env", value_name = "ENV", value_parser = environment)]
    environment: Option<Environment>,
    /// With the monitoring part
    #[arg(long)]
    monitoring: bool,
    /// With the reverse proxy
    #[arg(long)]
    proxy: bool,
    /// What stands before the names of containers, volumes and networks
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// A setting that is no secret
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// A variable whose value is read from standard input
    #[arg(long, value_name = "NAME")]
    set_stdin: Option<String>,
    /// The folder of the project [default: the nearest one, upwards]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The file to write [default: .env of the project]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Say what would be in it, and write nothing
    #[arg(long)]
    dry_run: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write it as NAME=VALUE".to_owned())?;
    if collective_stack::is_secret(name) {
        return Err(format!(
            "{name} is a secret, and arguments can be read by others: leave it out, or use --set-stdin {name}"
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Writes it.
pub(super) fn run(args: InitArgs, context: &Context) -> Result<(), CliError> {
    let choice = Choice {
        dir: args.dir,
        env_file: args.env_file,
        ..Choice::default()
    };
    let place = choice.place()?;
    let path = choice.env_path(&place)?;
    let is_asked = args.environment.is_none();
    let environment = match args.environment {
        Some(environment) => environment,
        None => ask_environment(context)?,
    };
    let overlays = Overlays {
        monitoring: args.monitoring || (is_asked && ask_yes("With the monitoring part", context)?),
        proxy: args.proxy || (is_asked && ask_yes("With the reverse proxy", context)?),
    };
    let mut given = args.set;
    if let Some(name) = args.set_stdin {
        given.push((name, line_of_stdin()?));
    }
    if is_asked {
        for (name, default) in questions(&place, environment, overlays)? {
            if !given.iter().any(|(known, _)| *known == name) {
                eprint!("{name}? [{default}] ");
                let answer = line_of_stdin()?;
                if !answer.is_empty() {
                    given.push((name, answer));
                }
            }
        }
    }
    let wanted = Init {
        environment,
        overlays,
        prefix: args.prefix,
        given,
    };
    let written = init(&place, path, &wanted, args.dry_run)?;
    show(&written, args.dry_run, context)
}

fn show(written: &Written, dry: bool, context: &Context) -> Result<(), CliError> {
    context.out.show(written, |out| {
        let verb = if dry { "would be written" } else { "written" };
        out.line(format!(
            "{} {verb} for {}",
            written.path.display(),
            written.environment
        ))?;
        out.line(format!("new secrets: {}", list(&written.secrets)))?;
        out.line(format!("settings:    {}", list(&written.settings)))
    })?;
    if !written.missing.is_empty() {
        context.out.warn(format!(
            "still to be set by you: {}",
            list(&written.missing)
        ));
    }
    if !dry {
        context
            .out
            .remark("look at it all with `collective stack check`");
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

fn ask_environment(context: &Context) -> Result<Environment, CliError> {
    if !context.out.can_ask() {
        return Err(CliError::usage(
            "no environment is named, and there is nobody to ask",
            "add --env dev, test, staging or production",
        ));
    }
    loop {
        eprint!("Which environment: dev, test, staging or production? [dev] ");
        match line_of_stdin()?.as_str() {
            "" => return Ok(Environment::Dev),
            text => match text.parse() {
                Ok(environment) => return Ok(environment),
                Err(why) => context.out.remark(why),
            },
        }
    }
}

fn ask_yes(question: &str, context: &Context) -> Result<bool, CliError> {
    if !context.out.can_ask() {
        return Ok(false);
    }
    eprint!("{question}? [y/N] ");
    Ok(matches!(line_of_stdin()?.as_str(), "y" | "Y" | "yes"))
}

/// One line of standard input; its end ends the command.
fn line_of_stdin() -> Result<String, CliError> {
    let mut line = String::new();
    let read = std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| CliError::file("can't read standard input", error))?;
    if read == 0 {
        return Err(CliError::usage(
            "standard input ended without an answer",
            "give the value on standard input, or answer by flags",
        ));
    }
    Ok(line.trim().to_owned())
}
