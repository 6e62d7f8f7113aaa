//! The private folder of an attempt: what the command is given to read, and
//! where it may write its result and its artifacts.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use collective_core::limits::{MAX_ARTIFACT_LEN, MAX_ARTIFACTS, MAX_RESULT_LEN};
use collective_core::task::{Artifact, ArtifactKind};
use serde_json::Value;
use tempfile::TempDir;

use super::{AttemptSpec, Made};
use crate::preset::reading::document;
use crate::runs::Run;

pub(super) struct Desk {
    folder: TempDir,
    env: Vec<(OsString, OsString)>,
    pub(super) prompt: PathBuf,
    result: PathBuf,
    artifacts: PathBuf,
}

/// What a result file holds.
#[derive(Debug, PartialEq)]
pub(super) enum Written {
    Nothing,
    Text(String),
    Json(Value),
}

impl Desk {
    pub(super) fn lay(run: &Run, spec: &AttemptSpec) -> io::Result<Self> {
        let folder = run.attempt_folder(&spec.identity.label())?;
        let at = |name: &str| folder.path().join(name);
        let mut env: Vec<(OsString, OsString)> = Vec::new();
        let mut give = |name: &str, path: &Path| env.push((name.into(), path.into()));
        let prompt = at("prompt.md");
        write(&prompt, spec.prompt.as_bytes())?;
        give("COLLECTIVE_PROMPT", &prompt);
        let input = at("input.json");
        write(&input, &serde_json::to_vec(&spec.input)?)?;
        give("COLLECTIVE_INPUT", &input);
        let dependencies = at("dependencies.json");
        write(&dependencies, &serde_json::to_vec(&spec.dependencies)?)?;
        give("COLLECTIVE_DEPENDENCIES", &dependencies);
        let texts = at("dependencies");
        lay_texts(&texts, &spec.dependencies)?;
        give("COLLECTIVE_DEPENDENCIES_DIR", &texts);
        if let Some(feedback) = &spec.feedback {
            let path = at("feedback.md");
            write(&path, feedback.as_bytes())?;
            give("COLLECTIVE_FEEDBACK", &path);
        }
        if let Some(answers) = &spec.answers {
            let path = at("answers.json");
            write(&path, &serde_json::to_vec(answers)?)?;
            give("COLLECTIVE_ANSWERS", &path);
        }
        let result = at("result");
        give("COLLECTIVE_RESULT", &result);
        let artifacts = at("artifacts");
        fs::create_dir(&artifacts)?;
        give("COLLECTIVE_ARTIFACTS", &artifacts);
        Ok(Self {
            env,
            prompt,
            result,
            artifacts,
            folder,
        })
    }

    pub(super) fn env(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// Reads the result file. One that is too large keeps its end, as text.
    pub(super) fn result(&self, warnings: &mut Vec<String>) -> Written {
        let (bytes, cut) = match read_end(&self.result, MAX_RESULT_LEN) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Written::Nothing,
            Err(error) => {
                warnings.push(format!("the result file can't be read: {error}"));
                return Written::Nothing;
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        if cut {
            warnings.push(format!(
                "the result file is larger than {MAX_RESULT_LEN} bytes; its end is kept"
            ));
            return Written::Text(collective_core::text::tail(&text, MAX_RESULT_LEN).to_owned());
        }
        match document(&text) {
            _ if text.trim().is_empty() => Written::Nothing,
            Some(json) => Written::Json(json),
            None => Written::Text(collective_core::text::tail(&text, MAX_RESULT_LEN).to_owned()),
        }
    }

    /// Collects the plain files in the folder for artifacts, by name.
    pub(super) fn artifacts(&self, room: usize, warnings: &mut Vec<String>) -> Vec<Made> {
        debug_assert!(room <= MAX_ARTIFACTS);
        let mut entries: Vec<_> = fs::read_dir(&self.artifacts)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut made = Vec::new();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            let shown = collective_core::text::shown(&name);
            if made.len() == room {
                warnings.push(format!(
                    "artifact `{shown}` and those after it are too many"
                ));
                break;
            }
            match read_artifact(&entry, &name) {
                Ok(artifact) => made.push(artifact),
                Err(why) => warnings.push(format!("artifact `{shown}` is left out: {why}")),
            }
        }
        made
    }

    /// Removes the folder.
    pub(super) fn clear(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// The text of each dependency's result in a file of its own, for commands that read no JSON.
fn lay_texts(folder: &Path, dependencies: &Value) -> io::Result<()> {
    fs::create_dir(folder)?;
    for dependency in dependencies.as_array().into_iter().flatten() {
        let number = dependency
            .get("number")
            .map(Value::to_string)
            .unwrap_or_default();
        let key = dependency
            .get("key")
            .and_then(Value::as_str)
            .unwrap_or(&number);
        // A key is readable text, not yet a file's name.
        let safe = |c: char| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        };
        let name: String = key.trim_start_matches('.').chars().map(safe).collect();
        let text = dependency
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let path = folder.join(format!("{name}.txt"));
        // Two keys may differ only in what a file's name can't show; the number can't.
        let path = if path.exists() {
            folder.join(format!("{name}-{number}.txt"))
        } else {
            path
        };
        write(&path, text.as_bytes())?;
    }
    Ok(())
}

fn read_artifact(entry: &fs::DirEntry, name: &str) -> Result<Made, String> {
    // A link could lead anywhere.
    let kind = entry.file_type().map_err(|error| error.to_string())?;
    if !kind.is_file() {
        return Err("it isn't a plain file".to_owned());
    }
    let candidate = Artifact {
        name: name.to_owned(),
        kind: ArtifactKind::File,
        reference: None,
        size: 0,
        sha256: None,
    };
    candidate
        .validate()
        .map_err(|rejection| rejection.message().to_owned())?;
    match read_end(&entry.path(), MAX_ARTIFACT_LEN) {
        Ok((_, true)) => Err(format!("it is larger than {MAX_ARTIFACT_LEN} bytes")),
        Ok((content, false)) => Ok(Made {
            name: candidate.name,
            kind: ArtifactKind::File,
            reference: None,
            content: Some(content),
        }),
        Err(error) => Err(error.to_string()),
    }
}

/// The last `max` bytes of a file, and whether there were more.
fn read_end(path: &Path, max: usize) -> io::Result<(Vec<u8>, bool)> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it isn't a plain file"));
    }
    let length = file.metadata()?.len();
    let cut = length > max as u64;
    if cut {
        file.seek(SeekFrom::Start(length - max as u64))?;
    }
    let mut bytes = Vec::new();
    file.take(max as u64).read_to_end(&mut bytes)?;
    Ok((bytes, cut))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)
}
