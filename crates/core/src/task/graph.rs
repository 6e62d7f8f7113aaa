//! Dependencies inside a batch of new tasks: keys become ids, cycles are refused.

use std::collections::{HashMap, VecDeque};

use super::spec::{TaskRef, TaskSpec};
use crate::TaskId;
use crate::rejection::{Code, Rejection};

/// Replaces every [`TaskRef::Key`] by the id of the batch's task with that key,
/// and returns an order in which each task comes after those of the batch that
/// it depends on (Kahn's algorithm, 1962). `ids[i]` is the id of `specs[i]`.
pub fn resolve(specs: &mut [TaskSpec], ids: &[TaskId]) -> Result<Vec<usize>, Rejection> {
    debug_assert_eq!(specs.len(), ids.len());
    let mut by_key: HashMap<String, usize> = HashMap::new();
    for (i, spec) in specs.iter().enumerate() {
        if let Some(key) = &spec.key
            && by_key.insert(key.clone(), i).is_some()
        {
            return Err(Rejection::new(
                Code::InvalidField,
                format!("two tasks of the batch have the key `{key}`"),
            )
            .at(format!("tasks[{i}].key")));
        }
    }
    let mut dependents = vec![Vec::new(); specs.len()];
    let mut open = vec![0usize; specs.len()];
    for (i, spec) in specs.iter_mut().enumerate() {
        for (d, dependency) in spec.depends_on.iter_mut().enumerate() {
            let TaskRef::Key(key) = &dependency.task else {
                continue;
            };
            let Some(&on) = by_key.get(key) else {
                let mut rejection = Rejection::new(
                    Code::UnknownDependency,
                    format!(
                        "no task of the batch has the key `{}`",
                        crate::text::shown(key)
                    ),
                );
                if let Some(near) = crate::text::nearest(key, by_key.keys().map(String::as_str)) {
                    rejection = rejection.hint(format!("did you mean `{near}`?"));
                }
                return Err(rejection.at(format!("tasks[{i}].depends_on[{d}].task")));
            };
            dependency.task = TaskRef::Id(ids[on]);
            dependents[on].push(i);
            open[i] += 1;
        }
    }
    let mut ready: VecDeque<usize> = (0..specs.len()).filter(|i| open[*i] == 0).collect();
    let mut order = Vec::with_capacity(specs.len());
    while let Some(i) = ready.pop_front() {
        order.push(i);
        for &dependent in &dependents[i] {
            open[dependent] -= 1;
            if open[dependent] == 0 {
                ready.push_back(dependent);
            }
        }
    }
    if order.len() == specs.len() {
        return Ok(order);
    }
    Err(cycle(specs, ids, &open))
}

/// Names one cycle: from any task that is still open, walk to an open dependency until one repeats.
fn cycle(specs: &[TaskSpec], ids: &[TaskId], open: &[usize]) -> Rejection {
    let position: HashMap<TaskId, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let start = open.iter().position(|count| *count > 0).unwrap_or(0);
    let mut path = vec![start];
    loop {
        let next = specs[path[path.len() - 1]]
            .depends_on
            .iter()
            .find_map(|dependency| match &dependency.task {
                TaskRef::Id(id) => position.get(id).copied().filter(|i| open[*i] > 0),
                TaskRef::Key(_) => None,
            });
        let Some(next) = next else { break };
        if let Some(first) = path.iter().position(|seen| *seen == next) {
            path.drain(..first);
            path.push(next);
            break;
        }
        path.push(next);
    }
    let name = |i: &usize| {
        specs[*i]
            .key
            .clone()
            .unwrap_or_else(|| specs[*i].title.clone())
    };
    let shown: Vec<String> = path.iter().map(|i| crate::text::shown(&name(i))).collect();
    Rejection::new(
        Code::DependencyCycle,
        format!("tasks wait for each other: {}", shown.join(" → ")),
    )
    .hint("take one of these dependencies out")
    .at(format!("tasks[{}].depends_on", path[0]))
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Dependency, DependencyCondition};
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn batch(edges: &[(usize, usize)], size: usize) -> (Vec<TaskSpec>, Vec<TaskId>) {
        let mut specs: Vec<TaskSpec> = (0..size)
            .map(|i| TaskSpec {
                key: Some(format!("t{i}")),
                ..TaskSpec::new(format!("task {i}"))
            })
            .collect();
        for (from, to) in edges {
            let dependency = Dependency {
                task: TaskRef::Key(format!("t{to}")),
                when: DependencyCondition::Succeeded,
            };
            if !specs[*from].depends_on.contains(&dependency) {
                specs[*from].depends_on.push(dependency);
            }
        }
        let ids = (0..size)
            .map(|i| TaskId(Uuid::from_u128(i as u128 + 1)))
            .collect();
        (specs, ids)
    }

    #[test]
    fn a_cycle_is_named_and_an_unknown_key_gets_a_suggestion() {
        let (mut specs, ids) = batch(&[(0, 1), (1, 2), (2, 1)], 3);
        let rejection = resolve(&mut specs, &ids).unwrap_err();
        assert_eq!(rejection.code(), Code::DependencyCycle);
        assert_eq!(
            rejection.message(),
            "tasks wait for each other: t1 → t2 → t1"
        );

        let (mut specs, ids) = batch(&[], 2);
        specs[0].key = Some("build".to_owned());
        specs[1].depends_on = vec![Dependency {
            task: TaskRef::Key("biuld".to_owned()),
            when: DependencyCondition::Succeeded,
        }];
        let rejection = resolve(&mut specs, &ids).unwrap_err();
        assert_eq!(rejection.code(), Code::UnknownDependency);
        assert_eq!(rejection.hint_text(), Some("did you mean `build`?"));
    }

    proptest! {
        #[test]
        fn an_order_has_every_task_after_what_it_depends_on(
            edges in prop::collection::vec((0usize..12, 0usize..12), 0..30)
        ) {
            let (mut specs, ids) = batch(&edges, 12);
            match resolve(&mut specs, &ids) {
                Ok(order) => {
                    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(at, i)| (*i, at)).collect();
                    prop_assert_eq!(place.len(), 12);
                    for (from, to) in edges {
                        prop_assert!(place[&to] < place[&from]);
                    }
                }
                Err(rejection) => prop_assert_eq!(rejection.code(), Code::DependencyCycle),
            }
        }
    }
}
