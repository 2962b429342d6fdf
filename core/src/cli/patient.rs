//! Output to files that are not only ours. Another writer may have made them non-blocking,
//! as Node does with the pipe that its standard output is: a reader that is slow is waited
//! for. And what others print stands between lines, not within.

use std::io::{self, LineWriter, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// What goes through a pipe in one piece.
const ONE_PIECE: usize = 4096;

/// Writes whole lines, and waits where there is no room.
pub(super) fn patient<W: Write + AsFd>(out: W) -> LineWriter<impl Write> {
    LineWriter::with_capacity(ONE_PIECE, Patient(out))
}

struct Patient<W>(W);

impl<W: Write + AsFd> Patient<W> {
    fn insist<T>(&mut self, mut attempt: impl FnMut(&mut W) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {
                    let mut there = [PollFd::new(&self.0, PollFlags::OUT)];
                    match poll(&mut there, None) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(problem) => return Err(problem.into()),
                    }
                }
                done => return done,
            }
        }
    }
}

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.insist(|out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.insist(W::flush)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::sync::mpsc;

    use super::*;

    /// A pipe's end that tells when it had no room.
    struct Watched(io::PipeWriter, mpsc::Sender<()>);

    impl Write for Watched {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.0.write(bytes);
            if matches!(&written, Err(full) if full.kind() == io::ErrorKind::WouldBlock) {
                let _ = self.1.send(());
            }
            written
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    impl AsFd for Watched {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    /// Keeps what was written at once apart.
    struct Pieces(File, mpsc::Sender<Vec<u8>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsFd for Pieces {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    #[test]
    fn a_line_is_written_at_once() {
        let (tell, told) = mpsc::channel();
        let mut out = patient(Pieces(tempfile::tempfile().unwrap(), tell));
        for id in ["a", "b"] {
            writeln!(out, "{id} {} ms done", id.len()).unwrap();
        }
        drop(out);
        let pieces: Vec<_> = told.iter().collect();
        assert_eq!(pieces, [b"a 1 ms done\n", b"b 1 ms done\n"]);
    }

    #[test]
    fn a_slow_reader_of_a_pipe_that_does_not_block_gets_all() {
        let (mut reader, writer) = io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let (full, was_full) = mpsc::channel();
        let text = vec![b'a'; 1 << 20];
        let written = std::thread::spawn({
            let text = text.clone();
            move || patient(Watched(writer, full)).write_all(&text)
        });
        was_full.recv().unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        written.join().unwrap().unwrap();
        assert!(read == text);
    }
}
