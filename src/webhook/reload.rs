//! Files that change while the program runs. They are read every few seconds and compared by
//! content: a mounted `ConfigMap` or Secret changes when a symbolic link is swapped, which watches
//! on a file's inode miss.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tokio::time::{MissedTickBehavior, interval};

/// Maximum size of a file; larger files are refused.
const LARGEST_FILE_BYTES: u64 = 16 << 20;

/// Files that belong together, with their content at the last check.
#[derive(Debug)]
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    last: Option<Result<Vec<Vec<u8>>, String>>,
}

impl Files {
    /// Creates a set of files that have not been read yet.
    #[must_use]
    pub(crate) fn new(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Self { paths, last: None }
    }

    /// Returns the content of the files, in the order of their paths, if it has changed.
    ///
    /// # Errors
    /// When a file can't be read; reported once, until the reason changes.
    pub(crate) fn changed(&mut self) -> Option<Result<&[Vec<u8>], &str>> {
        let now = self.read();
        if self.last.as_ref() == Some(&now) {
            return None;
        }
        let last = self.last.insert(now);
        Some(last.as_ref().map(Vec::as_slice).map_err(String::as_str))
    }

    /// Reads all files as of one moment: if one changed while the others were read, all are read
    /// again, up to three times.
    fn read(&self) -> Result<Vec<Vec<u8>>, String> {
        let mut contents = self.read_each()?;
        for _ in 0..3 {
            let again = self.read_each()?;
            if again == contents {
                break;
            }
            contents = again;
        }
        Ok(contents)
    }

    fn read_each(&self) -> Result<Vec<Vec<u8>>, String> {
        self.paths
            .iter()
            .map(|path| read(path).map_err(|error| format!("{}: {error}", path.display())))
            .collect()
    }
}

/// Calls `look` at this interval, forever. The first call is one interval from now.
pub(crate) async fn poll(every: Duration, mut look: impl FnMut()) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        look();
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > LARGEST_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        let mut files = Files::new([&first, &second]);
        assert!(files.changed().unwrap().unwrap_err().contains("a: No such file"));
        assert!(files.changed().is_none());
        fs::write(&first, "1").unwrap();
        assert!(files.changed().unwrap().unwrap_err().contains("b: No such file"));
        fs::write(&second, "2").unwrap();
        assert_eq!(files.changed(), Some(Ok(&[b"1".to_vec(), b"2".to_vec()][..])));
        assert!(files.changed().is_none());
        fs::write(&first, "1").unwrap();
        assert!(files.changed().is_none(), "the content is the same");
    }

    #[test]
    fn swapped_links_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("1", "old"), ("2", "new")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("tls.crt"), text).unwrap();
        }
        std::os::unix::fs::symlink("1", path("..data")).unwrap();
        std::os::unix::fs::symlink("..data/tls.crt", path("tls.crt")).unwrap();
        let mut files = Files::new([path("tls.crt")]);
        assert_eq!(files.changed(), Some(Ok(&[b"old".to_vec()][..])));
        std::os::unix::fs::symlink("2", path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
        assert_eq!(files.changed(), Some(Ok(&[b"new".to_vec()][..])));
    }
}
