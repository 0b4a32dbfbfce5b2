//! The person at the locker: told what happens, asked what only a person sees.

use std::io;

use thiserror::Error;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, Lines};

use super::bench::{Bench, BenchError};

/// Why nobody can be asked.
#[derive(Debug, Error)]
pub enum InstallerError {
    #[error("the terminal was closed")]
    Gone,
    #[error("the terminal fails")]
    Terminal(#[source] io::Error),
    #[error("the lock boards were lost while waiting for an answer")]
    Bench(#[source] BenchError),
}

pub(super) struct Installer<R, W> {
    input: Lines<R>,
    output: W,
}

impl<R: AsyncBufRead + Unpin, W: AsyncWrite + Unpin> Installer<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self { input: input.lines(), output }
    }

    pub(super) async fn say(&mut self, text: &str) -> Result<(), InstallerError> {
        let line = format!("{text}\n");
        self.output.write_all(line.as_bytes()).await.map_err(InstallerError::Terminal)?;
        self.output.flush().await.map_err(InstallerError::Terminal)
    }

    pub(super) async fn await_enter(
        &mut self,
        text: &str,
        bench: &mut Bench,
    ) -> Result<(), InstallerError> {
        self.say(text).await?;
        self.line(bench).await.map(drop)
    }

    /// A question that is asked until it is answered with yes or no.
    pub(super) async fn ask(
        &mut self,
        question: &str,
        bench: &mut Bench,
    ) -> Result<bool, InstallerError> {
        loop {
            self.say(question).await?;
            match self.line(bench).await?.trim() {
                "y" | "Y" | "yes" => return Ok(true),
                "n" | "N" | "no" => return Ok(false),
                _ => {}
            }
        }
    }

    /// The next line; the boards are listened to meanwhile.
    async fn line(&mut self, bench: &mut Bench) -> Result<String, InstallerError> {
        tokio::select! {
            line = self.input.next_line() => {
                line.map_err(InstallerError::Terminal)?.ok_or(InstallerError::Gone)
            }
            error = bench.keep_up() => Err(InstallerError::Bench(error)),
        }
    }
}
