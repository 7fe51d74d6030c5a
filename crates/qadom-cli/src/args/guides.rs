//! Arguments of the verbs that describe the command itself.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `qadom completions`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    qadom completions bash > ~/.local/share/bash-completion/completions/qadom\n  \
    qadom completions zsh > ~/.zfunc/_qadom\n  \
    qadom completions fish > ~/.config/fish/completions/qadom.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// `qadom man`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qadom man | man -l -\n  \
    qadom man --output /usr/local/share/man/man1")]
pub(crate) struct Man {
    /// Write a page for each verb into this folder, which must exist
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
