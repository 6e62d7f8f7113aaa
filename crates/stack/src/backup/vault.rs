//! Files of a backup: hashed as they are written, encrypted if there is a key,
//! and read back only as what they were.
//!
//! Encryption is age's, by its own program: anyone with the key and `age` can
//! open a backup without us.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::manifest::Entry;
use crate::error::StackError;
use crate::runner::is_on_path;

/// What the name of an encrypted file ends with.
const SEALED: &str = ".age";
/// What a private key's line begins with.
const PRIVATE: &str = "AGE-SECRET-KEY-";
/// What a public key's line begins with.
const PUBLIC: &str = "age1";
/// Bytes that are read at once.
const CHUNK: usize = 128 * 1024;

/// A file with an age key. A public one can only close, a private one opens too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    path: PathBuf,
    opens: bool,
}

impl Key {
    /// Looks at the file; its content stays there.
    pub fn at(path: &Path) -> Result<Self, StackError> {
        let text = fs::read_to_string(path)
            .map_err(|source| StackError::file("can't read the key", path, source))?;
        let mut lines = text.lines().map(str::trim);
        let opens = match lines.find(|line| !line.is_empty() && !line.starts_with('#')) {
            Some(line) if line.starts_with(PRIVATE) => true,
            Some(line) if line.starts_with(PUBLIC) => false,
            _ => {
                return Err(StackError::usage(
                    format!("{} holds no age key", path.display()),
                    "make one with `age-keygen -o FILE`",
                ));
            }
        };
        if !is_on_path("age") {
            return Err(StackError::usage(
                "a key is given, and the program `age` is not installed",
                "install the package `age`, or leave the key out",
            ));
        }
        let path = std::path::absolute(path)
            .map_err(|source| StackError::file("can't find", path, source))?;
        Ok(Self { path, opens })
    }
}

/// A file that is hashed as it is written.
struct Hashed {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file of a backup while it is written.
pub(crate) struct Sealing {
    name: String,
    path: PathBuf,
    way: Way,
}

enum Way {
    Open(Hashed),
    Closed {
        child: Child,
        stdin: Option<ChildStdin>,
        written: JoinHandle<io::Result<Hashed>>,
    },
}

impl Sealing {
    /// Begins `name` in `folder`.
    pub(crate) fn begin(folder: &Path, name: &str, key: Option<&Key>) -> Result<Self, StackError> {
        let name = match key {
            Some(_) => format!("{name}{SEALED}"),
            None => name.to_owned(),
        };
        let path = folder.join(&name);
        let unwritable = |source| StackError::file("can't write", &path, source);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(unwritable)?;
        }
        let hashed = Hashed {
            file: File::create_new(&path).map_err(unwritable)?,
            hash: Sha256::new(),
            size: 0,
        };
        let way = match key {
            None => Way::Open(hashed),
            Some(key) => close(key, hashed)?,
        };
        Ok(Self { name, path, way })
    }

    /// Ends the file; it is on the disk then.
    pub(crate) fn finish(self) -> Result<Entry, StackError> {
        let unwritable = |source| StackError::file("can't write", &self.path, source);
        let hashed = match self.way {
            Way::Open(hashed) => hashed,
            Way::Closed {
                mut child,
                stdin,
                written,
            } => {
                drop(stdin);
                let hashed = written
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the writer broke off")));
                let status = child.wait().map_err(unwritable)?;
                if !status.success() {
                    return Err(unwritable(io::Error::other("age refused")));
                }
                hashed.map_err(unwritable)?
            }
        };
        hashed.file.sync_all().map_err(unwritable)?;
        Ok(Entry {
            path: self.name,
            size: hashed.size,
            sha256: hex(&hashed.hash.finalize()),
        })
    }
}

impl Write for Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.way {
            Way::Open(hashed) => hashed.write(bytes),
            Way::Closed { stdin, .. } => match stdin {
                Some(stdin) => stdin.write(bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn close(key: &Key, mut hashed: Hashed) -> Result<Way, StackError> {
    let mut command = Command::new("age");
    command.arg("--encrypt");
    command.arg(if key.opens {
        "--identity"
    } else {
        "--recipients-file"
    });
    command
        .arg(&key.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(no_age)?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take();
    let written = std::thread::spawn(move || {
        if let Some(mut stdout) = stdout {
            io::copy(&mut stdout, &mut hashed)?;
        }
        Ok(hashed)
    });
    Ok(Way::Closed {
        child,
        stdin,
        written,
    })
}

fn no_age(source: io::Error) -> StackError {
    StackError::NotStarted {
        program: "age".to_owned(),
        source,
    }
}

/// A file of a backup while it is read, as it was before it was encrypted.
pub(crate) enum Opened {
    /// It isn't encrypted.
    Plain(File),
    /// age gives what was in it. That it ends before its end shows at the end.
    Sealed {
        /// The process.
        child: Child,
        /// What it gives.
        stdout: ChildStdout,
    },
}

impl Opened {
    /// Opens a file.
    pub(crate) fn open(
        folder: &Path,
        entry: &Entry,
        key: Option<&Key>,
    ) -> Result<Self, StackError> {
        let path = folder.join(&entry.path);
        if !entry.path.ends_with(SEALED) {
            let file = File::open(&path)
                .map_err(|source| StackError::file("can't read", &path, source))?;
            return Ok(Self::Plain(file));
        }
        let key = private(key, &entry.path)?;
        let mut command = Command::new("age");
        command
            .args(["--decrypt", "--identity"])
            .arg(&key.path)
            .arg(&path);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // That it can't be opened is told by whoever reads.
            .stderr(Stdio::null())
            .spawn()
            .map_err(no_age)?;
        match child.stdout.take() {
            Some(stdout) => Ok(Self::Sealed { child, stdout }),
            None => Err(no_age(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Sealed { child, stdout } => match stdout.read(buffer)? {
                0 if !buffer.is_empty() && !child.wait()?.success() => Err(io::Error::other(
                    "age can't open it with this key, or it was changed",
                )),
                count => Ok(count),
            },
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Self::Sealed { child, .. } = self {
            // It has ended by itself if all was read.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether the key opens a file: why not, if it doesn't.
pub(crate) fn opens(
    folder: &Path,
    entry: &Entry,
    key: Option<&Key>,
) -> Result<Result<(), String>, StackError> {
    if !entry.path.ends_with(SEALED) {
        return Ok(Ok(()));
    }
    if let Err(error) = private(key, &entry.path) {
        return Ok(Err(error.to_string()));
    }
    let mut opened = Opened::open(folder, entry, key)?;
    Ok(match opened.read(&mut [0; 1]) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{}: {error}", entry.path)),
    })
}

/// The key, if it opens.
pub(crate) fn private<'k>(key: Option<&'k Key>, name: &str) -> Result<&'k Key, StackError> {
    match key {
        Some(key) if key.opens => Ok(key),
        Some(key) => Err(StackError::usage(
            format!(
                "{} holds a public key, which opens nothing",
                key.path.display()
            ),
            "give the file with the private key by --key",
        )),
        None => Err(StackError::usage(
            format!("{name} is encrypted, and no key is given"),
            "give the file with the private key by --key",
        )),
    }
}

/// Whether a file is what was written: its size and its hash.
pub(crate) fn is_unchanged(folder: &Path, entry: &Entry) -> Result<Result<(), String>, StackError> {
    let path = folder.join(&entry.path);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Err(format!("{} is missing", entry.path)));
        }
        Err(source) => return Err(StackError::file("can't read", &path, source)),
    };
    let mut hash = Sha256::new();
    let mut size = 0_u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file
            .read(&mut chunk)
            .map_err(|source| StackError::file("can't read", &path, source))?;
        if count == 0 {
            break;
        }
        size += count as u64;
        hash.update(&chunk[..count]);
    }
    Ok(if size != entry.size {
        Err(format!(
            "{} has {size} bytes instead of {}",
            entry.path, entry.size
        ))
    } else if hex(&hash.finalize()) != entry.sha256 {
        Err(format!(
            "{} was changed: its checksum is another",
            entry.path
        ))
    } else {
        Ok(())
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"what was in it";

    fn write(folder: &Path, key: Option<&Key>) -> Entry {
        let mut file = Sealing::begin(folder, "part/file", key).unwrap();
        file.write_all(TEXT).unwrap();
        file.finish().unwrap()
    }

    fn read(folder: &Path, entry: &Entry, key: Option<&Key>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut opened = Opened::open(folder, entry, key).map_err(|error| error.to_string())?;
        match opened.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_file_comes_back_as_it_was_and_changes_are_seen() {
        let temp = tempfile::tempdir().unwrap();
        let entry = write(temp.path(), None);
        // From sha256sum.
        assert_eq!(entry.size, TEXT.len() as u64);
        assert_eq!(read(temp.path(), &entry, None).unwrap(), TEXT);
        assert_eq!(is_unchanged(temp.path(), &entry).unwrap(), Ok(()));
        let path = temp.path().join("part/file");
        fs::write(&path, b"what was in It").unwrap();
        assert!(
            is_unchanged(temp.path(), &entry)
                .unwrap()
                .unwrap_err()
                .contains("changed")
        );
        fs::write(&path, b"what").unwrap();
        assert!(
            is_unchanged(temp.path(), &entry)
                .unwrap()
                .unwrap_err()
                .contains("4 bytes")
        );
        fs::remove_file(&path).unwrap();
        assert!(
            is_unchanged(temp.path(), &entry)
                .unwrap()
                .unwrap_err()
                .contains("missing")
        );
    }

    #[test]
    fn what_is_encrypted_opens_with_its_key_only() {
        if !is_on_path("age-keygen") {
            // Without the program there is nothing to encrypt with either.
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let key_at = |name: &str| {
            let path = temp.path().join(name);
            let made = Command::new("age-keygen")
                .arg("-o")
                .arg(&path)
                .stderr(Stdio::null())
                .status();
            assert!(made.unwrap().success());
            path
        };
        let private_path = key_at("key");
        let mine = Key::at(&private_path).unwrap();
        let other = Key::at(&key_at("other")).unwrap();
        let entry = write(temp.path(), Some(&mine));
        assert_eq!(entry.path, "part/file.age");
        assert_eq!(read(temp.path(), &entry, Some(&mine)).unwrap(), TEXT);
        assert!(read(temp.path(), &entry, Some(&other)).is_err());
        assert!(
            read(temp.path(), &entry, None)
                .unwrap_err()
                .contains("no key")
        );
        // The public half closes and doesn't open.
        let public = Command::new("age-keygen")
            .arg("-y")
            .arg(&private_path)
            .output()
            .unwrap();
        let public_path = temp.path().join("public");
        fs::write(&public_path, public.stdout).unwrap();
        let public = Key::at(&public_path).unwrap();
        fs::remove_file(temp.path().join("part/file.age")).unwrap();
        let entry = write(temp.path(), Some(&public));
        assert!(
            read(temp.path(), &entry, Some(&public))
                .unwrap_err()
                .contains("public key")
        );
        assert_eq!(read(temp.path(), &entry, Some(&mine)).unwrap(), TEXT);
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        fs::write(&path, "# a remark\nhunter2\n").unwrap();
        let refused = Key::at(&path).unwrap_err().to_string();
        assert!(
            refused.contains("no age key") && !refused.contains("hunter2"),
            "{refused}"
        );
    }
}
