//! A short drill with a fixed seed, on real servers.

use std::path::Path;
use std::process::Command;

/// Long enough for a kill of each kind.
const SECONDS: &str = "25";
/// With it PostgreSQL, an agent and a server are killed, and the broker is wiped.
const SEED: &str = "1";

#[test]
fn nothing_is_lost_while_parts_are_killed() {
    let drill = Path::new(env!("CARGO_BIN_EXE_collective-drill"));
    let server = drill.with_file_name("collective");
    assert!(
        server.is_file(),
        "build the server beside the drill: cargo build --package collective-cli"
    );
    let ended = Command::new(drill)
        .args(["--seconds", SECONDS, "--seed", SEED])
        .output()
        .expect("the drill starts");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        ended.status.success() && said.contains("nothing was lost"),
        "{said}\n{}",
        String::from_utf8_lossy(&ended.stderr)
    );
}
