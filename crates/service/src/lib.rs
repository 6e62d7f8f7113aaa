//! One command, one function: load, decide in core, commit, announce.
