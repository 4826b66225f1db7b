//! What the demo shows: one line for each thing that happened, and one live line where there is a terminal.
//!
//! Lines carry the time since the demo began. On a terminal the last line is rewritten in place with what
//! is going on; elsewhere, and with `--headless`, only what happened is written.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

const CLEAR_LINE: &str = "\r\x1b[2K";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
/// Acts are set in a column of this width.
const ACT_WIDTH: usize = 10;

#[derive(Debug)]
pub struct Terminal {
    start: Instant,
    live: bool,
    /// Whether the live line is on the screen now.
    dirty: bool,
}

impl Terminal {
    pub fn new(headless: bool) -> Self {
        Self {
            start: Instant::now(),
            live: !headless && stdout().is_terminal(),
            dirty: false,
        }
    }

    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Something happened.
    pub fn tell(&mut self, act: &str, what: &str) -> Result<()> {
        let (bold, plain) = if self.live { (BOLD, PLAIN) } else { ("", "") };
        let line = format!("{}  {bold}{act:<ACT_WIDTH$}{plain}  {what}", self.time());
        self.line(&line)
    }

    /// A line of its own, without a time.
    pub fn line(&mut self, text: &str) -> Result<()> {
        let clear = if self.dirty { CLEAR_LINE } else { "" };
        self.dirty = false;
        write(&format!("{clear}{text}\n"))
    }

    /// What is going on right now.
    pub fn status(&mut self, text: &str) -> Result<()> {
        if !self.live {
            return Ok(());
        }
        self.dirty = true;
        // A line that wraps could not be rewritten in place.
        let shown: String = format!("{}  {text}", self.time()).chars().take(width()).collect();
        write(&format!("{CLEAR_LINE}{shown}"))
    }

    fn time(&self) -> String {
        let seconds = self.start.elapsed().as_secs();
        format!("{:>2}:{:02}", seconds / 60, seconds % 60)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.dirty {
            // The end of the demo must not fail for want of a line break.
            let _ = write("\n");
        }
    }
}

/// Columns of the terminal, or what every terminal has.
fn width() -> usize {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the request writes one `winsize` at the pointer, which is to one that lives on.
    let answer = unsafe { libc::ioctl(stdout().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if answer == 0 && size.ws_col > 0 {
        usize::from(size.ws_col)
    } else {
        80
    }
}

fn write(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("write to standard output")
}
