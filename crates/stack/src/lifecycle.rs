//! Up, down, logs: the calls, and waiting until all is well.

use std::time::{Duration, Instant};

use crate::call::Call;
use crate::container::Container;
use crate::error::StackError;
use crate::place::Environment;
use crate::stack::Stack;

/// How often the containers are looked at while they start.
const GLANCE: Duration = Duration::from_secs(1);

/// The service that ends with the tests' exit code.
const TESTS: &str = "tests";

/// How a stack is started.
#[derive(Clone, Debug, Default)]
pub struct UpPlan {
    /// Whether images are built first.
    pub build: bool,
    /// Whether it stays in the foreground.
    pub attach: bool,
    /// Only these services and what they need.
    pub services: Vec<String>,
}

/// How a stack is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct DownPlan {
    /// Whether its data goes too.
    pub volumes: bool,
}

/// What is shown of the logs.
#[derive(Clone, Debug, Default)]
pub struct LogsPlan {
    /// Whether it goes on.
    pub follow: bool,
    /// Only this many lines of each service.
    pub tail: Option<u32>,
    /// Only these services.
    pub services: Vec<String>,
}

impl Stack {
    /// The call that starts the stack.
    pub fn up_call(&self, plan: &UpPlan) -> Result<Call, StackError> {
        let mut call = self.compose()?.call(&self.project()).arg("up");
        if !plan.attach {
            call = call.arg("--detach");
        } else if self.environment == Environment::Test {
            call = call.args(["--abort-on-container-exit", "--exit-code-from", TESTS]);
        }
        if plan.build {
            call = call.arg("--build");
        }
        Ok(call.args(&plan.services))
    }

    /// The call that stops the stack and removes its containers.
    pub fn down_call(&self, plan: DownPlan) -> Result<Call, StackError> {
        let call = self.compose()?.call(&self.project());
        let call = call.args(["down", "--remove-orphans"]);
        Ok(if plan.volumes {
            call.arg("--volumes")
        } else {
            call
        })
    }

    /// The call that shows the logs.
    pub fn logs_call(&self, plan: &LogsPlan) -> Result<Call, StackError> {
        let mut call = self
            .compose()?
            .call(&self.project())
            .args(["logs", "--timestamps"]);
        if plan.follow {
            call = call.arg("--follow");
        }
        if let Some(lines) = plan.tail {
            call = call.arg(format!("--tail={lines}"));
        }
        Ok(call.args(&plan.services))
    }
}

/// Waits until every container is well. One that has failed, and the end of the
/// time, end the waiting; the containers as they are then are the answer.
pub fn wait_until_healthy(
    stack: &Stack,
    limit: Duration,
    tell: impl FnMut(&[Container]),
) -> Result<Vec<Container>, StackError> {
    wait_for(stack, limit, |_| true, tell)
}

/// The same for those that are meant: what became of the others before is not
/// waited for.
pub(crate) fn wait_for(
    stack: &Stack,
    limit: Duration,
    is_meant: impl Fn(&Container) -> bool,
    mut tell: impl FnMut(&[Container]),
) -> Result<Vec<Container>, StackError> {
    let deadline = Instant::now() + limit;
    loop {
        let mut containers = stack.containers()?;
        containers.retain(&is_meant);
        tell(&containers);
        let is_over = containers.iter().all(Container::is_good)
            || containers.iter().any(Container::has_failed)
            || Instant::now() >= deadline;
        if is_over {
            return Ok(containers);
        }
        stack.runner().go_on()?;
        std::thread::sleep(GLANCE);
    }
}
