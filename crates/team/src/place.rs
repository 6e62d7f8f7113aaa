//! Where in the file a value stands, as a path such as `tasks.build.checks[2].file`.

use std::fmt;
use std::rc::Rc;

/// A path from the root of the file; cheap to extend and to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place(Option<Rc<(Place, Step)>>);

#[derive(Debug)]
enum Step {
    Field(String),
    Index(usize),
}

impl Place {
    /// The file itself.
    pub(crate) fn root() -> Self {
        Self(None)
    }

    /// A field of this.
    pub(crate) fn field(&self, name: &str) -> Self {
        Self(Some(Rc::new((self.clone(), Step::Field(name.to_owned())))))
    }

    /// What a path such as `retry.factor` or `[2].file` names below this.
    pub(crate) fn join(&self, path: &str) -> Self {
        let steps = path.split(['.', '[']).filter(|step| !step.is_empty());
        steps.fold(self.clone(), |place, step| {
            match step.strip_suffix(']').map(str::parse) {
                Some(Ok(index)) => place.index(index),
                _ => place.field(step),
            }
        })
    }

    /// An item of this.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(Some(Rc::new((self.clone(), Step::Index(index)))))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        let (parent, step) = &**step;
        parent.fmt(f)?;
        match step {
            Step::Field(name) if parent.0.is_none() => {
                f.write_str(&collective_core::text::shown(name))
            }
            Step::Field(name) => write!(f, ".{}", collective_core::text::shown(name)),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}
