//! What holds a file together: every name that is used must be declared.
//!
//! Tasks name queues, roles and agents that must be there to take them, and each
//! other; a fan-out's key stands for all of its tasks.

use std::collections::{BTreeSet, HashMap, HashSet};

use collective_core::limits::MAX_DEPENDENCIES;
use collective_core::role::{Permission, Role};
use collective_core::task::{Dependency, Lane, TaskRef, TaskSpec, graph};
use collective_core::text::shown;

use crate::field::{Field, did_you_mean, listed};
use crate::file::{AgentEntry, skeletons, stand_in_ids};
use crate::problem::Sink;
use crate::tasks::Draft;

/// Most cycles that are named: one is often the cause of the next.
const MAX_CYCLES: usize = 20;

/// The names that tasks may be addressed to.
pub(crate) struct Lanes {
    queues: BTreeSet<String>,
    roles: BTreeSet<Role>,
    agents: BTreeSet<String>,
    /// Agents that take no tasks whatever lane they are on.
    idle: BTreeSet<String>,
}

impl Lanes {
    pub(crate) fn of(agents: &[AgentEntry]) -> Self {
        let mut lanes = Self {
            queues: BTreeSet::new(),
            roles: BTreeSet::new(),
            agents: BTreeSet::new(),
            idle: BTreeSet::new(),
        };
        for agent in agents {
            let name = agent.name.to_string();
            let role = agent.spec.role;
            if role.permissions().contains(&Permission::ClaimTasks) {
                let queues = agent.spec.queues.iter();
                lanes.queues.extend(queues.map(ToString::to_string));
                lanes.roles.insert(role);
                lanes.agents.insert(name);
            } else {
                lanes.idle.insert(name);
            }
        }
        lanes
    }

    /// Notes a lane that no declared agent takes tasks from. `named` is the queue's field if
    /// the task names one itself.
    pub(crate) fn check(&self, spec: &TaskSpec, field: &Field<'_>, own_queue: bool) {
        // Without any agent, that is the mistake, not each task.
        if self.agents.is_empty() && self.idle.is_empty() {
            return;
        }
        let (part, message, hint) = match spec.lane() {
            Lane::Queue(queue) if !self.queues.contains(queue.as_str()) => {
                let names = || self.queues.iter().map(String::as_str);
                let hint = did_you_mean(queue.as_str(), names()).unwrap_or_else(|| {
                    format!(
                        "add it to an agent's `queues`; served are {}",
                        listed(names())
                    )
                });
                let part = own_queue.then_some("queue");
                (part, format!("no agent serves the queue `{queue}`"), hint)
            }
            Lane::Role(role) if !self.roles.contains(&role) => {
                let message = match role.permissions().contains(&Permission::ClaimTasks) {
                    true => format!("no agent has the role `{role}`"),
                    false => format!("agents of the role `{role}` take no tasks"),
                };
                let names = self.roles.iter().map(|role| role.as_str());
                let hint = format!("roles that take tasks here: {}", listed(names));
                (Some("role"), message, hint)
            }
            Lane::Agent(agent) if self.idle.contains(agent.as_str()) => {
                let message = format!("agent `{agent}` takes no tasks: its role only watches");
                (Some("agent"), message, "give it another role".to_owned())
            }
            Lane::Agent(agent) if !self.agents.contains(agent.as_str()) => {
                let names = || self.agents.iter().map(String::as_str);
                let hint = did_you_mean(agent.as_str(), names())
                    .unwrap_or_else(|| format!("declared are {}", listed(names())));
                let message = format!("no agent is named `{agent}`");
                (Some("agent"), message, hint)
            }
            _ => return,
        };
        let place = part.map_or_else(|| field.place.clone(), |part| field.place.field(part));
        let at = field.node.locate(part.unwrap_or_default());
        field.sink.report(at, &place, message, Some(hint));
    }
}

/// Turns dependencies on fan-outs into dependencies on each of their tasks, and notes those
/// on nothing and those that go in circles.
pub(crate) fn connect(drafts: &mut [Draft<'_>], sink: &Sink) {
    let mut families: HashMap<&str, Vec<&str>> = HashMap::new();
    for draft in drafts.iter() {
        let source = draft.source;
        families
            .entry(&source.family)
            .or_default()
            .push(&source.key);
        if source.key != source.family {
            families.entry(&source.key).or_default().push(&source.key);
        }
    }
    let names: BTreeSet<&str> = families.keys().copied().collect();
    for draft in drafts.iter_mut() {
        let named = std::mem::take(&mut draft.spec.depends_on);
        let mut seen = HashSet::new();
        for (dependency, field) in named.into_iter().zip(&draft.named_by) {
            let TaskRef::Key(key) = &dependency.task else {
                continue;
            };
            let Some(members) = families.get(key.as_str()) else {
                let hint = did_you_mean(key, names.iter().copied())
                    .unwrap_or_else(|| format!("tasks are {}", listed(names.iter().copied())));
                field.problem_hint(format!("no task has the key `{}`", shown(key)), hint);
                continue;
            };
            let count = draft.spec.depends_on.len() + members.len();
            if count > MAX_DEPENDENCIES {
                field.problem_hint(
                    format!("makes {count} dependencies, the bound is {MAX_DEPENDENCIES}"),
                    "put tasks between them that each aggregate a part",
                );
                continue;
            }
            for member in members {
                if !seen.insert(*member) {
                    field.problem(format!("names `{member}` twice"));
                    break;
                }
                draft.spec.depends_on.push(Dependency {
                    task: TaskRef::Key((*member).to_owned()),
                    when: dependency.when,
                });
            }
        }
    }
    cycles(drafts, sink);
}

/// Notes each cycle: the task where it was found gives way, and the rest is looked at again.
fn cycles(drafts: &[Draft<'_>], sink: &Sink) {
    let mut left = skeletons(drafts.iter().map(|draft| &draft.spec));
    let ids = stand_in_ids(left.len());
    for _ in 0..MAX_CYCLES {
        let Err(rejection) = graph::resolve(&mut left.clone(), &ids) else {
            return;
        };
        let index = rejection
            .field()
            .and_then(|path| path.strip_prefix("tasks[")?.split_once(']'))
            .and_then(|(index, _)| index.parse::<usize>().ok());
        let Some((draft, task)) = index.and_then(|i| Some((drafts.get(i)?, left.get_mut(i)?)))
        else {
            return;
        };
        let place = draft.source.place.field("depends_on");
        let at = draft.source.node.locate("depends_on");
        sink.reject(at, &place, &rejection);
        task.depends_on.clear();
    }
}
