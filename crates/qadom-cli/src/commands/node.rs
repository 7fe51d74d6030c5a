//! `qadom node`: a daemon in this process, until it is asked to stop.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use qadom_http::{Gateway, TcpSettings, Tls, Token};
use qadom_node::{Builder, JoinProblem, Mode, Reason, StopReason};

use super::daemon::Daemon;
use super::{data_dir, socket};
use crate::args::{Global, Node};
use crate::error::Failure;
use crate::output::Output;
use crate::signals::Signals;
use crate::supervision;
use crate::texts::counted;

/// The variable with the secret of a private network; a flag would show it to every user.
const SECRET: &str = "QADOM_NETWORK_SECRET";

/// The fewest bytes that make a secret.
const SECRET_MIN: usize = 32;

/// Runs the daemon; returns when it was stopped, or fails when it could not go on.
pub(super) async fn run(arguments: Node, global: &Global, output: Output) -> anyhow::Result<()> {
    let folder = data_dir(global)?;
    let socket = socket(global)?;
    let is_first = arguments.join.is_empty();
    let is_memory = arguments.memory;
    let http = http(&arguments)?;
    if let Some(http) = &http {
        http.check().map_err(Failure::from)?;
    }
    let gateway = arguments.gateway;
    let builder = builder(arguments, &folder)?;
    let mut signals = Signals::new()?;
    qadom_node::raise_open_files();
    if !folder.join("node.key").exists() {
        output.note(&format!(
            "first start: making a node key in {}",
            folder.display()
        ));
    }
    let daemon = tokio::select! {
        daemon = start(builder, &socket, http.as_ref()) => daemon?,
        signal = signals.next() => {
            output.note(&format!("{signal}: not started"));
            return Ok(());
        }
    };
    if daemon.node().status().await.map_err(Failure::from)?.local {
        output.note("local mode: no limits by address group");
    }
    if is_first {
        output.note(&format!(
            "others join by: qadom node --join {}",
            daemon.node().address()
        ));
    }
    let gateway = match gateway {
        Some(address) => Some(self::gateway(&daemon, address, output).await?),
        None => None,
    };
    daemon.announce(output)?;
    let supervised = supervision::ready(daemon.node());

    let (stopped, is_signalled) = tokio::select! {
        stopped = daemon.node().stopped() => (stopped, false),
        signal = signals.next() => {
            output.note(&format!(
                "{signal}: finishing what is under way, handing over what is held for others (once \
                 more skips that), committing the store, saving the contacts"
            ));
            (StopReason::Asked, true)
        }
    };
    drop(supervised);
    supervision::stopping();
    match gateway {
        Some(gateway) => {
            tokio::join!(gateway.close(), daemon.drain());
        }
        None => daemon.drain().await,
    }
    if is_signalled {
        hand_over(&daemon, &mut signals, output).await;
    }
    // All bounded in time, so that another signal need not cut it short.
    daemon.close().await;
    if stopped != StopReason::Asked {
        return Err(failure(&stopped).into());
    }
    output.note(&what_is_kept(is_memory, &folder));
    Ok(())
}

/// What remains of a daemon that ended as it should, for people.
fn what_is_kept(is_memory: bool, folder: &Path) -> String {
    if is_memory {
        return "stopped: the records were in memory".to_owned();
    }
    let folder = folder.display();
    format!("stopped: what was acknowledged is kept in {folder}")
}

/// Has the node bring what it holds to others, unless one more signal skips that.
async fn hand_over(daemon: &Daemon, signals: &mut Signals, output: Output) {
    tokio::select! {
        brought = daemon.leave() => output.note(&brought_away(brought)),
        signal = signals.next() => output.note(&format!("{signal}: handing nothing over")),
    }
}

/// What became of the hand-over, for people.
fn brought_away(slots: Option<u64>) -> String {
    match slots {
        Some(0) => "there was nothing to hand over, or nobody to take it".to_owned(),
        Some(slots) => format!("other nodes have {slots} slots that were held here"),
        None => {
            "not everything was handed over: too few nodes answered, or not in time; what other \
                 nodes hold of it stays alive"
                .to_owned()
        }
    }
}

async fn start(
    builder: Builder,
    socket: &Path,
    http: Option<&TcpSettings>,
) -> Result<Daemon, Failure> {
    let daemon = Daemon::start(builder, socket).await?;
    match http {
        Some(http) => daemon.listen(http).await,
        None => Ok(daemon),
    }
}

/// How the control API is served on TCP, if it is.
fn http(arguments: &Node) -> Result<Option<TcpSettings>, Failure> {
    let usage = |message: &str, advice| Failure::new(Reason::Usage, message).with_advice(advice);
    let tls = match (&arguments.http_cert, &arguments.http_key) {
        (Some(certificate), Some(key)) => {
            let client_ca = arguments.http_client_ca.as_deref();
            Some(Tls::load(certificate, key, client_ca)?)
        }
        (None, None) if arguments.http_client_ca.is_none() => None,
        _ => {
            return Err(usage(
                "a certificate, its key and client authorities belong together",
                "give --http-cert and --http-key, or neither",
            ));
        }
    };
    let token = arguments
        .http_token_file
        .as_deref()
        .map(token)
        .transpose()?;
    match arguments.http {
        Some(address) => Ok(Some(TcpSettings {
            address,
            token,
            tls,
        })),
        None if tls.is_none() && token.is_none() => Ok(None),
        None => Err(usage(
            "there is a certificate or a token, and nothing is served on TCP",
            "say where with --http ADDR:PORT",
        )),
    }
}

fn token(path: &Path) -> Result<Token, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("cannot read the token in {}: {error}", path.display());
        Failure::new(Reason::Usage, message)
            .with_advice("name a readable file of text with --http-token-file")
    })?;
    Ok(Token::new(text.trim_end_matches(['\r', '\n']))?)
}

/// Serves the gateway, and says where.
async fn gateway(daemon: &Daemon, address: SocketAddr, output: Output) -> Result<Gateway, Failure> {
    let gateway = Gateway::start(address, daemon.node().clone()).await;
    let gateway = gateway.map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => Reason::PortInUse,
            _ => Reason::Usage,
        };
        Failure::new(
            reason,
            format!("the gateway cannot listen on {address}: {error}"),
        )
        .with_advice("name another address with --gateway")
    })?;
    daemon.show(&gateway);
    output.note(&format!("gateway: http://{}/files/ID", gateway.address()));
    Ok(gateway)
}

/// Describes the node that the settings ask for, with its data in a folder.
pub(super) fn builder(arguments: Node, folder: &Path) -> Result<Builder, Failure> {
    let mut builder = qadom_node::Node::builder()
        .data_dir(folder)
        .memory(arguments.memory);
    builder = arguments.listen.into_iter().fold(builder, Builder::listen);
    builder = arguments.join.into_iter().fold(builder, Builder::join);
    if let Some(advertise) = arguments.advertise {
        builder = builder.advertise(advertise);
    }
    if let Some(network) = arguments.network {
        builder = builder.network(network);
    }
    if let Some(bits) = arguments.bits_per_level {
        builder = builder.bits_per_level(bits);
    }
    if let Some(id_bits) = arguments.id_bits {
        builder = builder.id_bits(id_bits);
    }
    if let Some(engine) = arguments.engine {
        builder = builder.engine(engine);
    }
    if let Some(durability) = arguments.durability {
        builder = builder.durability(durability);
    }
    if arguments.local {
        builder = builder.local(true);
    }
    if let Some(rate) = arguments.upload_rate {
        builder = builder.upload_rate(rate);
    }
    if let Some(url) = arguments.gateway_url {
        builder = builder.gateway_url(url);
    }
    if let Some(every) = arguments.file_repair {
        builder = builder.file_repair(every);
    }
    if arguments.client {
        builder = builder.mode(Mode::Client);
    }
    Ok(match secret(arguments.network_secret_file.as_deref())? {
        Some(secret) => builder.secret(secret),
        None => builder,
    })
}

/// The secret of a private network: from the environment, else from the file.
fn secret(file: Option<&Path>) -> Result<Option<Vec<u8>>, Failure> {
    let usage = |message| Failure::new(Reason::Usage, message);
    let (place, text) = match (std::env::var(SECRET), file) {
        (Ok(text), _) => (SECRET.to_owned(), text),
        (Err(std::env::VarError::NotPresent), None) => return Ok(None),
        (Err(std::env::VarError::NotPresent), Some(path)) => {
            let place = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| {
                usage(format!(
                    "cannot read the network's secret in {place}: {error}"
                ))
                .with_advice("name a readable file of text with --network-secret-file")
            })?;
            // Editors end a file with a newline, which nobody means.
            (place, text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (Err(error), _) => return Err(usage(format!("{SECRET}: {error}"))),
    };
    secret_of_text(&place, text).map(Some)
}

/// Reads a secret: hex digits, or any other text of at least 32 bytes.
fn secret_of_text(place: &str, text: String) -> Result<Vec<u8>, Failure> {
    let secret = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let secret = secret.unwrap_or_else(|_| text.into_bytes());
    if secret.len() < SECRET_MIN {
        let usage = |message| Failure::new(Reason::Usage, message);
        let bytes = counted(secret.len(), "byte", "bytes");
        return Err(
            usage(format!("{place} has {bytes}, fewer than {SECRET_MIN}"))
                .with_advice("give at least 64 hex digits, or at least 32 bytes of text"),
        );
    }
    Ok(secret)
}

/// Says why a daemon ended by itself.
fn failure(stopped: &StopReason) -> Failure {
    match stopped {
        StopReason::WrongNetwork { problems } => {
            let texts = problems.iter().map(|(address, problem)| {
                let differences = match problem {
                    JoinProblem::WrongNetwork(differences) => differences.as_slice(),
                    _ => &[],
                };
                let differences = differences.iter().map(|difference| {
                    let (ours, theirs) = (&difference.ours, &difference.theirs);
                    format!("{} is {ours} here and {theirs} there", difference.what)
                });
                let differences = differences.collect::<Vec<_>>().join(", ");
                format!("{address} belongs to another network: {differences}")
            });
            let texts = texts.collect::<Vec<_>>().join("; ");
            Failure::new(Reason::WrongNetwork, format!("wrong-network: {texts}"))
                .with_advice("start with that network's --network, --id-bits and secret")
        }
        other => Failure::new(Reason::Internal, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hex_or_text_of_at_least_32_bytes() {
        let secret = |text: String| secret_of_text("it", text);
        assert_eq!(secret("0f".repeat(32)).unwrap(), [0x0f; 32]);
        assert!(secret("0f".repeat(31)).is_err());
        assert_eq!(secret("x".repeat(32)).unwrap(), [b'x'; 32]);
        assert!(secret("x".repeat(31)).is_err());
    }
}
