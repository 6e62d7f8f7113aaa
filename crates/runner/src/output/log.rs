//! The log of an attempt in bounded size: its start goes out as it comes, its
//! end is held back until the command has ended, the middle is dropped beyond
//! [`MAX_LOG_LEN`], with a line that says how much.

use std::collections::VecDeque;

use collective_core::limits::{MAX_LOG_CHUNK, MAX_LOG_LEN};

/// The end that is kept: what compilers and test runners say last.
const TAIL_LEN: usize = 256 * 1024;

/// Room for the line that says how much was dropped.
const NOTE_LEN: usize = 128;

/// The start that is kept, and seen live.
const HEAD_LEN: usize = MAX_LOG_LEN - TAIL_LEN - NOTE_LEN;

/// Nothing in here grows past [`MAX_LOG_LEN`], however little is taken out.
#[derive(Debug)]
pub(super) struct Log {
    /// What waits to be given away.
    outgoing: VecDeque<u8>,
    /// How much of the start may still come.
    head_left: usize,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            outgoing: VecDeque::new(),
            head_left: HEAD_LEN,
            tail: VecDeque::new(),
            dropped: 0,
        }
    }
}

impl Log {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let (head, rest) = bytes.split_at(bytes.len().min(self.head_left));
        self.outgoing.extend(head);
        self.head_left -= head.len();
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(TAIL_LEN);
        self.tail.drain(..surplus);
        self.dropped += surplus as u64;
    }

    /// How much waits to be given away.
    pub(super) fn waiting(&self) -> usize {
        self.outgoing.len()
    }

    /// Takes what waits, one piece of it.
    pub(super) fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = self.outgoing.len().min(MAX_LOG_CHUNK);
        (length > 0).then(|| self.outgoing.drain(..length).collect())
    }

    /// Nothing more comes: lets the end follow the start.
    pub(super) fn end(&mut self) {
        if self.dropped > 0 {
            // The end starts with a whole line, if it has one.
            if let Some(newline) = self.tail.iter().position(|byte| *byte == b'\n') {
                self.tail.drain(..=newline);
                self.dropped += newline as u64 + 1;
            }
            let note = format!("\n[{} bytes of output are left out here]\n", self.dropped);
            debug_assert!(note.len() <= NOTE_LEN);
            self.outgoing.extend(note.as_bytes());
        }
        self.outgoing.append(&mut self.tail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything(log: &mut Log) -> Vec<u8> {
        log.end();
        std::iter::from_fn(|| log.chunk()).flatten().collect()
    }

    #[test]
    fn what_fits_stays_whole() {
        let mut log = Log::default();
        let bytes: Vec<u8> = (0..MAX_LOG_LEN - NOTE_LEN)
            .map(|i| (i % 251) as u8)
            .collect();
        for piece in bytes.chunks(1_000) {
            log.push(piece);
        }
        assert!(everything(&mut log) == bytes);
    }

    #[test]
    fn the_middle_is_dropped_and_the_rest_says_how_much() {
        let mut log = Log::default();
        let mut written = 0usize;
        for i in 0..400_000 {
            let line = format!("line {i}\n");
            written += line.len();
            log.push(line.as_bytes());
        }
        let kept = everything(&mut log);
        assert!(kept.len() <= MAX_LOG_LEN, "{}", kept.len());
        let kept = String::from_utf8(kept).unwrap();
        assert!(kept.starts_with("line 0\n") && kept.ends_with("line 399999\n"));
        let note = kept
            .lines()
            .find(|line| line.starts_with('['))
            .expect("a note");
        let dropped: usize = note[1..].split(' ').next().unwrap().parse().unwrap();
        assert_eq!(dropped + kept.len() - note.len() - 2, written);
    }

    #[test]
    fn a_log_that_nobody_takes_stays_bounded() {
        let mut log = Log::default();
        for _ in 0..100 {
            log.push(&[b'x'; 100_000]);
        }
        assert!(log.outgoing.len() + log.tail.len() <= MAX_LOG_LEN);
    }

    #[test]
    fn chunks_are_bounded() {
        let mut log = Log::default();
        log.push(&vec![b'x'; 3 * MAX_LOG_CHUNK / 2]);
        assert_eq!(log.chunk().unwrap().len(), MAX_LOG_CHUNK);
        assert_eq!(log.chunk().unwrap().len(), MAX_LOG_CHUNK / 2);
        assert_eq!(log.chunk(), None);
    }
}
