//! The form in which a preset is written, as YAML or JSON, and how one extends another.
//!
//! Everything that can be wrong with a part is found while that part is read,
//! so that the error knows its place.

use std::collections::BTreeMap;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::failure::{Class, Rule};
use super::reading::Reading;
use crate::attempt::Delivery;

/// A preset as it is written. What isn't said is taken from the one that it
/// extends, or is empty.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Definition {
    /// What it is, in a sentence.
    pub(super) about: Option<String>,
    /// The preset that this one changes. One in a folder may have the name of a
    /// built-in one and extend it.
    pub(super) extends: Option<String>,
    /// The program.
    pub(super) program: Option<Program>,
    /// Its arguments.
    pub(super) args: Option<Vec<Argument>>,
    /// More arguments, after the options.
    pub(super) extra_args: Vec<Argument>,
    /// What may be chosen per agent.
    pub(super) options: Vec<Choice>,
    /// How the prompt reaches it.
    pub(super) prompt: Option<Delivery>,
    /// Whether it is told everything in one text, as a language model needs it.
    pub(super) briefing: Option<bool>,
    /// Its environment.
    pub(super) env: Environment,
    /// How its standard output is read.
    pub(super) output: Option<Reading>,
    /// How its failures are recognised.
    pub(super) failures: Vec<Rule>,
    /// What its exit codes mean, where they mean something of their own.
    pub(super) exit_codes: BTreeMap<i32, Class>,
}

/// What a preset does to the environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Environment {
    /// Variables to set.
    pub(super) set: BTreeMap<String, String>,
    /// Variables of the runner to leave out.
    pub(super) drop: Vec<String>,
}

/// Something that may be chosen per agent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub about: String,
    /// What it adds to the arguments, with `{value}` where the value goes.
    /// Without `{value}` it is a switch.
    pub args: Vec<ChoiceArgument>,
    /// What it is when nothing is chosen.
    #[serde(default)]
    pub default: Option<Value>,
    /// The values that it may have; any if there are none.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Choice {
    /// Whether it takes a value.
    pub fn takes_value(&self) -> bool {
        self.args.iter().any(|argument| argument.0.contains(VALUE))
    }
}

/// Where an option's value goes.
pub(super) const VALUE: &str = "{value}";
/// Where the options go; at the end if it is nowhere.
pub(super) const OPTIONS: &str = "{options}";
/// Where the prompt goes.
pub(super) const PROMPT: &str = "{prompt}";
/// Where the path of the prompt goes.
pub(super) const PROMPT_FILE: &str = "{prompt_file}";
/// This binary, as a program.
pub(super) const SELF: &str = "{self}";

/// An argument of the program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Argument(pub(super) String);

/// An argument of an option.
#[derive(Clone, Debug, PartialEq)]
pub struct ChoiceArgument(pub(super) String);

/// A program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Program(pub(super) String);

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = passable(String::deserialize(de)?)?;
        if text.contains(OPTIONS) && text != OPTIONS {
            let what = format!("{OPTIONS} stands alone, not within another argument");
            return Err(serde::de::Error::custom(what));
        }
        known_places(&text, &[OPTIONS, PROMPT, PROMPT_FILE])?;
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for ChoiceArgument {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = passable(String::deserialize(de)?)?;
        known_places(&text, &[VALUE])?;
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        let text = passable(String::deserialize(de)?)?;
        if text.trim().is_empty() {
            return Err(serde::de::Error::custom("the program is empty"));
        }
        if text != SELF {
            known_places(&text, &[])?;
        }
        Ok(Self(text))
    }
}

/// What a kernel passes on to a program.
fn passable<E: serde::de::Error>(text: String) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("a NUL character can't be passed to a program"));
    }
    Ok(text)
}

/// Refuses a place that nothing goes to, which is most likely a slip. Braces
/// around anything but a lower-case word are braces.
fn known_places<E: serde::de::Error>(text: &str, known: &[&str]) -> Result<(), E> {
    let Ok(place) = Regex::new(r"\{[a-z_]+\}") else {
        return Ok(());
    };
    for found in place.find_iter(text) {
        if !known.contains(&found.as_str()) {
            let mut what = format!(
                "nothing is known to go in the place of `{}`",
                found.as_str()
            );
            match collective_core::text::nearest(found.as_str(), known.iter().copied()) {
                Some(near) => what.push_str(&format!("; did you mean `{near}`?")),
                None if known.is_empty() => {}
                None => what.push_str(&format!("; known are {}", known.join(", "))),
            }
            return Err(E::custom(what));
        }
    }
    Ok(())
}

impl Definition {
    /// This definition, with all that it doesn't say taken from `base`.
    pub(super) fn over(self, base: Self) -> Self {
        let mut options = base.options;
        for choice in self.options {
            match options.iter_mut().find(|other| other.name == choice.name) {
                Some(other) => *other = choice,
                None => options.push(choice),
            }
        }
        let mut env = base.env;
        env.set.extend(self.env.set);
        env.drop.extend(self.env.drop);
        let mut exit_codes = base.exit_codes;
        exit_codes.extend(self.exit_codes);
        Self {
            about: self.about.or(base.about),
            extends: None,
            program: self.program.or(base.program),
            args: self.args.or(base.args),
            extra_args: [base.extra_args, self.extra_args].concat(),
            options,
            prompt: self.prompt.or(base.prompt),
            briefing: self.briefing.or(base.briefing),
            env,
            output: self.output.or(base.output),
            // Its own patterns are asked first.
            failures: [self.failures, base.failures].concat(),
            exit_codes,
        }
    }
}
