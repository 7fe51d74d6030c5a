//! The settings of a daemon: flags over the environment over `qadom.toml` over defaults.
//!
//! What must stay true: each flag of `qadom node` is a setting of the file unless [`NO_SETTINGS`] names
//! it, so that a new flag is a setting from its first day; what the file says is checked as the flag
//! is; what is wrong in it is told with its line. What the settings mean is not here.

use std::ffi::OsString;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::Path;

use clap::builder::OsStr;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use qadom_node::Reason;
use toml::de::{DeTable, DeValue};

use crate::args::{Arguments, Node, Verb};
use crate::error::Failure;

/// The flags of `qadom node` that say where the settings are and what to do with them.
const NO_SETTINGS: [&str; 4] = ["config", "print_config", "detach", "help"];

/// The verb that the settings are for.
const NODE: &str = "node";

/// Names that are nearer than this to a wrong one are offered in its place, as clap does.
const NEAR: f64 = 0.7;

/// The name of the settings file in the data folder.
const FILE: &str = "qadom.toml";

/// Reads the command line once more, with what the settings file says for whatever neither the line
/// nor the environment does. `folder` is the data folder.
pub(crate) fn read(node: &Node, folder: &Path, line: Vec<OsString>) -> Result<Settings, Failure> {
    let path = node
        .start
        .config
        .clone()
        .unwrap_or_else(|| folder.join(FILE));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        // A data folder that is none is told as such when it is opened.
        Err(error) if is_absent(&error) && node.start.config.is_none() => String::new(),
        Err(error) => {
            let message = format!("cannot read the settings in {}: {error}", path.display());
            return Err(Failure::new(Reason::Usage, message)
                .with_advice("name another file with --config, or mend this one"));
        }
    };
    let mut command = SettingsFile::parse(&path, &text)?.set(Arguments::command());
    let matches = command.try_get_matches_from_mut(line);
    let mut matches = matches.map_err(|error| Failure::from_clap(&error))?;
    let arguments = Arguments::from_arg_matches(&matches);
    let arguments = arguments.map_err(|error| Failure::from_clap(&error))?;
    match (arguments.verb, matches.remove_subcommand()) {
        (Verb::Node(node), Some((_, matches))) => Ok(Settings {
            node: *node,
            matches,
        }),
        _ => Err(Failure::new(
            Reason::Internal,
            "the command line was read in two ways",
        )),
    }
}

/// The settings of a daemon, and where each came from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) node: Node,
    matches: ArgMatches,
}

impl Settings {
    /// The settings in force as a settings file, each with what it means.
    pub(crate) fn print(&self) -> String {
        let mut text = String::from(
            "# The settings of `qadom node`. Flags stand over the environment, that over this file, that\n\
             # over the defaults. What stands behind a # is not set.\n",
        );
        for setting in node_command()
            .get_arguments()
            .filter(|setting| is_setting(setting))
        {
            let help = setting.get_help().map(ToString::to_string);
            let (help, flag) = (help.unwrap_or_default(), flag(setting));
            let name = setting.get_id();
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "\n# {help}.\n# Flag --{flag}, {}.",
                environment(setting)
            );
            let _ = match self.value(setting) {
                Some(value) => writeln!(text, "{name} = {value}"),
                None => writeln!(text, "# {name} ="),
            };
        }
        text
    }

    /// What is in force for a setting, as it stands in a settings file.
    fn value(&self, setting: &Arg) -> Option<String> {
        let values = self.matches.get_raw(setting.get_id().as_str())?;
        let values = values.map(|value| literal(&value.to_string_lossy()));
        let values = values.collect::<Vec<_>>();
        if is_list(setting) {
            Some(format!("[{}]", values.join(", ")))
        } else {
            values.into_iter().next_back()
        }
    }
}

/// What a settings file says: each setting as it would be typed.
#[derive(Debug)]
struct SettingsFile(Vec<(String, Vec<String>)>);

impl SettingsFile {
    fn parse(path: &Path, text: &str) -> Result<Self, Failure> {
        let wrong = |offset: usize, problem: &str, advice: String| {
            let line = text.get(..offset).unwrap_or(text).matches('\n').count() + 1;
            let message = format!("{}, line {line}: {problem}", path.display());
            Failure::new(Reason::Usage, message).with_advice(advice)
        };
        let table = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let advice = "`qadom node --print-config` prints a file to begin with";
            wrong(offset, error.message(), advice.to_owned())
        })?;
        let command = node_command();
        let mut settings = Vec::new();
        for (key, value) in table.get_ref() {
            let (offset, name) = (key.span().start, key.get_ref());
            let mut known = command
                .get_arguments()
                .filter(|setting| is_setting(setting));
            let Some(setting) = known.find(|setting| setting.get_id() == name.as_ref()) else {
                let problem = format!("there is no setting {name}");
                return Err(wrong(offset, &problem, nearest(&command, name)));
            };
            let texts = check(&command, setting, value.get_ref())
                .map_err(|(problem, advice)| wrong(offset, &problem, advice))?;
            settings.push((name.to_string(), texts));
        }
        Ok(Self(settings))
    }

    /// Makes the settings the defaults of their flags.
    fn set(self, command: Command) -> Command {
        self.0.into_iter().fold(command, |command, (name, texts)| {
            let texts = texts.into_iter().map(OsStr::from);
            command.mut_subcommand(NODE, |node| {
                node.mut_arg(name, |setting| setting.default_values(texts))
            })
        })
    }
}

/// The definition of `qadom node`.
fn node_command() -> Command {
    let found = Arguments::command().find_subcommand(NODE).cloned();
    found.unwrap_or_default()
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn is_setting(setting: &Arg) -> bool {
    !NO_SETTINGS.contains(&setting.get_id().as_str())
}

/// Whether a setting takes several values.
fn is_list(setting: &Arg) -> bool {
    matches!(setting.get_action(), ArgAction::Append)
}

fn is_switch(setting: &Arg) -> bool {
    matches!(setting.get_action(), ArgAction::SetTrue)
}

fn flag(setting: &Arg) -> &str {
    setting.get_long().unwrap_or_default()
}

fn environment(setting: &Arg) -> String {
    let name = setting.get_env().map(|name| name.to_string_lossy());
    name.map_or_else(
        || "no variable".to_owned(),
        |name| format!("variable {name}"),
    )
}

/// What to write in place of a name that is none.
fn nearest(command: &Command, name: &str) -> String {
    let known = command
        .get_arguments()
        .filter(|setting| is_setting(setting));
    let near = known.map(|setting| {
        let id = setting.get_id().as_str();
        (strsim::jaro(id, name), id)
    });
    match near.max_by(|one, other| one.0.total_cmp(&other.0)) {
        Some((nearness, id)) if nearness > NEAR => format!("did you mean {id}?"),
        _ => "`qadom node --print-config` prints every setting".to_owned(),
    }
}

/// Checks a value as the command line would, and gives it as it would be typed there; else what is
/// wrong, and what to do.
fn check(
    command: &Command,
    setting: &Arg,
    value: &DeValue<'_>,
) -> Result<Vec<String>, (String, String)> {
    let advice = || format!("`qadom help node` describes --{}", flag(setting));
    let name = setting.get_id();
    let texts = match value {
        DeValue::Array(values) if is_list(setting) => {
            values.iter().map(|value| text(value.get_ref())).collect()
        }
        value => text(value).map(|text| vec![text]),
    };
    let Some(texts) = texts else {
        let problem = format!("{name} takes no table, and no list unless several are allowed");
        return Err((problem, advice()));
    };
    if is_switch(setting) {
        if matches!(value, DeValue::Boolean(_)) {
            return Ok(texts);
        }
        return Err((format!("{name} takes true or false"), advice()));
    }
    let alone = command
        .clone()
        .no_binary_name(true)
        .mut_args(|setting| setting.env(None::<&'static str>));
    let line = texts
        .iter()
        .map(|text| format!("--{}={text}", flag(setting)));
    match alone.try_get_matches_from(line) {
        // That it does not stand alone is no fault of the value.
        Err(error) if error.kind() != clap::error::ErrorKind::MissingRequiredArgument => {
            let failure = Failure::from_clap(&error);
            Err((failure.to_string(), advice()))
        }
        _ => Ok(texts),
    }
}

/// A value of the file as it would be typed; none for lists and tables.
fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(is_true) => Some(is_true.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// A typed value as it stands in a file: bare when it is a number or a truth value.
fn literal(text: &str) -> String {
    if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() {
        text.to_owned()
    } else {
        toml::Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests;
