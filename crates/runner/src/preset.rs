//! Presets: what is known of an agent's command line, as data.
//!
//! A preset says how a known CLI is started without a person at the keyboard,
//! how the prompt reaches it, where in its output the result and the cost are,
//! and how its failures are recognised. The built-in ones are the YAML files in
//! `preset/built_in`; a folder of such files, or a team file, can add others,
//! change one (`extends: NAME`) or replace one.

mod book;
mod definition;
pub mod failure;
pub mod reading;
mod reset;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use collective_core::rejection::{Code, Rejection};
use collective_core::text::{nearest, shown};
use serde_json::Value;

use crate::attempt::Delivery;
pub use book::{PresetError, Presets};
pub use definition::Choice;
use definition::{Definition, OPTIONS, SELF, VALUE};
use failure::Rules;
use reading::Reading;

/// A known CLI.
#[derive(Clone, Debug)]
pub struct Preset {
    name: String,
    program: String,
    definition: Definition,
    reading: Arc<Reading>,
    rules: Arc<Rules>,
}

/// What a preset makes of an agent's options: all that an attempt needs to know.
#[derive(Clone, Debug)]
pub struct PresetCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// How the prompt reaches it.
    pub delivery: Delivery,
    /// Whether it is told everything in one text.
    pub briefing: bool,
    /// How its standard output is read.
    pub reading: Arc<Reading>,
    /// How its failures are recognised.
    pub rules: Arc<Rules>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Variables of the runner to leave out.
    pub drop_env: Vec<String>,
}

impl Preset {
    fn new(name: &str, definition: Definition) -> Result<Self, String> {
        let program = match &definition.program {
            Some(program) if program.0 == SELF => {
                crate::guard::this_binary().to_string_lossy().into_owned()
            }
            Some(program) => program.0.clone(),
            None => return Err("neither `program` nor `extends` says what it runs".to_owned()),
        };
        for choice in &definition.options {
            if let Some(default) = &choice.default {
                chosen(choice, default).map_err(|rejection| {
                    format!("the default of option `{}`: {rejection}", choice.name)
                })?;
            }
        }
        let rules = Rules {
            patterns: definition.failures.clone(),
            exit_codes: definition.exit_codes.clone(),
        };
        Ok(Self {
            name: name.to_owned(),
            program,
            reading: Arc::new(definition.output.clone().unwrap_or_default()),
            rules: Arc::new(rules),
            definition,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is, in a sentence.
    pub fn about(&self) -> &str {
        self.definition.about.as_deref().unwrap_or_default()
    }

    /// The program that it runs.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// What may be chosen.
    pub fn options(&self) -> &[Choice] {
        &self.definition.options
    }

    /// The command for an agent with these options. The prompt's place is still
    /// in it. The rejection's field is the option's name.
    pub fn command(&self, options: &BTreeMap<String, Value>) -> Result<PresetCommand, Rejection> {
        let chosen = self.choose(options)?;
        let own = self.definition.args.as_deref().unwrap_or_default();
        let mut command = vec![self.program.clone()];
        let mut placed = false;
        for argument in own {
            if argument.0 == OPTIONS {
                command.extend(chosen.iter().cloned());
                placed = true;
            } else {
                command.push(argument.0.clone());
            }
        }
        if !placed {
            command.extend(chosen);
        }
        let extra = self.definition.extra_args.iter();
        command.extend(extra.map(|argument| argument.0.clone()));
        let env = &self.definition.env;
        Ok(PresetCommand {
            command,
            delivery: self.definition.prompt.unwrap_or_default(),
            briefing: self.definition.briefing.unwrap_or(false),
            reading: Arc::clone(&self.reading),
            rules: Arc::clone(&self.rules),
            env: env.set.clone().into_iter().collect(),
            drop_env: env.drop.clone(),
        })
    }

    /// The arguments of all options, in the preset's order.
    fn choose(&self, options: &BTreeMap<String, Value>) -> Result<Vec<String>, Rejection> {
        let known = || self.options().iter().map(|choice| choice.name.as_str());
        if let Some(unknown) = options.keys().find(|name| !known().any(|own| own == *name)) {
            let message = format!("preset `{}` has no option `{}`", self.name, shown(unknown));
            let mut rejection = Rejection::new(Code::InvalidField, message);
            let names: Vec<&str> = known().collect();
            rejection = match nearest(unknown, names.iter().copied()) {
                Some(near) => rejection.hint(format!("did you mean `{near}`?")),
                None if names.is_empty() => rejection.hint("it has none"),
                None => rejection.hint(format!("it has {}", names.join(", "))),
            };
            return Err(rejection.at(unknown.clone()));
        }
        let mut arguments = Vec::new();
        for choice in self.options() {
            if let Some(value) = options.get(&choice.name).or(choice.default.as_ref()) {
                let added = chosen(choice, value);
                arguments.extend(added.map_err(|rejection| rejection.at(choice.name.clone()))?);
            }
        }
        Ok(arguments)
    }
}

/// The arguments of an option with this value; of a list, those of each item.
fn chosen(choice: &Choice, value: &Value) -> Result<Vec<String>, Rejection> {
    let bad = |what: String| Rejection::new(Code::InvalidField, what);
    let words = match (choice.takes_value(), value) {
        (false, Value::Bool(false)) | (true, Value::Null) => return Ok(Vec::new()),
        (false, Value::Bool(true)) => vec![String::new()],
        (false, _) => return Err(bad("must be true or false".to_owned())),
        (true, Value::Array(items)) => items
            .iter()
            .map(word)
            .collect::<Option<_>>()
            .ok_or_else(|| bad("must be texts or numbers".to_owned()))?,
        (true, value) => {
            vec![word(value).ok_or_else(|| bad("must be a text or a number".to_owned()))?]
        }
    };
    let mut arguments = Vec::new();
    for word in words {
        if choice.takes_value() && (word.is_empty() || word.contains('\0')) {
            return Err(bad("is empty, or has a NUL character".to_owned()));
        }
        if !choice.values.is_empty() && !choice.values.contains(&word) {
            let message = format!("is `{}`, which it can't be", shown(&word));
            let hint = format!("it can be {}", choice.values.join(", "));
            return Err(bad(message).hint(hint));
        }
        let with = |argument: &definition::ChoiceArgument| argument.0.replace(VALUE, &word);
        arguments.extend(choice.args.iter().map(with));
    }
    Ok(arguments)
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
