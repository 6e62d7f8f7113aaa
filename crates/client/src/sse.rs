//! Reads a body of the type `text/event-stream` (WHATWG HTML, section 9.2) piece by piece.
//!
//! Knows lines and frames, nothing of what they mean.

/// Largest line or frame: above the largest event, which names every agent of a team.
const MAX_FRAME_LEN: usize = 4 * 1024 * 1024;

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its `id`, if it has one.
    pub(crate) id: Option<String>,
    /// Its `data`, lines joined by line feeds.
    pub(crate) data: String,
}

/// A frame grew past its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Puts frames together from pieces that end anywhere.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_return: bool,
    id: Option<String>,
    data: String,
    has_data: bool,
}

impl Parser {
    /// The frames that this piece completes.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<Vec<Frame>, TooLong> {
        let mut frames = Vec::new();
        for byte in piece {
            let ends_line = match byte {
                b'\n' if self.after_return => false,
                b'\n' | b'\r' => true,
                _ => {
                    self.line.push(*byte);
                    false
                }
            };
            self.after_return = *byte == b'\r';
            if ends_line {
                frames.extend(self.end_line());
            }
            if self.line.len() + self.data.len() > MAX_FRAME_LEN {
                return Err(TooLong);
            }
        }
        Ok(frames)
    }

    fn end_line(&mut self) -> Option<Frame> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let id = self.id.take();
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then_some(Frame { id, data });
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "id" => self.id = Some(value.to_owned()),
            // A comment has an empty name and keeps the connection alive. `event`
            // repeats what the data says. `retry` is the own backoff's business.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: &str, data: &str) -> Frame {
        Frame {
            id: Some(id.to_owned()),
            data: data.to_owned(),
        }
    }

    #[test]
    fn frames_are_the_same_wherever_the_pieces_end() {
        let text = ": hello\n\nid: 1\nevent: x\ndata: a\ndata: b\r\n\r\nid:2\rdata:ö\r\rid: 3\n\n";
        let expected = [frame("1", "a\nb"), frame("2", "ö")];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let frames: Vec<Frame> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|piece| parser.push(piece).unwrap())
                .collect();
            assert_eq!(frames, expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_frame_without_end_is_refused_at_its_bound() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1024 * 1024];
        let refused = (0..8).any(|_| parser.push(&piece) == Err(TooLong));
        assert!(refused);
    }
}
