//! Writing large new files past the cache of the system, on a thread of their own: the disk writes while the session reads, nothing
//! is left to be flushed at the end, and a large file drives out nothing that others had in the cache.
//!
//! Where the system cannot, there is none of it, and files are written as all others are.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// From how many bytes on it pays.
pub(super) const FROM: u64 = 32 * 1024 * 1024;
/// How much is written at once, in bytes.
const PIECE: usize = 4 * 1024 * 1024;
/// How many pieces a file has in memory: one is filled, one is written, one waits.
const PIECES: usize = 3;
/// Where the pieces are in memory and in the file, in bytes: what every disk is content with.
const ALIGN: usize = 4096;
/// How many files are written so at once: each has its pieces in memory.
const MOST: usize = 4;

static WRITERS: AtomicUsize = AtomicUsize::new(0);

/// What is written to one file, from its beginning on.
pub(super) struct Direct {
    file: File,
    filling: Piece,
    /// How many pieces were made.
    pieces: usize,
    to_disk: Option<SyncSender<Piece>>,
    /// Pieces that are written, to be filled again.
    written: Receiver<Piece>,
    writer: Option<JoinHandle<io::Result<()>>>,
    _place: Place,
}

/// A piece of the file. What it has begins where the memory is aligned.
struct Piece {
    memory: Vec<u8>,
    begin: usize,
    filled: usize,
    /// Where in the file it belongs.
    at: u64,
}

impl Direct {
    /// Begins to write a file that is empty. `None`: it is written as all others are.
    pub(super) fn begin(file: &File) -> Option<Self> {
        let place = Place::take()?;
        let file = file.try_clone().ok()?;
        if !bypass_cache(&file, true) {
            return None;
        }
        let (to_disk, pieces) = sync_channel::<Piece>(PIECES);
        let (back, written) = channel();
        let mut direct = Self {
            filling: Piece::new(),
            pieces: 1,
            to_disk: Some(to_disk),
            written,
            writer: None,
            _place: place,
            file,
        };
        let file = direct.file.try_clone().ok()?;
        let writer = std::thread::Builder::new().name("disk".into());
        direct.writer = Some(writer.spawn(move || write_pieces(&file, &pieces, &back)).ok()?);
        Some(direct)
    }

    /// Appends bytes. An error is of these or of those before.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            bytes = self.filling.fill(bytes);
            if self.filling.filled == PIECE {
                let next = self.next_piece()?;
                let full = std::mem::replace(&mut self.filling, next);
                if self.to_disk.as_ref().is_none_or(|to_disk| to_disk.send(full).is_err()) {
                    return Err(self.failure());
                }
            }
        }
        Ok(())
    }

    /// Writes what is left. The file is one as all others from then on.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.to_disk = None;
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let result = writer.join().unwrap_or_else(|_| Err(io::Error::other("the writing thread panicked")));
        bypass_cache(&self.file, false);
        result?;
        let Piece { begin, filled, at, .. } = self.filling;
        write_at(&self.file, &self.filling.memory[begin..begin + filled], at)
    }

    fn next_piece(&mut self) -> io::Result<Piece> {
        let at = self.filling.at + PIECE as u64;
        let reused = if self.pieces < PIECES {
            self.written.try_recv().ok()
        } else {
            Some(self.written.recv().map_err(|_| self.failure())?)
        };
        let piece = reused.unwrap_or_else(|| {
            self.pieces += 1;
            Piece::new()
        });
        Ok(Piece { at, filled: 0, ..piece })
    }

    /// Why the thread writes nothing more.
    fn failure(&mut self) -> io::Error {
        self.end().err().unwrap_or_else(|| io::Error::other("the writing thread ended"))
    }
}

impl Drop for Direct {
    /// What came is in the file, for a later session.
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Piece {
    fn new() -> Self {
        let memory = vec![0; PIECE + ALIGN];
        let begin = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, begin, filled: 0, at: 0 }
    }

    /// Returns what does not fit.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.filled));
        let from = self.begin + self.filled;
        self.memory[from..from + now.len()].copy_from_slice(now);
        self.filled += now.len();
        later
    }
}

/// The work of the thread.
fn write_pieces(file: &File, pieces: &Receiver<Piece>, back: &Sender<Piece>) -> io::Result<()> {
    while let Ok(piece) = pieces.recv() {
        let bytes = &piece.memory[piece.begin..piece.begin + piece.filled];
        match write_at(file, bytes, piece.at) {
            // It wants another alignment.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                bypass_cache(file, false);
                write_at(file, bytes, piece.at)?;
            }
            result => result?,
        }
        let _ = back.send(piece);
    }
    Ok(())
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn write_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the system does so.
#[cfg(target_os = "linux")]
fn bypass_cache(file: &File, bypass: bool) -> bool {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let set = |mut flags: OFlags| {
        flags.set(OFlags::DIRECT, bypass);
        fcntl_setfl(file, flags)
    };
    fcntl_getfl(file).and_then(set).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn bypass_cache(_: &File, _: bool) -> bool {
    false
}

/// One of the [`MOST`].
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let more = |writers: usize| (writers < MOST).then_some(writers + 1);
        WRITERS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        WRITERS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * 7 + at / 4096) % 251).unwrap()).collect()
    }

    /// `None` where the file system of temporary files cannot.
    fn written(bytes: &[u8], at_once: usize, ended: bool) -> Option<Vec<u8>> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let mut direct = Direct::begin(&file)?;
        bytes.chunks(at_once).for_each(|chunk| direct.write(chunk).unwrap());
        if ended {
            direct.end().unwrap();
        }
        drop(direct);
        Some(std::fs::read(path).unwrap())
    }

    #[test]
    fn all_that_was_written_is_in_the_file() {
        for length in [0, 1, ALIGN, PIECE - 1, PIECE, PIECE + 1, 4 * PIECE + 12_345] {
            let bytes = content(length);
            for (at_once, ended) in [(262_144, true), (100_001, false)] {
                if let Some(written) = written(&bytes, at_once, ended) {
                    assert!(written == bytes, "{length} bytes, {at_once} at once");
                }
            }
        }
    }

    #[test]
    fn who_cannot_write_says_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        std::fs::write(&path, b"").unwrap();
        let Some(mut direct) = Direct::begin(&File::open(&path).unwrap()) else { return };
        let wrote = (0..8).try_for_each(|_| direct.write(&content(PIECE)));
        assert!(wrote.is_err() || direct.end().is_err());
    }
}
