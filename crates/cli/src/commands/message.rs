//! `collective message`: durable mail between agents and people.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use collective_api::messages::{MarkMessages, ReadInbox, SendMessage};
use collective_core::message::{Receipt, Recipient};
use collective_core::role::Role;
use collective_core::{AgentName, MessageId, Span};

use super::span;
use crate::context::{Context, read_input};
use crate::errors::CliError;
use crate::output::Tone;
use crate::when;

const SEND: &str = "\
Examples:
  collective message send agent:ada 'the interface changed, see src/api'
  collective message send role:worker --file notice.txt
  collective message send team 'stop at 18:00'";
const INBOX: &str = "\
Examples:
  collective message inbox ada
  collective message inbox ada --wait 30s
  collective message inbox                 the inbox of the agent in COLLECTIVE_AGENT";
const ACK: &str = "\
Examples:
  collective message ack --agent ada 018f4e0e-7c1a-7000-8000-000000000001
  collective message ack --agent ada --presented 018f4e0e-7c1a-7000-8000-000000000001";
const SHOW: &str = "\
Examples:
  collective message show 018f4e0e-7c1a-7000-8000-000000000001     who got it, and how far";

/// What to do with messages.
#[derive(Subcommand, Debug)]
pub(crate) enum MessageCommand {
    /// Send a message to an agent, a role or the team
    #[command(after_help = SEND)]
    Send(SendArgs),
    /// Read an agent's inbox
    #[command(after_help = INBOX)]
    Inbox(InboxArgs),
    /// Say that messages were dealt with
    #[command(after_help = ACK)]
    Ack(AckArgs),
    /// Show a message and how far it got with each recipient
    #[command(after_help = SHOW)]
    Show {
        /// Its id
        message: MessageId,
    },
}

/// What to send.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Who it is for: agent:NAME, role:ROLE or team
    #[arg(value_parser = recipient)]
    to: Recipient,
    /// The text
    #[arg(required_unless_present = "file")]
    body: Option<String>,
    /// Read the text from this file, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    file: Option<PathBuf>,
    /// The agent that sends it; an agent's key sends as itself
    #[arg(long, value_name = "AGENT")]
    from: Option<AgentName>,
    /// The message that it answers
    #[arg(long, value_name = "MESSAGE")]
    reply_to: Option<MessageId>,
}

/// Which inbox.
#[derive(Args, Debug)]
pub(crate) struct InboxArgs {
    /// Whose
    #[arg(env = "COLLECTIVE_AGENT", hide_env_values = true)]
    agent: AgentName,
    /// Show what was acknowledged too
    #[arg(long)]
    all: bool,
    /// Wait this long for a first message, 55s at most
    #[arg(long, value_name = "TIME", value_parser = span)]
    wait: Option<Span>,
    /// Only what follows after this position
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
    /// How many at most
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

/// Which messages were dealt with.
#[derive(Args, Debug)]
pub(crate) struct AckArgs {
    /// The messages
    #[arg(required = true)]
    messages: Vec<MessageId>,
    /// Whose inbox they are in
    #[arg(long, env = "COLLECTIVE_AGENT", hide_env_values = true)]
    agent: AgentName,
    /// Only say that they were put before the model or person
    #[arg(long)]
    presented: bool,
}

/// Carries it out.
pub(crate) async fn run(command: MessageCommand, context: &Context) -> Result<(), CliError> {
    match command {
        MessageCommand::Send(args) => send(args, context).await,
        MessageCommand::Inbox(args) => inbox(&args, context).await,
        MessageCommand::Ack(args) => ack(args, context).await,
        MessageCommand::Show { message } => show(message, context).await,
    }
}

async fn send(args: SendArgs, context: &Context) -> Result<(), CliError> {
    let body = match (args.body, args.file) {
        (Some(body), _) => body,
        (None, Some(path)) => read_input(&path)?,
        (None, None) => String::new(),
    };
    let request = SendMessage {
        to: args.to,
        body,
        from: args.from,
        in_reply_to: args.reply_to,
    };
    let sent = context.client()?.send_message(&request).await?;
    context.out.show(&sent, |out| {
        let names: Vec<&str> = sent
            .deliveries
            .iter()
            .map(|delivery| delivery.recipient.as_str())
            .collect();
        let recipients = match names.as_slice() {
            [] => "nobody: no agent is registered that it is for".to_owned(),
            names => crate::text::short(&names.join(", "), 100),
        };
        out.line(format!(
            "message {} is in the inbox of {recipients}",
            sent.message.id
        ))
    })
}

async fn inbox(args: &InboxArgs, context: &Context) -> Result<(), CliError> {
    let query = ReadInbox {
        after: args.after,
        all: args.all.then_some(true),
        wait: args.wait,
        limit: args.limit,
    };
    let inbox = context.client()?.inbox(&args.agent, &query).await?;
    context.out.show(&inbox, |out| {
        if inbox.messages.is_empty() {
            return out.line("no messages");
        }
        let now = when::now();
        for (i, delivery) in inbox.messages.iter().enumerate() {
            if i > 0 {
                out.line("")?;
            }
            let message = &delivery.message;
            let head = format!(
                "{} from {} {} ago ({})",
                message.id,
                crate::text::line(&message.from),
                when::ago(message.sent_at, now),
                delivery.receipt.as_str()
            );
            out.line(out.paint(Tone::Strong, &head))?;
            if let Some(answered) = message.in_reply_to {
                out.line(out.paint(Tone::Faint, &format!("in reply to {answered}")))?;
            }
            out.line(crate::text::clean(&message.body).trim_end())?;
        }
        Ok(())
    })
}

async fn ack(args: AckArgs, context: &Context) -> Result<(), CliError> {
    let marks = MarkMessages {
        messages: args.messages,
        receipt: if args.presented {
            Receipt::Presented
        } else {
            Receipt::Acknowledged
        },
    };
    context.client()?.mark_messages(&args.agent, &marks).await?;
    context.out.show(&marks, |out| {
        let count = crate::text::count(marks.messages.len() as u64, "message");
        out.line(format!("{count} marked as {}", marks.receipt.as_str()))
    })
}

async fn show(message: MessageId, context: &Context) -> Result<(), CliError> {
    let sent = context.client()?.message(message).await?;
    context.out.show(&sent, |out| {
        let mut facts = crate::output::Facts::default();
        facts.add("message", sent.message.id.to_string());
        facts.add("from", crate::text::line(&sent.message.from));
        facts.add("to", recipient_text(&sent.message.to));
        facts.add("sent", when::local(sent.message.sent_at));
        for delivery in &sent.deliveries {
            let how_far = format!(
                "{} at {}",
                delivery.receipt.as_str(),
                when::local(delivery.at)
            );
            facts.add("recipient", format!("{}: {how_far}", delivery.recipient));
        }
        out.facts(&facts)?;
        out.line("")?;
        out.line(crate::text::clean(&sent.message.body).trim_end())
    })
}

fn recipient(text: &str) -> Result<Recipient, String> {
    match text.split_once(':') {
        None if text == "team" => Ok(Recipient::Team),
        Some(("role", role)) => super::role(role).map(Recipient::Role),
        Some(("agent", name)) => AgentName::new(name)
            .map(Recipient::Agent)
            .map_err(|rejection| super::said(&rejection)),
        _ => Err("write agent:NAME, role:ROLE or team".to_owned()),
    }
}

fn recipient_text(to: &Recipient) -> String {
    match to {
        Recipient::Agent(name) => format!("agent {name}"),
        Recipient::Role(role) => every(*role),
        Recipient::Team => "the whole team".to_owned(),
    }
}

fn every(role: Role) -> String {
    format!("every {role}")
}
