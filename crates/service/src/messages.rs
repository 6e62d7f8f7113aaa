//! Messages: send, read an inbox, report how far they got.

use collective_api::messages::{
    DeliveryState, Inbox, MarkMessages, ReadInbox, SendMessage, SentMessage,
};
use collective_core::event::Fact;
use collective_core::limits::{MAX_BATCH, MAX_PAGE};
use collective_core::message::{Message, Receipt, Recipient, advance, validate_body};
use collective_core::ports::Topic;
use collective_core::ports::store::{Failed, Tx};
use collective_core::role::{Permission, Principal};
use collective_core::{AgentName, Code, MessageId, Rejection, Span, TeamName, Timestamp};

use crate::access::{require, require_agent};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::tasks::page_size;
use crate::{Hub, wait};

/// `POST /v1/messages`: durable in every recipient's inbox when it returns.
pub async fn send(
    hub: &Hub,
    who: &Principal,
    request: SendMessage,
    idempotency_key: Option<&str>,
) -> Result<SentMessage, Rejection> {
    require(hub, who, Permission::SendMessages).await?;
    validate_body(&request.body)?;
    let from = match (&request.from, who.agent()) {
        (Some(from), _) => {
            require_agent(hub, who, from).await?;
            from.to_string()
        }
        (None, Some(own)) => own.to_string(),
        (None, None) => who.to_string(),
    };
    let now = hub.now();
    let memory = idempotency_key
        .map(|key| Memory::of(who, "messages", key, &request))
        .transpose()?;
    let message = Message {
        id: MessageId(hub.entropy().id(now)),
        from,
        to: request.to,
        body: request.body,
        in_reply_to: request.in_reply_to,
        sent_at: now,
    };
    let (team, actor) = (who.team.clone(), who.to_string());
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            if let Some(memory) = &memory
                && let Some(answer) = memory.recall(tx, &team, now).await?
            {
                return Ok(answer);
            }
            let recipients = recipients(tx, &team, &message).await?;
            if let Some(answered) = message.in_reply_to
                && tx.message(&team, answered).await?.is_none()
            {
                return Err(Rejection::not_found("message", answered)
                    .at("in_reply_to")
                    .into());
            }
            tx.insert_message(&team, &message, &recipients).await?;
            let mut ledger = Ledger::new(team.clone(), actor, now);
            ledger.fact(Fact::MessageSent {
                message: message.id,
                from: message.from.clone(),
                to: message.to.clone(),
                recipients: recipients.clone(),
            });
            ledger.commit(tx).await?;
            let deliveries = recipients
                .into_iter()
                .map(|recipient| DeliveryState {
                    recipient,
                    receipt: Receipt::Durable,
                    at: now,
                })
                .collect();
            let sent = SentMessage {
                message,
                deliveries,
            };
            if let Some(memory) = memory {
                memory.keep(tx, &team, &sent, now).await?;
            }
            Ok(sent)
        })
    })
    .await
}

/// Who gets it; a message that nobody would get is refused. Nobody gets their own word to a role or the team.
async fn recipients(
    tx: &mut dyn Tx,
    team: &TeamName,
    message: &Message,
) -> Result<Vec<AgentName>, Failed> {
    let agents = tx.agents(team).await?;
    let recipients: Vec<AgentName> = agents
        .iter()
        .filter(|agent| match &message.to {
            Recipient::Agent(name) => agent.name == *name,
            Recipient::Role(role) => {
                agent.spec.role == *role && agent.name.as_str() != message.from
            }
            Recipient::Team => agent.name.as_str() != message.from,
        })
        .map(|agent| agent.name.clone())
        .collect();
    if !recipients.is_empty() {
        return Ok(recipients);
    }
    let rejection = match &message.to {
        Recipient::Agent(name) => {
            let near = collective_core::text::nearest(
                name.as_str(),
                agents.iter().map(|agent| agent.name.as_str()),
            );
            let rejection = Rejection::new(
                Code::UnknownAgent,
                format!("no agent `{name}` in team `{team}`"),
            );
            match near {
                Some(near) => rejection.hint(format!("did you mean `{near}`?")),
                None => rejection.hint("an agent is known once it has registered"),
            }
        }
        Recipient::Role(role) => Rejection::new(
            Code::UnknownAgent,
            format!("no other agent has the role {role}"),
        ),
        Recipient::Team => Rejection::new(Code::UnknownAgent, "the team has no other agent"),
    };
    Err(rejection.at("to").into())
}

/// `GET /v1/messages/{message}`: how far it got.
pub async fn show(hub: &Hub, who: &Principal, id: MessageId) -> Result<SentMessage, Rejection> {
    require(hub, who, Permission::Read).await?;
    let mut query = hub.read().await?;
    let message = query
        .message(&who.team, id)
        .await?
        .ok_or_else(|| Rejection::not_found("message", id))?;
    let deliveries = query
        .deliveries(&who.team, id)
        .await?
        .into_iter()
        .map(|delivery| DeliveryState {
            recipient: delivery.recipient,
            receipt: delivery.receipt,
            at: delivery.receipt_at,
        })
        .collect();
    Ok(SentMessage {
        message,
        deliveries,
    })
}

/// `GET /v1/agents/{agent}/inbox`. Only the agent's own reading counts as handing over.
pub async fn inbox(
    hub: &Hub,
    who: &Principal,
    agent: &AgentName,
    request: &ReadInbox,
) -> Result<Inbox, Rejection> {
    require(hub, who, Permission::Read).await?;
    require_agent(hub, who, agent).await?;
    let limit = page_size(request.limit)?;
    let (after, unacknowledged) = (request.after.unwrap_or(0), !request.all.unwrap_or(false));
    let mut query = hub.read().await?;
    if query.agent(&who.team, agent).await?.is_none() {
        return Err(Rejection::not_found("agent", agent));
    }
    drop(query);
    let topics = [Topic::Agent(who.team.clone(), agent.clone())];
    let wait = request.wait.unwrap_or(Span::ZERO);
    let found = wait::until(hub, &topics, wait, || async move {
        let messages = hub
            .read()
            .await?
            .inbox(&who.team, agent, after, unacknowledged, limit)
            .await?;
        Ok((!messages.is_empty()).then_some(messages))
    })
    .await?;
    let mut messages = found.unwrap_or_default();
    if who.agent() == Some(agent) {
        let fresh: Vec<MessageId> = messages
            .iter()
            .filter(|d| d.receipt < Receipt::HandedOver)
            .map(|d| d.message.id)
            .collect();
        let now = hub.now();
        mark(hub, who, agent, &fresh, Receipt::HandedOver, now).await?;
        for delivery in &mut messages {
            advance(delivery, Receipt::HandedOver, now);
        }
    }
    Ok(Inbox { messages })
}

/// `POST /v1/agents/{agent}/receipts`.
pub async fn report(
    hub: &Hub,
    who: &Principal,
    agent: &AgentName,
    request: &MarkMessages,
) -> Result<(), Rejection> {
    require(hub, who, Permission::SendMessages).await?;
    require_agent(hub, who, agent).await?;
    if request.receipt < Receipt::Presented {
        return Err(Rejection::new(
            Code::InvalidField,
            "a recipient reports presented or acknowledged",
        )
        .at("receipt"));
    }
    if request.messages.len() > MAX_BATCH {
        return Err(Rejection::new(
            Code::BatchTooLarge,
            format!(
                "{} messages, the bound is {MAX_BATCH}",
                request.messages.len()
            ),
        )
        .at("messages"));
    }
    mark(
        hub,
        who,
        agent,
        &request.messages,
        request.receipt,
        hub.now(),
    )
    .await
}

async fn mark(
    hub: &Hub,
    who: &Principal,
    agent: &AgentName,
    messages: &[MessageId],
    receipt: Receipt,
    now: Timestamp,
) -> Result<(), Rejection> {
    debug_assert!(messages.len() <= MAX_BATCH.max(MAX_PAGE));
    if messages.is_empty() {
        return Ok(());
    }
    let (team, actor, agent, messages) = (
        who.team.clone(),
        who.to_string(),
        agent.clone(),
        messages.to_vec(),
    );
    hub.write(&who.team, move |tx| {
        Box::pin(async move {
            let mut ledger = Ledger::new(team.clone(), actor, now);
            let mut receipts = Vec::with_capacity(messages.len());
            for id in messages {
                let mine = tx
                    .deliveries(&team, id)
                    .await?
                    .into_iter()
                    .find(|delivery| delivery.recipient == agent);
                let Some(mut delivery) = mine else {
                    return Err(Rejection::not_found("message", id).into());
                };
                if advance(&mut delivery, receipt, now) {
                    receipts.push((id, receipt));
                    ledger.fact(Fact::MessageReceipt {
                        message: id,
                        agent: agent.clone(),
                        receipt,
                    });
                }
            }
            tx.set_receipts(&team, &agent, &receipts, now).await?;
            ledger.commit(tx).await
        })
    })
    .await
}
