//! What a team file would do, without doing it: `--check` and `--plan`.

use std::path::Path;

use collective_core::task::{Check, DependencyCondition, TaskRef, TaskSpec};
use collective_team::{AgentEntry, Program, TeamFile};
use serde_json::{Value, json};

use crate::errors::CliError;
use crate::output::{Grid, Output, number};
use crate::work::Book;

/// Says that the file is fine.
pub(super) fn fine(out: &Output, path: &Path, file: &TeamFile) -> Result<(), CliError> {
    let (agents, tasks) = (file.agents.len(), file.tasks.len());
    if out.json {
        return out.json(&json!({ "team": file.team, "agents": agents, "tasks": tasks }));
    }
    out.line(format!(
        "{} is fine: team {}, {}, {}",
        path.display(),
        file.team,
        crate::text::count(agents as u64, "agent"),
        crate::text::count(tasks as u64, "task")
    ))
}

/// Shows agents and tasks, with what comes after what.
pub(super) fn show(out: &Output, file: &TeamFile, book: &Book) -> Result<(), CliError> {
    if out.json {
        return out.json(&json!({
            "team": file.team,
            "params": file.params.iter().map(|param| (&param.name, &param.value)).collect::<std::collections::BTreeMap<_, _>>(),
            "agents": agents_json(file, book)?,
            "tasks": file.tasks,
            "summary": file.summary,
        }));
    }
    out.line(format!("team {}", file.team))?;
    for param in &file.params {
        let value = crate::text::short(&param.value, 100);
        out.line(format!("  {} = {value}", param.name))?;
    }
    out.heading("Agents")?;
    agents(out, file, book)?;
    out.heading("Tasks")?;
    tasks(out, file)?;
    if !file.schedules.is_empty() {
        out.heading("Schedules")?;
        for schedule in &file.schedules {
            let name = crate::text::line(&schedule.name);
            let cron = crate::text::line(&schedule.cron);
            out.line(format!("{name}: {cron} ({})", schedule.time_zone))?;
        }
    }
    Ok(())
}

fn agents(out: &Output, file: &TeamFile, book: &Book) -> Result<(), CliError> {
    let mut grid = Grid::new(
        ["AGENT", "ROLE", "SLOTS", "QUEUES", "RUNS", "WHERE"],
        "no agents",
    );
    for agent in &file.agents {
        let queues: Vec<&str> = agent.spec.queues.iter().map(|name| name.as_str()).collect();
        let place = match (&agent.repository, agent.worktree) {
            (Some(repository), true) => format!("a worktree of {}", repository.display()),
            _ => agent.workdir.display().to_string(),
        };
        grid.row([
            agent.name.to_string().into(),
            agent.spec.role.to_string().into(),
            number(agent.spec.slots),
            queues.join(", ").into(),
            crate::text::short(&program(agent, file, book)?, 50).into(),
            crate::text::short(&place, 60).into(),
        ]);
    }
    out.grid(&grid)
}

fn tasks(out: &Output, file: &TeamFile) -> Result<(), CliError> {
    let mut grid = Grid::new(["TASK", "LANE", "TRIES", "CHECKS", "AFTER"], "no tasks");
    // In an order in which they could be worked on.
    for batch in file.batches(1) {
        for task in &batch {
            let lane = task.lane().to_string();
            let checks: Vec<String> = task.checks.iter().map(Check::describe).collect();
            grid.row([
                crate::text::short(task.key.as_deref().unwrap_or(&task.title), 40).into(),
                lane.strip_prefix("queue/").unwrap_or(&lane).into(),
                number(task.retry.max_attempts),
                crate::text::short(&checks.join(", "), 50).into(),
                crate::text::short(&after(task), 60).into(),
            ]);
        }
    }
    out.grid(&grid)
}

fn after(task: &TaskSpec) -> String {
    let names: Vec<String> = task
        .depends_on
        .iter()
        .map(|dependency| {
            let name = match &dependency.task {
                TaskRef::Key(key) => key.clone(),
                TaskRef::Id(id) => id.to_string(),
            };
            match dependency.when {
                DependencyCondition::Succeeded => name,
                DependencyCondition::Ended => format!("{name} (however it ends)"),
            }
        })
        .collect();
    names.join(", ")
}

fn program(agent: &AgentEntry, file: &TeamFile, book: &Book) -> Result<String, CliError> {
    Ok(match &agent.program {
        Program::Shell(text) => text.clone(),
        Program::Argv(words) => words.join(" "),
        program @ Program::Preset { .. } => book.command_line(program, &file.presets)?.join(" "),
    })
}

fn agents_json(file: &TeamFile, book: &Book) -> Result<Vec<Value>, CliError> {
    let agent = |agent: &AgentEntry| {
        // Values of variables may be secrets; their names tell enough.
        Ok(json!({
            "name": agent.name,
            "spec": agent.spec,
            "command": book.command_line(&agent.program, &file.presets)?,
            "worktree": agent.worktree,
            "repository": agent.repository,
            "workdir": agent.workdir,
            "env": agent.env.keys().collect::<Vec<_>>(),
        }))
    };
    file.agents.iter().map(agent).collect()
}
