//! One thing that was said, and where; layers of them, the higher ones winning.

use std::collections::BTreeMap;

use crate::key::{KEYS, Key};
use crate::mistake::{Mistake, MistakeCode, Origin};
use crate::url;
use crate::value::{Kind, Value};

/// One thing that was said.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) key: &'static Key,
    pub(crate) value: Value,
    pub(crate) at: Origin,
}

/// What was said of each key in one layer.
pub(crate) type Layer = BTreeMap<&'static str, Given>;

/// What is noted while the layers are made.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<String>,
}

/// One layer of what was said in it: files of secrets are read, URLs are taken
/// apart, and what is said twice must be the same.
pub(crate) fn layer(given: Vec<Given>, notes: &mut Notes) -> Layer {
    let mut layer = Layer::new();
    for one in given {
        add(&mut layer, one, notes);
    }
    layer
}

fn add(layer: &mut Layer, given: Given, notes: &mut Notes) {
    if let Some(before) = layer.get(given.key.name) {
        if before.value != given.value {
            notes.mistakes.push(twice(&given, before));
        }
        return;
    }
    match (given.key.kind, &given.value) {
        (Kind::SecretFile(holds), Value::Path(path)) => match crate::secret::from_file(path) {
            Ok(read) => {
                if read.readable_by_all {
                    notes.warnings.push(format!(
                        "{}: everybody on this machine can read {}; chmod 600 it",
                        given.at,
                        path.display()
                    ));
                }
                if let Some(key) = crate::key::find(holds) {
                    let value = Value::Secret(read.secret);
                    let at = given.at.clone();
                    add(layer, Given { key, value, at }, notes);
                }
            }
            Err(error) => {
                let mistake =
                    Mistake::new(MistakeCode::Unreadable, given.at.clone(), error.to_string());
                notes.mistakes.push(mistake.key(given.key.name));
            }
        },
        (Kind::Url(scheme), Value::Secret(text)) => match url::parts(scheme, text.reveal()) {
            Ok(parts) => {
                for (name, value) in parts {
                    let section = given.key.name.split('.').next().unwrap_or_default();
                    let full = format!("{section}.{name}");
                    if let Some(key) = KEYS.iter().find(|key| key.name == full) {
                        let at = given.at.clone();
                        add(layer, Given { key, value, at }, notes);
                    }
                }
            }
            Err((code, message)) => {
                let mistake = Mistake::new(code, given.at.clone(), message);
                let hint = format!("write {}", url::form(scheme));
                notes.mistakes.push(mistake.key(given.key.name).hint(hint));
            }
        },
        _ => {}
    }
    layer.insert(given.key.name, given);
}

fn twice(given: &Given, before: &Given) -> Mistake {
    let message = if given.key.is_secret() {
        format!("is said differently by {}", before.at)
    } else {
        format!(
            "is `{}` here, but `{}` by {}",
            given.value, before.value, before.at
        )
    };
    Mistake::new(MistakeCode::SaidTwice, given.at.clone(), message)
        .key(given.key.name)
        .hint("say it once".to_owned())
}
