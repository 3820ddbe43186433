//! The signs a drawing is made of, and their colours.

use std::env;
use std::io::IsTerminal;

use super::Options;

/// When to use colours, as the environment says: no-color.org first, then force-color.org, then
/// terminals that are not dumb. Read where nobody changes the environment meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Whatever the stream is.
    Never,
    /// Whatever the stream is.
    Always,
    /// If the stream is one.
    OnTerminals,
}

impl Colours {
    /// What the environment of this process says.
    pub fn from_environment() -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        if is_set("NO_COLOR") {
            Self::Never
        } else if is_set("FORCE_COLOR") {
            Self::Always
        } else if env::var_os("TERM").is_some_and(|terminal| terminal == "dumb") {
            Self::Never
        } else {
            Self::OnTerminals
        }
    }

    /// Whether what is written to `stream` gets them.
    pub fn on(self, stream: &impl IsTerminal) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::OnTerminals => stream.is_terminal(),
        }
    }
}

/// Every sign, in one of two alphabets. Guides are three columns wide, all else but `more` is one.
pub(super) struct Signs {
    pub branch: &'static str,
    pub last_branch: &'static str,
    pub guide: &'static str,
    pub bar: &'static str,
    pub side_bar: &'static str,
    pub instant: &'static str,
    pub failed: &'static str,
    pub slow: &'static str,
    pub orphan: &'static str,
    pub more: &'static str,
    pub event: &'static str,
    pub link: &'static str,
}

const UNICODE: Signs = Signs {
    branch: "├─ ",
    last_branch: "└─ ",
    guide: "│  ",
    bar: "█",
    side_bar: "░",
    instant: "▏",
    failed: "✖",
    slow: "◀",
    orphan: "?",
    more: "…",
    event: "•",
    link: "→",
};

const ASCII: Signs = Signs {
    branch: "|- ",
    last_branch: "`- ",
    guide: "|  ",
    bar: "#",
    side_bar: "-",
    instant: "|",
    failed: "x",
    slow: "<",
    orphan: "?",
    more: "...",
    event: "*",
    link: ">",
};

pub(super) fn signs(ascii: bool) -> &'static Signs {
    if ascii { &ASCII } else { &UNICODE }
}

/// What a piece of a drawing means, for those who see colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Title,
    Failed,
    Slow,
    Faint,
}

impl Options {
    /// `text` in the colour of `ink`, without touching its blank margins.
    pub(super) fn paint(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Plain => return text.into(),
            Ink::Title => "1",
            Ink::Failed => "31",
            Ink::Slow => "33",
            Ink::Faint => "2",
        };
        if !self.colour || text.trim().is_empty() {
            return text.into();
        }
        let inner = text.trim();
        let start = text.len() - text.trim_start().len();
        format!(
            "{}\x1b[{code}m{inner}\x1b[0m{}",
            &text[..start],
            &text[start + inner.len()..]
        )
    }
}
