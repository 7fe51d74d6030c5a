//! `qadom completions` and `qadom man`: what the definition of the command line says, for shells and
//! for `man`.

use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;
use qadom_node::Reason;

use crate::args::{Arguments, Completions, Man};
use crate::error::Failure;
use crate::output::{self, Output};

/// Prints the completions for a shell.
pub(super) fn completions(completions: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        completions.shell,
        &mut Arguments::command(),
        "qadom",
        &mut script,
    );
    output::bytes(&script)
}

/// Prints the page of the program, or writes its page and that of each verb into a folder.
pub(super) fn man(man: &Man, output: Output) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    command.build();
    let Some(folder) = &man.output else {
        let mut page = Vec::new();
        Page::new(command).render(&mut page)?;
        return output::bytes(&page);
    };
    let mut written = 0;
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let path = folder.join(format!("{}.1", name(&command)));
        let mut page = Vec::new();
        Page::new(command.clone()).render(&mut page)?;
        std::fs::write(&path, page).map_err(|error| {
            Failure::new(
                Reason::FolderUnusable,
                format!("cannot write {}: {error}", path.display()),
            )
            .with_advice("name a folder that exists and is yours")
        })?;
        written += 1;
        let verbs = command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help");
        waiting.extend(verbs.cloned());
    }
    output.note(&format!("{written} pages in {}", folder.display()));
    Ok(())
}

/// The name of a page: `qadom-dict-set` for `qadom dict set`.
fn name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned()
}
