//! A disk that can lose its power: an ext4 file system in an image file, mounted through a loop
//! device. What the file system holds in memory is not in the image file until it writes it, so a
//! copy of the image file is what a disk holds the moment the power goes.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use system_tests::wait::wait_for;

use crate::privileges::HOW;

/// Enough for an agent's reserve for deposits and its ballast.
const IMAGE_BYTES: u64 = 64 << 20;
/// A bare journal needs less, and its image is copied faster.
pub(crate) const SMALL_IMAGE_BYTES: u64 = 16 << 20;
/// The file system writes nothing by itself for this long, in seconds: what is on the disk is what
/// somebody has asked for. It does not write out a file because it was renamed or cut, either.
const MOUNT_OPTIONS: &str = "loop,noauto_da_alloc,commit=300";
/// How often a copy is made again that the file system has written into meanwhile.
const COPIES_MAX: usize = 5;
/// How long a process may take to stop: a write to the disk that is under way ends first.
const STOP_LIMIT: Duration = Duration::from_secs(10);
const CHUNK_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    mounted_at: PathBuf,
    cuts: usize,
}

impl Disk {
    /// An empty one, mounted at `mounted_at`, with its image files in `folder`.
    pub(crate) fn new(folder: &Path, mounted_at: &Path) -> Result<Self> {
        Self::of(folder, mounted_at, IMAGE_BYTES)
    }

    pub(crate) fn of(folder: &Path, mounted_at: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(folder)?;
        fs::create_dir_all(mounted_at)?;
        let disk = Self { folder: folder.to_owned(), mounted_at: mounted_at.to_owned(), cuts: 0 };
        File::create_new(disk.image())?.set_len(bytes)?;
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-m", "0", "-J", "size=4"]).arg(disk.image());
        run(&mut make).context(HOW)?;
        disk.mount().context(HOW)?;
        Ok(disk)
    }

    /// The power goes while the writer is stopped: what the image holds now is kept, `end` ends the
    /// writer, and what it had in memory is gone.
    pub(crate) async fn cut(&mut self, end: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let (before, after) = (self.image(), self.image_of(self.cuts + 1));
        copy(&before, &after)?;
        end().await?;
        self.unmount()?;
        fs::remove_file(before)?;
        self.cuts += 1;
        self.mount()
    }

    fn image(&self) -> PathBuf {
        self.image_of(self.cuts)
    }

    fn image_of(&self, cuts: usize) -> PathBuf {
        self.folder.join(format!("disk-{cuts}.img"))
    }

    fn mount(&self) -> Result<()> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", MOUNT_OPTIONS]).arg(self.image()).arg(&self.mounted_at);
        run(&mut mount)
    }

    fn unmount(&self) -> Result<()> {
        run(Command::new("umount").arg(&self.mounted_at))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whatever still stands, the end of the namespace unmounts.
        if self.unmount().is_err() {
            let _ = run(Command::new("umount").arg("--lazy").arg(&self.mounted_at));
        }
    }
}

/// Stops every thread of a process, in the middle of whatever it does.
pub(crate) async fn stop(process: u32) -> Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).context("no process")?;
    kill_process(pid, Signal::STOP)?;
    wait_for("every thread has stopped", STOP_LIMIT, async || {
        let mut all = true;
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
            // `tid (name) state ...`, and a name may hold anything.
            let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
            all &= matches!(state, Some('T' | 'Z' | 'X'));
        }
        Ok(all.then_some(()))
    })
    .await
}

/// Copies an image so that it is of one moment.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for _ in 0..COPIES_MAX {
        fs::copy(from, to)?;
        if same(from, to)? {
            return Ok(());
        }
    }
    bail!("the file system goes on writing although its writer is stopped")
}

fn same(one: &Path, other: &Path) -> Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    let (mut left, mut right) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(other.read(&mut right)? == 0);
        }
        other.read_exact(&mut right[..read])?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} ended with {}: {}", output.status, said.trim());
    Ok(())
}
