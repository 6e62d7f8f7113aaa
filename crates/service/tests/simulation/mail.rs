//! Agents among themselves: messages with receipts, reservations of paths.

use collective_api::messages::{MarkMessages, ReadInbox, Reserve, SendMessage};
use collective_core::message::{Receipt, Recipient};
use collective_core::role::Role;
use collective_core::{AgentName, Code, MessageId, Span};
use collective_service::{messages, reservations};

use crate::desk::Body;
use crate::life::{Life, Sound, at_once, must, shaken};

impl Life {
    pub(crate) fn mail(&mut self, place: usize) -> Sound {
        if self.chance.percent(50) {
            return self.read_inbox(place);
        }
        let other = self.chance.below(self.actors.len());
        let to = match self.chance.below(4) {
            0 => Recipient::Team,
            1 => Recipient::Role(Role::Worker),
            _ => Recipient::Agent(self.actors[other].name.clone()),
        };
        let (who, from) = if self.chance.percent(70) {
            (self.who(place), None)
        } else {
            (self.admin(), Some(self.actors[place].name.clone()))
        };
        let reaches = self.reaches(&to, &self.actors[place].name);
        let body = Body::Message(SendMessage {
            to: to.clone(),
            body: "look at this".to_owned(),
            from,
            in_reply_to: None,
        });
        match self.send_keyed(who, body)? {
            None => Ok(()),
            Some(Code::UnknownAgent) if !reaches => Ok(()),
            Some(code) => Err(format!("a message to {to:?} was refused: {code:?}")),
        }
    }

    fn reaches(&self, to: &Recipient, from: &AgentName) -> bool {
        let agents = at_once(self.look().agents(&self.team)).expect("the store is open");
        agents.iter().any(|agent| match to {
            Recipient::Agent(name) => agent.name == *name,
            Recipient::Role(role) => agent.spec.role == *role && agent.name != *from,
            Recipient::Team => agent.name != *from,
        })
    }

    fn read_inbox(&mut self, place: usize) -> Sound {
        let (name, who) = (self.actors[place].name.clone(), self.who(place));
        let request = ReadInbox {
            limit: Some(100),
            all: Some(self.chance.percent(30)),
            ..ReadInbox::default()
        };
        let inbox = match at_once(messages::inbox(&self.hub, &who, &name, &request)) {
            Ok(inbox) => inbox.messages,
            Err(rejection) if shaken(&rejection) => return Ok(()),
            Err(rejection) => return Err(format!("{name} can't read its inbox: {rejection}")),
        };
        must!(
            inbox
                .windows(2)
                .all(|pair| pair[0].position < pair[1].position),
            "the inbox of {name} is out of order"
        );
        for delivery in &inbox {
            must!(
                delivery.recipient == name && delivery.receipt >= Receipt::HandedOver,
                "{name} was handed {delivery:?}"
            );
            must!(
                request.all == Some(true) || delivery.receipt < Receipt::Acknowledged,
                "{name} was handed again what it had acknowledged"
            );
        }
        if !inbox.is_empty() {
            self.tally.count("message read");
        }
        let some: Vec<MessageId> = inbox
            .iter()
            .filter(|_| self.chance.percent(50))
            .map(|delivery| delivery.message.id)
            .collect();
        let receipt = *self
            .chance
            .pick(&[Receipt::Presented, Receipt::Acknowledged])
            .expect("two");
        let request = MarkMessages {
            messages: some.clone(),
            receipt,
        };
        match at_once(messages::report(&self.hub, &who, &name, &request)) {
            Err(rejection) if shaken(&rejection) => return Ok(()),
            Err(rejection) => return Err(format!("a receipt was refused: {rejection}")),
            Ok(()) => {}
        }
        for id in some {
            let deliveries = at_once(self.look().deliveries(&self.team, id)).expect("it is open");
            let mine = deliveries.iter().find(|one| one.recipient == name);
            must!(
                mine.is_some_and(|mine| mine.receipt >= receipt),
                "{name} reported {receipt:?} of {id}, kept is {mine:?}"
            );
            if receipt == Receipt::Acknowledged {
                self.tally.count("message acknowledged");
            }
        }
        Ok(())
    }

    pub(crate) fn reserve(&mut self, place: usize) -> Sound {
        let who = self.who(place);
        if let (Some(id), true) = (
            self.chance.pick(&self.reservations).copied(),
            self.chance.percent(25),
        ) {
            let held = at_once(self.look().reservation(&self.team, id)).expect("it is open");
            let own = held.is_none_or(|held| held.agent == self.actors[place].name);
            let done = at_once(reservations::release(&self.hub, &who, id));
            let code = done.as_ref().err().map(|rejection| rejection.code());
            must!(
                own || matches!(code, Some(Code::Forbidden | Code::Unavailable)),
                "another agent's reservation was released: {done:?}"
            );
            return if own { self.gone_or_done(done) } else { Ok(()) };
        }
        let held: Vec<_> = self
            .works
            .iter()
            .filter(|work| work.actor == place)
            .collect();
        let held = self.chance.pick(&held).filter(|_| self.chance.percent(50));
        let held = held.map(|work| (work.task, work.token));
        let paths = ["src", "src/a.rs", "src/b.rs", "docs", "docs/guide", "srcs"];
        let request = Reserve {
            agent: self.actors[place].name.clone(),
            repository: (*self.chance.pick(&["one", "two"]).expect("two")).to_owned(),
            paths: vec![(*self.chance.pick(&paths).expect("some")).to_owned()],
            ttl: Span::from_secs(1 + self.chance.below(300) as u64),
            shared: self.chance.percent(30),
            reason: "editing".to_owned(),
            task: held.map(|(task, _)| task),
            token: held.map(|(_, token)| token),
        };
        let lost = held.is_some_and(|(task, token)| !self.is_live(task, token));
        let taken = self.taken(&request);
        let done = at_once(reservations::reserve(&self.hub, &who, request.clone()));
        self.note(|| format!("reserves {request:?}: {}", done.is_ok()));
        match done.map_err(|rejection| rejection.code()) {
            Ok(made) => must!(!lost && !taken, "{made:?} was granted"),
            Err(Code::Unavailable) => {}
            Err(Code::LeaseLost) => must!(lost, "a live lease was called lost for {request:?}"),
            Err(Code::Reserved) => {
                must!(taken, "{request:?} was refused and nobody holds it");
                self.tally.count("reservation refused");
            }
            Err(code) => return Err(format!("{request:?} got {code:?}")),
        }
        Ok(())
    }

    /// Whether another agent holds one of the paths, or a folder above or below it.
    fn taken(&self, wanted: &Reserve) -> bool {
        let held = at_once(self.look().reservations(&self.team)).expect("the store is open");
        let meets = |a: &str, b: &str| a == b || a.starts_with(&format!("{b}/"));
        held.iter().any(|held| {
            held.agent != wanted.agent
                && held.repository == wanted.repository
                && held.expires_at > self.now()
                && !(held.shared && wanted.shared)
                && held.paths.iter().any(|theirs| {
                    wanted
                        .paths
                        .iter()
                        .any(|ours| meets(ours, theirs) || meets(theirs, ours))
                })
        })
    }
}
