//! `collective key`: make and revoke API keys.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use collective_api::agents::CreateKey;
use collective_core::role::Role;
use collective_core::{AgentName, KeyId};

use super::role;
use crate::context::Context;
use crate::errors::CliError;
use crate::output::{Grid, Tone, toned};
use crate::when;

const CREATE: &str = "\
Examples:
  collective key create --label ci --role leader --output ci.key
  collective key create --label ada --agent ada --output ada.key
  collective task list --token-file ci.key

The key is shown once. --output writes it into a file that only you can read.";
const LIST: &str = "\
Examples:
  collective key list";
const REVOKE: &str = "\
Examples:
  collective key revoke 018f4e0e-7c1a-7000-8000-000000000001";

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Make a key
    #[command(after_help = CREATE)]
    Create(CreateArgs),
    /// List keys; their secrets aren't kept
    #[command(after_help = LIST)]
    List,
    /// Revoke a key: it opens nothing any more
    #[command(after_help = REVOKE)]
    Revoke {
        /// Its id
        key: KeyId,
    },
}

/// Which key.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// What it is for
    #[arg(long)]
    label: String,
    /// What it may do: leader, worker, collaborator, coordinator, monitor
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// The agent that it is; it acts as no other, with the agent's role if none is named
    #[arg(long)]
    agent: Option<AgentName>,
    /// It may do everything, in every team
    #[arg(long, conflicts_with_all = ["role", "agent"])]
    admin: bool,
    /// Write the key into this new file instead of showing it
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Carries it out.
pub(crate) async fn run(command: KeyCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let out = &context.out;
    match command {
        KeyCommand::Create(args) => create(args, context).await,
        KeyCommand::List => {
            let page = client.list_keys().await?;
            out.show(&page, |out| {
                let now = when::now();
                let mut grid = Grid::new(["KEY", "LABEL", "MAY", "MADE", "STATE"], "no keys");
                for key in &page.items {
                    let may = match (&key.agent, key.role) {
                        (Some(agent), Some(role)) => format!("{role}, as agent {agent}"),
                        (Some(agent), None) => format!("as agent {agent}"),
                        (None, Some(role)) => role.to_string(),
                        (None, None) => "everything".to_owned(),
                    };
                    let state = match key.revoked_at {
                        Some(at) => {
                            toned(Tone::Faint, format!("revoked {} ago", when::ago(at, now)))
                        }
                        None => toned(Tone::Good, "valid"),
                    };
                    grid.row([
                        key.id.to_string().into(),
                        crate::text::short(&key.label, 40).into(),
                        may.into(),
                        format!("{} ago", when::ago(key.created_at, now)).into(),
                        state,
                    ]);
                }
                out.grid(&grid)
            })
        }
        KeyCommand::Revoke { key } => {
            client.revoke_key(key).await?;
            if out.json {
                return out.json(&serde_json::json!({ "revoked": key }));
            }
            out.line(format!("key {key} is revoked"))
        }
    }
}

async fn create(args: CreateArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let role = match (args.role, &args.agent, args.admin) {
        (None, Some(agent), _) => Some(client.agent(agent).await?.agent.spec.role),
        (None, None, false) => {
            return Err(CliError::usage(
                "nothing says what the key may do",
                "add --role ROLE, --agent NAME or --admin",
            ));
        }
        (role, _, _) => role,
    };
    // The file comes first: a key that can't be kept is better not made.
    let file = args.output.as_deref().map(new_private_file).transpose()?;
    let request = CreateKey {
        label: args.label,
        role,
        agent: args.agent,
        admin: args.admin,
    };
    let made = match client.create_key(&request).await {
        Ok(made) => made,
        Err(error) => {
            if let Some(path) = &args.output {
                drop(std::fs::remove_file(path));
            }
            return Err(error.into());
        }
    };
    match (file, args.output) {
        (Some(mut file), Some(path)) => {
            use std::io::Write;
            writeln!(file, "{}", made.token)
                .and_then(|()| file.sync_all())
                .map_err(|error| {
                    CliError::file(format!("can't write {}", path.display()), error)
                })?;
            context.out.show(&made.key, |out| {
                out.line(format!("key {} is in {}", made.key.id, path.display()))
            })
        }
        _ => context.out.show(&made, |out| {
            out.line(&made.token)?;
            out.remark("this is the only time that the key is shown");
            Ok(())
        }),
    }
}

/// A new file that only its owner can read (mode 0600 from the start).
fn new_private_file(path: &Path) -> Result<std::fs::File, CliError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| CliError::file(format!("can't create {}", path.display()), error))
}
