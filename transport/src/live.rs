//! Trust and policies that change while a process runs: read from files, and read again.
//!
//! A file that cannot be used when it is read again changes nothing but the log: what was read before still
//! holds. Replace a file by renaming a new one over it, so that nobody reads half of it.

use std::{
    fmt,
    fs::{self, Metadata},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use subrosa_protocol::identity::{Revoked, RevokedError, Trust, TrustError};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// How often the revocation file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A value that was given, or that stands in a file which can be read again. Clones share it.
pub struct Live<T>(Arc<Inner<T>>);

struct Inner<T> {
    now: watch::Sender<T>,
    file: Option<File<T>>,
}

struct File<T> {
    path: PathBuf,
    read: Box<Read<T>>,
    /// One reads at a time: who has read the file before it changed must not have the last word.
    turn: Mutex<()>,
}

type Read<T> = dyn Fn(&Path) -> Result<T, String> + Send + Sync;

impl<T: Clone> Live<T> {
    /// A value that stays as it is.
    pub fn given(value: T) -> Self {
        Self(Arc::new(Inner { now: watch::Sender::new(value), file: None }))
    }

    /// What `read` makes of the file at this path, now and whenever it is read again.
    ///
    /// # Errors
    ///
    /// A file that cannot be used now.
    pub fn file<E: fmt::Display>(
        path: impl Into<PathBuf>,
        read: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let path = path.into();
        let now = watch::Sender::new(read(&path)?);
        let read = Box::new(move |path: &Path| read(path).map_err(|error| error.to_string()));
        Ok(Self(Arc::new(Inner { now, file: Some(File { path, read, turn: Mutex::new(()) }) })))
    }

    /// The value now. Ask again for every decision.
    pub fn get(&self) -> T {
        self.0.now.borrow().clone()
    }

    /// Reads the file again. What cannot be used is logged as an error, and the value stays as it was.
    pub fn reload(&self) {
        let Some(File { path, read, turn }) = &self.0.file else { return };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        match read(path) {
            Ok(value) => {
                self.0.now.send_replace(value);
                tracing::info!(file = %path.display(), "read again");
            }
            Err(error) => {
                tracing::error!(
                    file = %path.display(), %error, "CANNOT BE READ AGAIN: what it said before still holds"
                );
            }
        }
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Live<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.file {
            Some(file) => write!(f, "Live({})", file.path.display()),
            None => f.write_str("Live(given)"),
        }
    }
}

/// Whom to trust: a trust file, without the keys in a revocation file. Clones share it.
#[derive(Clone, Debug)]
pub struct LiveTrust(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    trust: Live<Trust>,
    revoked: Option<RevokedFile>,
    both: watch::Sender<Trust>,
}

#[derive(Debug)]
struct RevokedFile {
    path: PathBuf,
    keys: Live<Revoked>,
    /// From before it was first read: what has changed since is seen at the first look.
    stamp: Stamp,
}

impl LiveTrust {
    /// Trust without a revocation file.
    pub fn new(trust: Live<Trust>) -> Self {
        Self::of(trust, None)
    }

    fn of(trust: Live<Trust>, revoked: Option<RevokedFile>) -> Self {
        let parts = Parts { both: watch::Sender::new(Trust::default()), trust, revoked };
        parts.join();
        Self(Arc::new(parts))
    }

    /// The trust file at this path.
    ///
    /// # Errors
    ///
    /// A file that cannot be used.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, TrustError> {
        Ok(Self::new(Live::file(path, |path| Trust::from_file(path))?))
    }

    /// The same, without the keys in the revocation file at this path; see [`LiveTrust::watch`].
    ///
    /// # Errors
    ///
    /// A file that cannot be used.
    pub fn with_revoked_file(self, path: impl Into<PathBuf>) -> Result<Self, RevokedError> {
        let path = path.into();
        let stamp = Stamp::of(&path);
        let keys = Live::file(&path, |path| Revoked::from_file(path))?;
        Ok(Self::of(self.0.trust.clone(), Some(RevokedFile { path, keys, stamp })))
    }

    /// Whom to trust now. Ask again for every decision.
    pub fn get(&self) -> Trust {
        self.0.both.borrow().clone()
    }

    /// Tells when it has changed.
    pub fn changes(&self) -> watch::Receiver<Trust> {
        self.0.both.subscribe()
    }

    /// Reads both files again; see [`Live::reload`].
    pub fn reload(&self) {
        self.0.trust.reload();
        if let Some(revoked) = &self.0.revoked {
            revoked.keys.reload();
        }
        self.0.join();
    }

    /// Looks at the revocation file once a second, and reads it again when it has changed. Without one, there
    /// is nothing to do; it never returns.
    pub async fn watch(&self) {
        let Some(revoked) = &self.0.revoked else { return std::future::pending().await };
        let mut seen = revoked.stamp;
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // From before it is read: what changes meanwhile is seen at the next look.
            let stamp = Stamp::of(&revoked.path);
            if stamp != seen {
                revoked.keys.reload();
                self.0.join();
                seen = stamp;
            }
        }
    }
}

impl From<Trust> for LiveTrust {
    fn from(trust: Trust) -> Self {
        Self::new(Live::given(trust))
    }
}

impl Parts {
    fn join(&self) {
        // One after the other, so that the last one has seen everything.
        self.both.send_modify(|both| {
            *both = match &self.revoked {
                Some(revoked) => self.trust.get().with_revoked(revoked.keys.get()),
                None => self.trust.get(),
            };
        });
    }
}

/// What tells one state of a file from another without reading it; none if there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(Option<SystemTime>, u64, u64)>);

impl Stamp {
    pub(crate) fn of(path: &Path) -> Self {
        let stamp = |metadata: Metadata| (metadata.modified().ok(), metadata.len(), inode(&metadata));
        Self(fs::metadata(path).ok().map(stamp))
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::SeqCst},
        thread,
    };

    use rand::{rand_core::UnwrapErr, rngs::SysRng};
    use subrosa_protocol::identity::{Role, SigningKey, Thumbprint};

    use super::*;

    /// Files of a test's own.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("subrosa-live-{}-{name}", std::process::id()));
            fs::create_dir_all(&directory).unwrap();
            Self(directory)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let (path, new) = (self.0.join(name), self.0.join("new"));
            fs::write(&new, text).unwrap();
            fs::rename(new, &path).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn launcher() -> (SigningKey, Trust) {
        let key = SigningKey::generate(&mut UnwrapErr(SysRng));
        let trust = Trust::default().with_key(key.public(), Role::Launcher, None);
        (key, trust)
    }

    #[test]
    fn a_bad_file_changes_nothing_and_a_good_one_counts_for_every_clone() {
        let files = Files::new("number");
        let path = files.write("number", "1");
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default().parse::<u32>();
        let live = Live::file(&path, read).unwrap();
        let clone = live.clone();
        files.write("number", "2");
        assert_eq!(live.get(), 1, "nobody has said that it is to be read");
        live.reload();
        assert_eq!(clone.get(), 2);
        for bad in ["", "three"] {
            files.write("number", bad);
            live.reload();
            assert_eq!(live.get(), 2);
        }
        fs::remove_file(&path).unwrap();
        live.reload();
        assert_eq!(live.get(), 2);
        assert!(Live::file(path, read).is_err(), "at the start there is nothing to keep");
    }

    #[test]
    fn who_has_read_before_a_change_does_not_have_the_last_word() {
        let reads = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let counts = reads.clone();
        let read = move |_: &Path| {
            let (inside, all) = &*counts;
            let number = all.fetch_add(1, SeqCst);
            let alone = inside.fetch_add(1, SeqCst) == 0;
            thread::yield_now();
            inside.fetch_sub(1, SeqCst);
            if alone { Ok(number) } else { Err("two read at once") }
        };
        let live = Live::file("number", read).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| live.reload()));
            }
        });
        assert_eq!(
            (live.get(), reads.1.load(SeqCst)),
            (8 * 500, 8 * 500 + 1),
            "each was read alone, in its turn"
        );
    }

    #[test]
    fn each_file_is_read_by_itself() {
        let files = Files::new("both");
        let ((old, trust), (new, other)) = (launcher(), launcher());
        let trust_file = files.write("trust", &trust.to_json());
        let revoked_file = files.write("revoked", "");
        let live = LiveTrust::from_file(trust_file).unwrap().with_revoked_file(revoked_file).unwrap();
        let is_trusted = |key: &SigningKey| live.get().launcher(&key.thumbprint()).is_ok();
        assert!(is_trusted(&old) && !is_trusted(&new));

        // What is wrong with one of them keeps nobody from reading the other.
        files.write("trust", "{");
        files.write("revoked", &old.thumbprint().to_string());
        live.reload();
        assert!(live.get().is_revoked(&old.thumbprint()) && !is_trusted(&old));
        files.write("trust", &other.to_json());
        files.write("revoked", "no thumbprint");
        live.reload();
        assert!(is_trusted(&new));
        assert!(live.get().is_revoked(&old.thumbprint()), "it stays revoked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_revocation_file_is_read_without_being_told() {
        let files = Files::new("watched");
        let (key, trust) = launcher();
        let revoked_file = files.write("revoked", "# none\n");
        let live = LiveTrust::from(trust).with_revoked_file(&revoked_file).unwrap();
        let mut changes = live.changes();
        let watching = live.clone();
        let _watch = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
            watching.watch().await;
        }));
        let until = async |changes: &mut watch::Receiver<Trust>, key: Thumbprint, is: bool| {
            changes.wait_for(|trust| trust.is_revoked(&key) == is).await.unwrap();
        };
        let line = format!("{}\n", key.thumbprint());
        files.write("revoked", &line);
        until(&mut changes, key.thumbprint(), true).await;
        // Gone, then bad: it is still revoked, and the next good file counts.
        fs::remove_file(&revoked_file).unwrap();
        changes.mark_unchanged();
        changes.changed().await.unwrap();
        assert!(live.get().is_revoked(&key.thumbprint()));
        files.write("revoked", "bad");
        changes.changed().await.unwrap();
        assert!(live.get().is_revoked(&key.thumbprint()));
        files.write("revoked", "# none\n");
        until(&mut changes, key.thumbprint(), false).await;
    }

    #[test]
    fn what_is_given_stays() {
        let (key, trust) = launcher();
        let live = LiveTrust::from(trust);
        live.reload();
        assert!(live.get().launcher(&key.thumbprint()).is_ok());
    }
}
