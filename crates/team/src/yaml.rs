//! YAML text into a tree: anchors, merges and duplicates are settled here.
//!
//! Built on the parser below `serde-saphyr`, since a typed deserialiser stops at
//! the first mistake and a team file's author wants them all.

use std::collections::{HashMap, HashSet};

use collective_core::text::shown;
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Span, Tag};

use crate::node::{Content, Key, Node, Scalar};
use crate::place::Place;
use crate::problem::{At, Sink};

/// Deepest nesting: the format itself needs eight; the rest is for `input` and schemas.
const MAX_DEPTH: usize = 64;
/// Most values once aliases are followed, so that a small file can't become a large one.
pub(crate) const MAX_NODES: usize = 1_000_000;
/// Most text once aliases are followed and fan-outs unfolded, for the same reason.
pub(crate) const MAX_TEXT: usize = 64 * 1024 * 1024;

/// Reads one document. Without a tree there is at least one mistake in the sink.
pub(crate) fn parse(text: &str, sink: &Sink) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        sink,
        anchors: HashMap::new(),
        nodes: 0,
        text: 0,
    };
    builder
        .document()
        .map_err(|stop| builder.explain(stop))
        .ok()
}

/// Why the reading ends before the text does.
enum Stop {
    /// The text is not YAML.
    Syntax(granit_parser::ScanError),
    /// Something that a team file never needs.
    Refused {
        at: At,
        message: String,
        hint: &'static str,
    },
}

struct Builder<'t, 's> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    sink: &'s Sink,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text: usize,
}

impl<'t> Builder<'t, '_> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(Stop::Syntax(error)),
            // The parser ends with an event of its own; past it there is nothing to be found.
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Stop::Refused {
                        at: at(span),
                        message: "a second document starts here".to_owned(),
                        hint: "a team file is one document: take the `---` out",
                    });
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.node(event, span, &Place::root())?),
            }
        }
        root.filter(|root| !root.is_nothing()).ok_or(Stop::Refused {
            at: At::FILE,
            message: "the file is empty".to_owned(),
            hint: "a team file needs at least `agents` and `tasks`",
        })
    }

    fn node(&mut self, event: Event<'t>, span: Span, place: &Place) -> Result<Node, Stop> {
        self.nodes += 1;
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced = self.tag(tag.as_deref(), span, place);
                let scalar = Scalar {
                    plain: style == ScalarStyle::Plain && !forced,
                    text: text.into_owned(),
                    filled: false,
                };
                (Content::Scalar(scalar), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), span, place);
                (self.list(place)?, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), span, place);
                (self.map(place)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, at(span), place),
            Event::UnresolvedAlias(name) => {
                let message = format!("no anchor `&{}` stands before this", shown(&name));
                self.sink.report(at(span), place, message, None);
                (nothing(), 0)
            }
            _ => (nothing(), 0),
        };
        let node = Node {
            at: at(span),
            content,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Whether the tag makes text of what it stands before; other tags mean nothing here.
    fn tag(&self, tag: Option<&Tag>, span: Span, place: &Place) -> bool {
        let Some(tag) = tag else { return false };
        match tag.core_suffix() {
            Some(suffix) => suffix == "str",
            None => {
                let text = tag.original();
                let start = span.tag_start.unwrap_or(span.start);
                let at = At {
                    line: start.line(),
                    column: start.col() + 1,
                    width: text.chars().count(),
                };
                let message = format!("the tag `{}` means nothing here", shown(&text));
                self.sink.report(at, place, message, None);
                false
            }
        }
    }

    fn alias(&mut self, anchor: usize, at: At, place: &Place) -> Result<Node, Stop> {
        let Some(target) = self.anchors.get(&anchor) else {
            let message = "an alias can't stand inside what it names";
            self.sink.report(at, place, message, None);
            return Ok(Node {
                at,
                content: nothing(),
            });
        };
        let (nodes, text) = target.size();
        self.nodes += nodes;
        self.text += text;
        if self.nodes > MAX_NODES || self.text > MAX_TEXT {
            return Err(Stop::Refused {
                at,
                message: format!(
                    "the aliases grow to more than {MAX_NODES} values or {} MiB of text",
                    MAX_TEXT / (1024 * 1024)
                ),
                hint: "repeat less",
            });
        }
        Ok(target.clone())
    }

    fn list(&mut self, place: &Place) -> Result<Content, Stop> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(Content::List(items));
            }
            let place = place.index(items.len());
            items.push(self.node(event, span, &place)?);
        }
    }

    fn map(&mut self, place: &Place) -> Result<Content, Stop> {
        let mut fields: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        let mut lines: HashMap<String, usize> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key_at = at(span);
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, span, place)?;
            let Content::Scalar(Scalar { text, .. }) = key.content else {
                let message = "a field's name must be text";
                self.sink.report(key_at, place, message, None);
                let (event, span) = self.next()?;
                self.node(event, span, place)?;
                continue;
            };
            let below = place.field(&text);
            let (event, span) = self.next()?;
            let value = self.node(event, span, &below)?;
            if merge {
                self.merge(value, &below, &mut merged);
            } else if let Some(line) = lines.get(&text) {
                let message = format!("`{}` stands here twice, first on line {line}", shown(&text));
                let hint = "take one of them out, or give it another name".to_owned();
                self.sink.report(key_at, &below, message, Some(hint));
            } else {
                lines.insert(text.clone(), key_at.line);
                fields.push((Key { at: key_at, text }, value));
            }
        }
        // A field of the map itself wins over a merged one, an earlier merge over a later.
        let mut names: HashSet<String> = lines.into_keys().collect();
        merged.retain(|(key, _)| names.insert(key.text.clone()));
        fields.extend(merged);
        Ok(Content::Map(fields))
    }

    /// Takes in `<<: *map` and `<<: [*map, *map]` (the merge type of YAML 1.1).
    fn merge(&self, value: Node, place: &Place, merged: &mut Vec<(Key, Node)>) {
        let parts = match value.content {
            Content::List(parts) => parts,
            _ => vec![value],
        };
        for part in parts {
            match part.content {
                Content::Map(fields) => merged.extend(fields),
                _ => {
                    let message =
                        format!("expected a map of fields to merge, found {}", part.kind());
                    self.sink.report(part.at, place, message, None);
                }
            }
        }
    }

    fn explain(&self, stop: Stop) {
        match stop {
            Stop::Syntax(error) => {
                let mark = error.marker();
                let at = At {
                    line: mark.line(),
                    column: mark.col() + 1,
                    width: 1,
                };
                let message = format!("not readable as YAML: {}", shown(&error.info()));
                let hint = "what follows was not read; mend this first".to_owned();
                self.sink.report(at, &Place::root(), message, Some(hint));
            }
            Stop::Refused { at, message, hint } => {
                let hint = Some(hint.to_owned());
                self.sink.report(at, &Place::root(), message, hint);
            }
        }
    }
}

fn nothing() -> Content {
    Content::Scalar(Scalar {
        text: String::new(),
        plain: true,
        filled: false,
    })
}

fn at(span: Span) -> At {
    let one_line = span.end.line() == span.start.line();
    At {
        line: span.start.line(),
        column: span.start.col() + 1,
        width: match one_line {
            true => span.end.col().saturating_sub(span.start.col()).max(1),
            false => 1,
        },
    }
}
