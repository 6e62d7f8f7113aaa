//! Versions, as programs tell them in many forms.

use std::fmt;

/// A version: major, minor, patch. What follows is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

/// Oldest engine that has what the compose files use.
pub(crate) const OLDEST_DOCKER: Version = Version::new(20, 10, 0);
/// Oldest Compose: conditions of `depends_on` without a file version.
pub(crate) const OLDEST_COMPOSE: Version = Version::new(1, 29, 0);

impl Version {
    pub(crate) const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The first version in a text: `v2.26.1-4`, `docker-compose version 1.29.2, build unknown`.
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::of_word)
    }

    fn of_word(word: &str) -> Option<Self> {
        let word = word.trim_start_matches(['v', 'V']);
        let end = word
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(word.len());
        let mut parts = word[..end].split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        // A lone number is no version: it may count anything.
        let minor = parts.next()?.ok()?;
        let patch = parts.next().and_then(Result::ok).unwrap_or(0);
        Some(Self::new(major, minor, patch))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The major version that an image's tag names, as 15 in `postgres:15-alpine`.
pub(crate) fn major_of_image(image: &str) -> Option<u32> {
    let without_digest = image.split('@').next()?;
    let (_, tag) = without_digest.rsplit_once(':')?;
    // What follows the port of a registry is no tag.
    if tag.contains('/') {
        return None;
    }
    let digits = tag.find(|c: char| !c.is_ascii_digit()).unwrap_or(tag.len());
    tag[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, expected) in [
            (
                "docker-compose version 1.29.2, build unknown",
                Some((1, 29, 2)),
            ),
            ("Docker Compose version v2.26.1-4", Some((2, 26, 1))),
            (
                "Docker version 20.10.24+dfsg1, build 297e128",
                Some((20, 10, 24)),
            ),
            ("27.5", Some((27, 5, 0))),
            ("2.40.3-desktop.1", Some((2, 40, 3))),
            ("command not found", None),
            ("build 5", None),
            ("", None),
        ] {
            let expected = expected.map(|(a, b, c)| Version::new(a, b, c));
            assert_eq!(Version::find(text), expected, "{text}");
        }
        assert!(Version::new(1, 28, 9) < OLDEST_COMPOSE);
        assert!(Version::new(2, 0, 0) > OLDEST_COMPOSE);
    }

    #[test]
    fn the_major_version_is_read_from_a_tag() {
        for (image, expected) in [
            ("postgres:15-alpine", Some(15)),
            ("postgres:15.8@sha256:00", Some(15)),
            ("registry:5000/postgres", None),
            ("registry:5000/postgres:16", Some(16)),
            ("postgres:latest", None),
            ("postgres", None),
        ] {
            assert_eq!(major_of_image(image), expected, "{image}");
        }
    }
}
