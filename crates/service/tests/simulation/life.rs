//! One life: the world, who is in it, and what each step picks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use collective_api::leases::ClaimRequest;
use collective_bus::LocalBus;
use collective_core::agent::{AgentSpec, Transport};
use collective_core::ports::Clock;
use collective_core::ports::store::{Query, Store, TaskFilter};
use collective_core::role::{Grant, Principal, Role};
use collective_core::task::{LeaseToken, Task, TaskState};
use collective_core::{
    AgentName, Code, MessageId, QuestionId, QueueName, Rejection, ReservationId, ScheduleId, Span,
    TaskId, TeamName, Timestamp,
};
use collective_service::{Hub, Ports, agents, leases, queues, reaper};
use collective_testkit::history::Acknowledged;
use collective_testkit::memory::MemoryStore;
use collective_testkit::world::{FakeClock, Loss, LossyBus, SeededEntropy};
use futures_util::FutureExt;

use crate::desk::Request;
use crate::faults::{Faults, ForgetfulCache, ShakyStore};
use crate::tally::Tally;
use crate::watch::Watch;
use crate::worker::{Personality, Work};

/// Steps of a life, at least and at most.
const STEPS: std::ops::Range<usize> = 40..200;

/// Nothing, or the rule that was broken.
pub(crate) type Sound = Result<(), String>;

/// Ends the life with a broken rule unless the condition holds.
macro_rules! must {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use must;

/// What every port here gives at once.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("no port here waits")
}

/// Whether a command failed by a fault of the store, not by a rule.
pub(crate) fn shaken(rejection: &Rejection) -> bool {
    rejection.code() == Code::Unavailable
}

/// An agent.
pub(crate) struct Actor {
    pub(crate) name: AgentName,
    pub(crate) spec: AgentSpec,
    pub(crate) personality: Personality,
}

/// A lease that has ended as far as its holder knows, or that its holder forgot.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) task: TaskId,
    pub(crate) token: LeaseToken,
    pub(crate) actor: usize,
}

/// What is left of a life.
pub(crate) struct Lived {
    pub(crate) broken: Option<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) tally: Tally,
}

/// One life of a team.
pub(crate) struct Life {
    pub(crate) chance: SeededEntropy,
    pub(crate) clock: FakeClock,
    pub(crate) store: MemoryStore,
    pub(crate) faults: Arc<Faults>,
    pub(crate) cache: Arc<ForgetfulCache>,
    pub(crate) bus: Arc<LossyBus<LocalBus>>,
    ports: Ports,
    pub(crate) hub: Hub,
    pub(crate) team: TeamName,
    pub(crate) queues: Vec<QueueName>,
    pub(crate) actors: Vec<Actor>,
    pub(crate) works: Vec<Work>,
    pub(crate) tickets: Vec<Ticket>,
    pub(crate) tasks: Vec<TaskId>,
    pub(crate) questions: Vec<QuestionId>,
    pub(crate) reservations: Vec<ReservationId>,
    pub(crate) schedules: Vec<ScheduleId>,
    /// Requests under an idempotency key, with the answers that they got.
    pub(crate) requests: Vec<Request>,
    /// Who got which message, as acknowledged.
    pub(crate) inboxes: BTreeMap<AgentName, Vec<MessageId>>,
    pub(crate) told: Acknowledged,
    pub(crate) watch: Watch,
    pub(crate) tally: Tally,
    pub(crate) drawn: u64,
    trace: Option<Vec<String>>,
}

impl Life {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
        let chance = SeededEntropy::new(seed);
        let clock = FakeClock::default();
        let store = MemoryStore::new();
        let faults = Arc::new(Faults::new(chance.number()));
        let cache = Arc::new(ForgetfulCache::default());
        let bus = Arc::new(LossyBus::new(
            LocalBus::new(),
            Loss::default(),
            chance.number(),
        ));
        let ports = Ports {
            store: Arc::new(ShakyStore {
                inner: store.clone(),
                faults: Arc::clone(&faults),
            }),
            bus: bus.clone(),
            cache: cache.clone(),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(chance.split()),
            shared: None,
        };
        Self {
            hub: Hub::new(ports.clone(), None),
            chance,
            clock,
            store,
            faults,
            cache,
            bus,
            ports,
            team: TeamName::default_team(),
            queues: Vec::new(),
            actors: Vec::new(),
            works: Vec::new(),
            tickets: Vec::new(),
            tasks: Vec::new(),
            questions: Vec::new(),
            reservations: Vec::new(),
            schedules: Vec::new(),
            requests: Vec::new(),
            inboxes: BTreeMap::new(),
            told: Acknowledged::default(),
            watch: Watch::default(),
            tally: Tally::default(),
            drawn: 0,
            trace: traced.then(Vec::new),
        }
    }

    /// Lives it: founds the team, does what chance says, settles.
    pub(crate) fn live(&mut self) -> Sound {
        self.found()?;
        self.faults.set_calm(false);
        for _ in 0..STEPS.start + self.chance.below(STEPS.len()) {
            self.tally.count("steps");
            self.step()?;
            self.check_step()?;
        }
        self.settle()
    }

    pub(crate) fn lived(mut self, broken: Option<String>) -> Lived {
        let aborted = self.faults.aborted.load(Ordering::Relaxed);
        let answers_lost = self.faults.answers_lost.load(Ordering::Relaxed);
        self.tally.add("works aborted", aborted);
        self.tally.add("answers lost", answers_lost);
        Lived {
            broken,
            trace: self.trace.take().unwrap_or_default(),
            tally: self.tally,
        }
    }

    /// Writes a step down, if someone wants to read it.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.clock.now();
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now}  {}", text()));
        }
    }

    fn found(&mut self) -> Sound {
        at_once(self.hub.recover()).map_err(|r| format!("the first start failed: {r}"))?;
        let count = 1 + self.chance.below(3);
        self.queues = ["default", "rust", "review"][..count]
            .iter()
            .map(|name| QueueName::new(name).expect("a plain name"))
            .collect();
        for place in 0..2 + self.chance.below(4) {
            let roles = [Role::Worker, Role::Worker, Role::Collaborator, Role::Leader];
            let mut served = self.queues.clone();
            served.retain(|_| self.chance.percent(70));
            let actor = Actor {
                name: AgentName::new(&format!("agent-{place}")).expect("a plain name"),
                spec: AgentSpec {
                    role: *self.chance.pick(&roles).expect("some roles"),
                    queues: served,
                    slots: 1 + self.chance.below(3) as u32,
                    description: String::new(),
                    transport: Transport::Http,
                },
                personality: Personality::draw(&self.chance),
            };
            self.note(|| {
                format!(
                    "{} is {:?}, {:?}",
                    actor.name, actor.personality, actor.spec
                )
            });
            self.actors.push(actor);
            self.register(place)?;
        }
        for queue in self.queues.clone() {
            let admin = self.admin();
            let declared = at_once(queues::declare(&self.hub, &admin, &queue));
            declared.map_err(|r| format!("a queue was refused: {r}"))?;
        }
        Ok(())
    }

    fn step(&mut self) -> Sound {
        match self.chance.below(100) {
            0..20 => self.lead(),
            20..70 => {
                let place = self.chance.below(self.actors.len());
                self.act(place)
            }
            70..83 => self.pass_time(),
            83..95 => self.reap(),
            _ => self.misfortune(),
        }
    }

    fn pass_time(&mut self) -> Sound {
        let millis = match self.chance.below(100) {
            0..50 => self.chance.below(3_000),
            50..85 => self.chance.below(20_000),
            85..98 => self.chance.below(120_000),
            _ => self.chance.below(900_000),
        };
        if self.chance.percent(2) {
            let now = self.clock.now();
            self.clock
                .set(now - Span::from_millis(millis as u64 % 2_000));
            self.tally.count("clock went back");
            self.note(|| "the clock goes back".to_owned());
        } else {
            self.clock.advance(Span::from_millis(millis as u64));
            self.note(|| format!("{millis} ms pass"));
        }
        Ok(())
    }

    pub(crate) fn reap(&mut self) -> Sound {
        match at_once(reaper::round(&self.hub)) {
            Ok(did) => self.note(|| format!("reaper: {did:?}")),
            Err(rejection) if shaken(&rejection) => self.note(|| "reaper: shaken".to_owned()),
            Err(rejection) => return Err(format!("the reaper was refused: {rejection}")),
        }
        Ok(())
    }

    fn misfortune(&mut self) -> Sound {
        match self.chance.below(10) {
            0..4 => {
                self.tally.count("cache emptied");
                self.note(|| "the cache is emptied".to_owned());
                self.cache.forget();
            }
            4 | 5 => {
                let down = self.chance.percent(50);
                if down {
                    self.tally.count("cache down");
                }
                self.note(|| format!("the cache is down: {down}"));
                self.cache.set_down(down);
            }
            6 | 7 => {
                self.note(|| "the bus delivers what is late".to_owned());
                at_once(self.bus.release()).map_err(|error| error.to_string())?;
            }
            _ => self.restart()?,
        }
        Ok(())
    }

    /// The server ends and starts anew over the same store. Some ends are announced, some are not.
    pub(crate) fn restart(&mut self) -> Sound {
        if self.chance.percent(50) {
            self.hub.start_draining();
            let name = self.actors[0].name.clone();
            let request = ClaimRequest {
                agent: name,
                max: 1,
                lease: Span::from_secs(30),
                wait: Span::ZERO,
            };
            let refused = at_once(leases::claim(&self.hub, &self.who(0), &request));
            let code = refused.err().map(|rejection| rejection.code());
            must!(
                matches!(code, Some(Code::Draining | Code::Unavailable)),
                "a stopping server answered a claim with {code:?}"
            );
            self.tally.count("hub drained");
        }
        self.note(|| "the server starts anew".to_owned());
        self.hub = Hub::new(self.ports.clone(), None);
        self.tally.count("restart");
        match at_once(self.hub.recover()) {
            Err(rejection) if !shaken(&rejection) => Err(format!("no recovery: {rejection}")),
            _ => Ok(()),
        }
    }

    pub(crate) fn admin(&self) -> Principal {
        Principal::admin(self.team.clone())
    }

    /// An actor with its own key.
    pub(crate) fn who(&self, place: usize) -> Principal {
        let actor = &self.actors[place];
        Principal {
            team: self.team.clone(),
            grant: Grant::Agent(actor.name.clone(), actor.spec.role),
        }
    }

    pub(crate) fn register(&mut self, place: usize) -> Sound {
        let (name, spec) = (
            self.actors[place].name.clone(),
            self.actors[place].spec.clone(),
        );
        match at_once(agents::register(&self.hub, &self.who(place), &name, spec)) {
            Err(rejection) if !shaken(&rejection) => {
                Err(format!("{name} could not register: {rejection}"))
            }
            _ => Ok(()),
        }
    }

    /// A look at what is really stored, past every fault.
    pub(crate) fn look(&self) -> Box<dyn Query> {
        at_once(self.store.reader()).expect("the store is open")
    }

    /// A task as it is really stored.
    pub(crate) fn stored(&self, id: TaskId) -> Option<Task> {
        at_once(self.look().task(&self.team, id)).expect("the store is open")
    }

    pub(crate) fn stored_in(&self, states: &[TaskState]) -> Vec<Task> {
        let filter = TaskFilter {
            states: states.to_vec(),
            ..TaskFilter::default()
        };
        at_once(self.look().list_tasks(&self.team, &filter, None, 10_000))
            .expect("the store is open")
    }

    /// Whether a token opens its task now.
    pub(crate) fn is_live(&self, task: TaskId, token: LeaseToken) -> bool {
        self.stored(task)
            .is_some_and(|task| task.check_lease(token).is_ok())
    }

    pub(crate) fn registered(&self, place: usize) -> Option<collective_core::agent::Agent> {
        at_once(self.look().agent(&self.team, &self.actors[place].name)).expect("the store is open")
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn pick_task(&self) -> Option<TaskId> {
        self.chance.pick(&self.tasks).copied()
    }
}
