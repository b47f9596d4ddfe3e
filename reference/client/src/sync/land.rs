//! Putting small files on disk beside the thread of the session, which goes on reading: to make a file takes a system longer
//! than to receive it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use meshproof_proto::requirement::{self as req, demand};
use meshproof_proto::storage::MediaHash;

use super::Folder;
use super::fetch::{Fetched, Want};
use crate::error::{Error, Result};

/// With more threads, they wait for each other.
const THREADS: usize = 4;
/// How many files a thread takes at once, and tells of: to wake another costs as much as a part of its work.
const TOGETHER: usize = 32;

/// A file all of which came, and was not looked at.
pub(super) struct Small {
    pub(super) want: Want,
    pub(super) hash: MediaHash,
    pub(super) content: Vec<u8>,
}

type Job = (Arc<Folder>, Small);
/// With the bytes that the file has.
type Landed = (u64, Result<Fetched>);

/// The files that are being put on disk.
pub(super) struct Landing {
    folders: Vec<Arc<Folder>>,
    /// Those that no thread has yet.
    next: Vec<Job>,
    /// There are threads from the first file on.
    jobs: Option<Sender<Vec<Job>>>,
    tell: Option<Sender<Vec<Landed>>>,
    landed: Receiver<Vec<Landed>>,
    /// What was told, and nobody took.
    told: VecDeque<Landed>,
    threads: Vec<JoinHandle<()>>,
    under_way: usize,
    bytes: u64,
}

impl Landing {
    /// For the folders of a session, by their numbers.
    pub(super) fn new(folders: Vec<Arc<Folder>>) -> Self {
        let (tell, landed) = channel();
        let (next, told, threads) = (Vec::new(), VecDeque::new(), Vec::new());
        Self { folders, next, jobs: None, tell: Some(tell), landed, told, threads, under_way: 0, bytes: 0 }
    }

    /// Verifies a file and puts it on disk, soon.
    pub(super) fn put(&mut self, small: Small) {
        (self.under_way, self.bytes) = (self.under_way + 1, self.bytes + small.content.len() as u64);
        let folder = self.folders[small.want.folder].clone();
        self.next.push((folder, small));
        if self.next.len() >= TOGETHER {
            self.hurry();
        }
    }

    /// Waits for no more files: nothing else comes now.
    pub(super) fn hurry(&mut self) {
        if self.next.is_empty() {
            return;
        }
        if self.jobs.is_none() {
            self.start();
        }
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(std::mem::take(&mut self.next));
        }
    }

    /// How many bytes are not on disk yet.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is on disk now. `None`: nothing more.
    pub(super) fn next(&mut self) -> Option<Result<Fetched>> {
        if self.told.is_empty() {
            self.told.extend(self.landed.try_recv().ok()?);
        }
        self.take()
    }

    /// The same; waits for one, if any is under way.
    pub(super) fn wait(&mut self) -> Option<Result<Fetched>> {
        if self.under_way == 0 {
            return None;
        }
        self.hurry();
        if self.told.is_empty() {
            let ended = || vec![(self.bytes, Err(Error::Peer("the writing threads ended")))];
            self.told.extend(self.landed.recv().unwrap_or_else(|_| ended()));
        }
        self.take()
    }

    fn take(&mut self) -> Option<Result<Fetched>> {
        let (bytes, result) = self.told.pop_front()?;
        (self.under_way, self.bytes) = (self.under_way - 1, self.bytes - bytes);
        Some(result)
    }

    fn start(&mut self) {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let tell = self.tell.take();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        for _ in 0..threads {
            let (queue, tell) = (queue.clone(), tell.clone());
            self.threads
                .push(std::thread::spawn(move || tell.into_iter().for_each(|tell| work(&queue, &tell))));
        }
        self.jobs = Some(jobs);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.jobs = None;
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn work(queue: &Mutex<Receiver<Vec<Job>>>, tell: &Sender<Vec<Landed>>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(jobs) = next else { return };
        let landed = jobs.into_iter().map(|(folder, small)| {
            let bytes = small.content.len() as u64;
            let landed = catch_unwind(AssertUnwindSafe(|| land(&folder, small)));
            (bytes, landed.unwrap_or(Err(Error::Peer("a writing thread panicked"))))
        });
        if tell.send(landed.collect()).is_err() {
            return;
        }
    }
}

fn land(folder: &Folder, small: Small) -> Result<Fetched> {
    let Small { want, hash, content } = small;
    demand(MediaHash::of(&content) == hash, req::SYN_030)?;
    let mut file = folder.temp_file()?;
    file.write_hashed(&content)?;
    let ready = file.finish(want.theirs.mode, want.theirs.mtime)?;
    Ok(Fetched::Complete(want, ready))
}

#[cfg(test)]
mod tests {
    use meshproof_proto::codec::Id;
    use meshproof_proto::crypto::{DEFAULT, Secret};
    use meshproof_proto::sync::{Item, Kind};

    use super::*;
    use crate::sync::{Direction, Index, Signer, sample};

    fn small(name: &str, content: &[u8], hash: MediaHash) -> Small {
        let theirs =
            Item { kind: Kind::File { size: content.len() as u64, hash }, ..sample::file(name, content) };
        Small { want: Want { folder: 0, theirs }, hash, content: content.to_vec() }
    }

    #[test]
    fn what_is_right_is_put_on_disk_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("folder");
        std::fs::create_dir(&root).unwrap();
        let index = Arc::new(Index::open(&home.path().join("index.db")).unwrap());
        let signer = Arc::new(Signer::new(DEFAULT, Id([1; 16]), &Secret::new([1; 32])));
        let folder = Folder::open(Id([7; 16]), signer, &root, Direction::Both, index).unwrap();
        let mut landing = Landing::new(vec![Arc::new(folder)]);
        assert!(landing.wait().is_none());
        for number in 0..100_u8 {
            // Each tenth is not what it should be.
            let hash = MediaHash::of(&[if number % 10 == 0 { 200 } else { number }; 1_000]);
            landing.put(small(&number.to_string(), &[number; 1_000], hash));
        }
        assert!(landing.bytes() <= 100_000);
        let (mut ready, mut refused) = (Vec::new(), 0);
        while let Some(landed) = landing.wait() {
            match landed {
                Ok(Fetched::Complete(want, content)) => ready.push((want, content)),
                Ok(_) => panic!("a file that is not complete"),
                Err(error) => {
                    assert_eq!(error.requirement(), Some(req::SYN_030));
                    refused += 1;
                }
            }
        }
        assert_eq!((ready.len(), refused, landing.bytes()), (90, 10, 0));
        for (want, content) in &mut ready {
            let target = root.join(want.theirs.path.as_str());
            content.place(&target).unwrap();
            let number: u8 = want.theirs.path.as_str().parse().unwrap();
            assert_eq!(std::fs::read(&target).unwrap(), [number; 1_000]);
        }
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 90, "what was refused left nothing");
    }
}
