//! A run that is called off ends in order: what it started is stopped and what
//! it wrote is removed, as at the end of any other run.
//!
//! A signal only sets a flag. Whoever waits looks at it and fails, and on the
//! way out each owner lets go of what it owns.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// How often a wait for a future looks whether the run was called off.
const LOOK: Duration = Duration::from_millis(50);

static CALLED_OFF: AtomicBool = AtomicBool::new(false);

/// Begins to listen for the signals that call a run off.
pub fn listen(runtime: &tokio::runtime::Runtime) -> Result<()> {
    let _inside = runtime.enter();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let mut signal = signal(kind).context("cannot listen for signals")?;
        runtime.spawn(async move {
            while signal.recv().await.is_some() {
                CALLED_OFF.store(true, Ordering::Relaxed);
            }
        });
    }
    Ok(())
}

/// Fails once the run is called off.
pub fn check() -> Result<()> {
    if CALLED_OFF.load(Ordering::Relaxed) {
        bail!("the run was called off");
    }
    Ok(())
}

/// What a future gives, unless the run is called off first.
pub async fn or<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let called_off = async {
        loop {
            tokio::time::sleep(LOOK).await;
            check()?;
        }
    };
    tokio::select! {
        given = future => given,
        error = called_off => error,
    }
}
